-- The watch that ranked the coins before each event: the one that was held against it, else the newest of its pump.
select distinct on (event_id) event_id, watch_id
from (
    select alias.event_id, result.watch_id, 1 as preference, watch.schedule_revision, result.evaluated_at as at
    from {{ ref('stg_watch_result') }} as result
    inner join {{ ref('int_event_alias') }} as alias on result.event_id = alias.known_id
    left join {{ ref('stg_watch') }} as watch on result.watch_id = watch.watch_id
    union all
    select alias.event_id, watch.watch_id, 2, watch.schedule_revision, watch.started_at
    from {{ ref('stg_watch') }} as watch
    inner join {{ ref('int_event_alias') }} as alias on watch.event_id = alias.known_id
    union all
    select event.event_id, watch.watch_id, 3, watch.schedule_revision, watch.started_at
    from {{ ref('int_event_pump') }} as event
    inner join {{ ref('stg_watch') }} as watch on event.pump_id = watch.pump_id
) as watched
order by event_id, preference, schedule_revision desc nulls last, at desc, watch_id
