{{ config(materialized='view') }}

select watch_id, event_id, offset_seconds, exchange, symbol, bucket_end_at, rank, score, candidates, evaluated_at
from {{ ref('stg_watch_result') }}
