{{ config(meta={'dagster': {'ref': {'name': 'fct_pump_event'}}}) }}

-- Those of the last day may have come, or have been merged, since the mart was built.
select staged.event_id, mart.event_id as in_mart
from {{ ref('stg_event') }} as staged
full outer join {{ ref('fct_pump_event') }} as mart on staged.event_id = mart.event_id
where (staged.event_id is null or mart.event_id is null)
    and coalesce(staged.last_released_at, mart.last_released_at) < now() - interval '1 day'
