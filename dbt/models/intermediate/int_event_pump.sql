-- The pump that each event fulfils, by the rule of pnd_dagster.events.fulfilment.pump_of: those that its announcements led to; an event that
-- no announcement led to fulfils what was announced for about then. Of several the one of its exchange, then the nearest in time.
with pump as (
    select pump_id, exchange, scheduled_at, status, announcement_ids, true as has_time
    from {{ ref('stg_scheduled_pump') }}
    union all
    select announcement_id, exchange, announced_at, status, array[announcement_id], false
    from {{ ref('stg_announcement') }}
    where scheduled_at is null and previous_scheduled_at is null
),

linked as (
    select distinct event.event_id, pump.pump_id
    from (select event_id, unnest(announcement_ids) as announcement_id from {{ ref('stg_event') }}) as event
    inner join (select pump_id, unnest(announcement_ids) as announcement_id from pump) as pump
        on event.announcement_id = pump.announcement_id
),

unannounced as (
    select event_id, exchange, released_at
    from {{ ref('stg_event') }}
    where cardinality(announcement_ids) = 0 and exchange is not null
),

-- Whole hours make it a join by equality: a pump reaches from the hour two minutes before its start to the one ten minutes after.
about_then as (
    select distinct unannounced.event_id, pump.pump_id
    from pump
    cross join lateral (
        select distinct date_trunc('hour', at, 'UTC') as hour
        from (values (pump.scheduled_at - interval '2 minutes'), (pump.scheduled_at + interval '10 minutes')) as edge (at)
    ) as reached
    inner join unannounced
        on date_trunc('hour', unannounced.released_at, 'UTC') = reached.hour
        and unannounced.released_at between pump.scheduled_at - interval '2 minutes' and pump.scheduled_at + interval '10 minutes'
        and (pump.exchange = unannounced.exchange or pump.exchange is null)
    where pump.status <> 'cancelled'
)

select distinct on (event.event_id)
    event.event_id,
    pump.pump_id,
    pump.has_time,
    pump.scheduled_at
from (select * from linked union all select * from about_then) as fulfilled
inner join {{ ref('stg_event') }} as event on fulfilled.event_id = event.event_id
inner join pump on fulfilled.pump_id = pump.pump_id
order by
    event.event_id,
    pump.exchange is distinct from event.exchange,
    abs(extract(epoch from pump.scheduled_at - event.released_at)),
    pump.pump_id
