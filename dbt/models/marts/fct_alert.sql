{{ config(materialized='view') }}

with queued as (
    select
        alert_id,
        min(created_at) as created_at,
        count(*)::integer as channel_count,
        count(*) filter (where state = 'sent')::integer as sent_count,
        min(sent_at) as first_sent_at,
        case
            when bool_or(state = 'sent') then 'sent'
            when bool_or(state = 'pending') then 'pending'
            when bool_or(state = 'failed') then 'failed'
            else 'muted'
        end as state,
        string_agg(channel || ': ' || last_error, '; ' order by channel) as last_error
    from {{ ref('stg_alert') }}
    group by alert_id
),

told as (
    select distinct on (alert_id) alert_id, stage, subject_id, exchange, symbol, title, body
    from {{ ref('stg_alert') }}
    order by alert_id, channel
)

select
    told.alert_id,
    queued.created_at,
    told.stage,
    told.subject_id,
    told.exchange,
    told.symbol,
    told.title,
    coalesce(
        (
            select string_agg(line, e'\n' order by place)
            from jsonb_array_elements_text(case when jsonb_typeof(told.body -> 'lines') = 'array' then told.body -> 'lines' else '[]' end)
                with ordinality as said (line, place)
        ),
        ''
    ) as lines,
    told.body ->> 'disclaimer' as disclaimer,
    queued.state,
    queued.channel_count,
    queued.sent_count,
    queued.first_sent_at,
    {{ seconds_between('queued.created_at', 'queued.first_sent_at') }} as delivery_seconds,
    queued.last_error
from told
inner join queued on told.alert_id = queued.alert_id
