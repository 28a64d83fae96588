-- Every channel that is known by a row or by a message, with a title to show.
select
    known.channel_id,
    channel.title,
    channel.username,
    coalesce(nullif(trim(channel.title), ''), '@' || nullif(channel.username, ''), known.channel_id::text) as display_title
from (
    select channel_id from {{ ref('stg_channel') }}
    union
    select channel_id from {{ ref('stg_release') }}
    union
    select channel_id from {{ ref('stg_announcement') }}
) as known
left join {{ ref('stg_channel') }} as channel on known.channel_id = channel.channel_id
