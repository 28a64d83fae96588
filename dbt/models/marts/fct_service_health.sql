{{ config(materialized='view') }}

-- The rule of pnd_dagster.resources.service_health.
with beat as (
    select
        *,
        split_part(name, ':', 1) as service,
        {{ seconds_between('beat_at', 'now()') }} as silence_seconds
    from {{ ref('stg_heartbeat') }}
)

select
    name,
    service,
    beat_at,
    silence_seconds,
    lag_seconds,
    is_healthy,
    case
        when details ->> 'state' = 'stopped' then 'stopped'
        when silence_seconds > 86400 and name <> service then 'gone'
        when silence_seconds > case service when 'listen' then 300 else 60 end then 'silent'
        when not is_healthy then 'unhealthy'
        else 'healthy'
    end as state,
    details::text as details
from beat
