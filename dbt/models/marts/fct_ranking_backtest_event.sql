{{ config(materialized='view') }}

select data, pool, source, rule, offset_seconds, event_id, symbol, mean_rank
from {{ ref('stg_ranking_backtest_event') }}
