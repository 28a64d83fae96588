with message as (
    select
        channel_id,
        sum(message_count) as message_count,
        min(day) as first_message_on,
        max(day) as last_message_on,
        1 - sum(noise_count)::double precision / nullif(sum(message_count - unlabelled_count), 0) as pump_message_ratio
    from {{ ref('fct_message_daily') }}
    group by channel_id
),

announcement as (
    select
        channel_id,
        count(*) as announcement_count,
        count(*) filter (where status = 'released')::double precision
        / nullif(count(*) filter (where status in ('released', 'cancelled', 'expired')), 0) as released_announcement_ratio,
        count(*) filter (where status = 'cancelled') as cancelled_announcement_count,
        count(*) filter (where status = 'expired') as expired_announcement_count
    from {{ ref('stg_announcement') }}
    group by channel_id
),

event as (
    select
        channel.channel_id,
        count(*) as event_count,
        count(*) filter (where channel.is_first) as first_release_count,
        count(*) filter (where event.channel_count > 1) as shared_event_count,
        percentile_cont(0.5) within group (order by channel.lag_seconds) filter (where event.channel_count > 1) as median_lag_seconds,
        max(channel.released_at) as last_event_at
    from {{ ref('fct_event_channel') }} as channel
    inner join {{ ref('stg_event') }} as event on channel.event_id = event.event_id
    group by channel.channel_id
),

known as (
    select channel_id from {{ ref('int_channel_title') }}
    union
    select channel_id from message
)

select
    known.channel_id,
    channel.title,
    coalesce(title.display_title, known.channel_id::text) as display_title,
    channel.username,
    channel.link,
    channel.participants,
    channel.found_via,
    channel.status,
    coalesce(channel.is_vanished, false) as is_vanished,
    channel.discovered_at,
    coalesce(message.message_count, 0)::bigint as message_count,
    message.first_message_on,
    message.last_message_on,
    message.pump_message_ratio,
    coalesce(announcement.announcement_count, 0)::integer as announcement_count,
    announcement.released_announcement_ratio,
    coalesce(announcement.cancelled_announcement_count, 0)::integer as cancelled_announcement_count,
    coalesce(announcement.expired_announcement_count, 0)::integer as expired_announcement_count,
    coalesce(event.event_count, 0)::integer as event_count,
    coalesce(event.first_release_count, 0)::integer as first_release_count,
    coalesce(event.shared_event_count, 0)::integer as shared_event_count,
    event.median_lag_seconds,
    event.last_event_at,
    organised.group_id,
    organised.group_size,
    organised.copied_count,
    organised.was_copied_count,
    honesty.kept_ratio,
    honesty.promised_median_ratio,
    honesty.realised_median_ratio,
    honesty.outcome_count,
    honesty.late_buyer_median_ratio
from known
left join {{ ref('stg_channel') }} as channel on known.channel_id = channel.channel_id
left join {{ ref('int_channel_title') }} as title on known.channel_id = title.channel_id
left join message on known.channel_id = message.channel_id
left join announcement on known.channel_id = announcement.channel_id
left join event on known.channel_id = event.channel_id
left join {{ ref('stg_channel_group') }} as organised on known.channel_id = organised.channel_id
left join {{ ref('stg_channel_honesty') }} as honesty on known.channel_id = honesty.channel_id
