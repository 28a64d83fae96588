{{ config(indexes=[{'columns': ['event_id', 'channel_id', 'message_id'], 'unique': true}]) }}

with evidence as (
    select distinct on (event_id, channel_id, message_id) event_id, channel_id, message_id, role
    from (
        select event_id, channel_id, message_id, 'release' as role
        from {{ ref('stg_release') }}
        union all
        select event.event_id, announcement.channel_id, unnest(announcement.evidence_message_ids || announcement.message_id), 'announcement'
        from (select event_id, unnest(announcement_ids) as announcement_id from {{ ref('stg_event') }}) as event
        inner join {{ ref('stg_announcement') }} as announcement on event.announcement_id = announcement.announcement_id
    ) as named
    order by event_id, channel_id, message_id, role desc
),

revision as (
    select revision.*
    from {{ ref('stg_message_revision') }} as revision
    inner join (select distinct channel_id, message_id from evidence) as needed
        on revision.channel_id = needed.channel_id and revision.message_id = needed.message_id
),

message as (
    {{ messages_of('revision') }}
)

select
    evidence.event_id,
    evidence.channel_id,
    evidence.message_id,
    coalesce(title.display_title, evidence.channel_id::text) as channel_title,
    evidence.role,
    labels.label,
    message.occurred_at,
    {{ seconds_between('event.released_at', 'message.occurred_at') }} as seconds_to_release,
    message.text,
    message.media_type,
    message.is_deleted
from evidence
inner join {{ ref('fct_pump_event') }} as event on evidence.event_id = event.event_id
inner join message on evidence.channel_id = message.channel_id and evidence.message_id = message.message_id
left join {{ ref('int_channel_title') }} as title on evidence.channel_id = title.channel_id
left join {{ ref('labels') }} as labels on message.label_id = labels.label_id
