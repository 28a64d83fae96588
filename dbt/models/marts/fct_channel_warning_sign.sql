{{ config(materialized='view') }}

select channel_id, sign, message_count, signed_count, signed_ratio
from {{ ref('stg_channel_warning_sign') }}
