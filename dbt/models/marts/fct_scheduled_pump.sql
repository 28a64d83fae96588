{{ config(materialized='view') }}

with channel as (
    select pump.pump_id, array_agg(coalesce(title.display_title, pump.channel_id::text) order by pump.place) as channel_titles
    from (
        select pump_id, channel_id, place
        from {{ ref('stg_scheduled_pump') }}
        cross join unnest(channel_ids) with ordinality as named (channel_id, place)
    ) as pump
    left join {{ ref('int_channel_title') }} as title on pump.channel_id = title.channel_id
    group by pump.pump_id
),

watch as (
    select distinct on (pump_id) pump_id, watch_id, state, started_at, tick_count
    from {{ ref('stg_watch') }}
    where pump_id is not null
    order by pump_id, schedule_revision desc nulls last, started_at desc
),

event as (
    select distinct on (fulfilled.pump_id) fulfilled.pump_id, event.event_id, event.symbol
    from {{ ref('int_event_pump') }} as fulfilled
    inner join {{ ref('stg_event') }} as event on fulfilled.event_id = event.event_id
    order by fulfilled.pump_id, event.released_at, event.event_id
)

select
    pump.pump_id,
    pump.exchange,
    pump.scheduled_at,
    {{ seconds_between('now()', 'pump.scheduled_at') }} as seconds_to_start,
    pump.status,
    pump.status in ('scheduled', 'postponed') and pump.scheduled_at > now() - interval '2 hours' as is_open,
    pump.schedule_revision,
    pump.first_announced_at,
    {{ seconds_between('pump.first_announced_at', 'pump.scheduled_at') }} as announced_lead_seconds,
    pump.channel_count,
    pump.channel_ids,
    coalesce(channel.channel_titles, array[]::text[]) as channel_titles,
    watch.watch_id,
    watch.state as watch_state,
    watch.started_at as watch_started_at,
    watch.tick_count as watch_tick_count,
    event.symbol as released_symbol,
    event.event_id
from {{ ref('stg_scheduled_pump') }} as pump
left join channel on pump.pump_id = channel.pump_id
left join watch on pump.pump_id = watch.pump_id
left join event on pump.pump_id = event.pump_id
