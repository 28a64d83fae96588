{{ config(meta={'dagster': {'ref': {'name': 'fct_message_daily'}}}) }}

-- Of days of channels to which nothing has come since they were built: the listener does not wait for the tests.
with staged as (
    select channel_id, day, count(*) as known, max(ingested_at) as ingested_at
    from (
        select channel_id, message_id, {{ utc_day('min(occurred_at)') }} as day, max(ingested_at) as ingested_at
        from {{ ref('stg_message_revision') }}
        where kind = 'message'
        group by channel_id, message_id
    ) as message
    group by channel_id, day
)

select channel_id, day, mart.message_count as counted, staged.known
from {{ ref('fct_message_daily') }} as mart
full outer join staged using (channel_id, day)
where mart.message_count is distinct from staged.known
    and coalesce(staged.ingested_at, '-infinity')
    <= coalesce(mart.known_through_at, (select max(known_through_at) from {{ ref('fct_message_daily') }} where known_through_at <= now()), 'infinity')
