{{ config(materialized='view') }}

select detection_id, exchange, symbol, instrument_id, detected_at, volume_z, trades_z, price_change, reason, pump_id
from {{ ref('stg_detected_pump') }}
