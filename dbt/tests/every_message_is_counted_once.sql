select counted, known
from (select coalesce(sum(message_count), 0) as counted from {{ ref('fct_message_daily') }}) as mart
cross join (select count(distinct (channel_id, message_id)) as known from {{ ref('stg_message_revision') }} where kind = 'message') as staged
where counted <> known
