{{ config(materialized='view') }}

with lag as (
    select watch_id, percentile_cont(0.5) within group (order by lag_seconds) as lag_p50_seconds, max(lag_seconds) as lag_max_seconds
    from {{ ref('stg_ranking_tick') }}
    group by watch_id
)

select
    watch.watch_id,
    watch.pump_id,
    watch.exchanges,
    watch.scheduled_at,
    watch.started_at,
    watch.ended_at,
    watch.state,
    watch.attempt,
    watch.tick_count,
    lag.lag_p50_seconds,
    lag.lag_max_seconds,
    watch.event_id,
    watch.symbol,
    watch.detail
from {{ ref('stg_watch') }} as watch
left join lag on watch.watch_id = lag.watch_id
