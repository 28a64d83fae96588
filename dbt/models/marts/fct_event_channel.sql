{{ config(indexes=[{'columns': ['event_id', 'channel_id'], 'unique': true}, {'columns': ['channel_id']}]) }}

with released as (
    select event_id, channel_id, min(released_at) as released_at, count(*) as message_count
    from {{ ref('stg_release') }}
    group by event_id, channel_id
)

select
    released.event_id,
    released.channel_id,
    released.released_at,
    {{ seconds_between('event.released_at', 'released.released_at') }} as lag_seconds,
    -- Two in the same second: the event lists them in time order, and has the first one first.
    released.channel_id = event.channel_ids[1] as is_first,
    released.message_count::integer as message_count
from released
inner join {{ ref('fct_pump_event') }} as event on released.event_id = event.event_id
