{{ config(materialized='view') }}

select
    gap_id,
    exchange,
    shard,
    instrument_count,
    started_at,
    ended_at,
    {{ seconds_between('started_at', 'coalesce(ended_at, now())') }} as duration_seconds,
    reason
from {{ ref('stg_feed_gap') }}
