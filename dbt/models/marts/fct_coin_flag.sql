{{ config(materialized='view') }}

select
    instrument_id, as_of_date, flag, exchange, symbol, value, reason, computed_at
from {{ ref('stg_coin_flag') }}
