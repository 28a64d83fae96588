{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['channel_id', 'day'],
    on_schema_change='fail',
    indexes=[{'columns': ['channel_id', 'day'], 'unique': true}, {'columns': ['day']}]
) }}

{% if is_incremental() -%}
-- Days of channels in which a revision or a label is new, or a label was taken back; each is built anew as a whole.
with news as (
    select least(coalesce(max(known_through_at), '-infinity'), now()) - interval '{{ var("lookback_hours") }} hours' as since
    from {{ this }}
),

touched as (
    select revision.channel_id, {{ utc_day('revision.occurred_at') }} as day
    from {{ ref('stg_message_revision') }} as revision
    where revision.ingested_at >= (select since from news)
    union
    select revision.channel_id, {{ utc_day('revision.occurred_at') }} as day
    from {{ ref('stg_message_label') }} as given
    inner join {{ ref('stg_message_revision') }} as revision
        on given.channel_id = revision.channel_id
        and given.message_id = revision.message_id
        and given.revision_id = revision.revision_id
    where given.labelled_at >= (select since from news)
    union
    select channel_id, day
    from {{ this }} as kept
    left join (
        select revision.channel_id, {{ utc_day('revision.occurred_at') }} as day, count(*) as label_count
        from {{ ref('stg_message_label') }} as given
        inner join {{ ref('stg_message_revision') }} as revision
            on given.channel_id = revision.channel_id
            and given.message_id = revision.message_id
            and given.revision_id = revision.revision_id
        where given.counts and revision.kind = 'message'
        group by revision.channel_id, {{ utc_day('revision.occurred_at') }}
    ) as labelled using (channel_id, day)
    where kept.label_count <> coalesce(labelled.label_count, 0)
),

revision as (
    select revision.*
    from {{ ref('stg_message_revision') }} as revision
    inner join touched on revision.channel_id = touched.channel_id and {{ utc_day('revision.occurred_at') }} = touched.day
),
{%- else -%}
with revision as (
    select * from {{ ref('stg_message_revision') }}
),
{%- endif %}

message as (
    {{ messages_of('revision') }}
)

select
    channel_id,
    {{ utc_day('occurred_at') }} as day,
    count(*)::integer as message_count,
    count(*) filter (where text <> '')::integer as text_count,
    count(*) filter (where is_edited)::integer as edited_count,
    count(*) filter (where is_deleted)::integer as deleted_count,
    count(*) filter (where forwarded_from_channel_id is not null)::integer as forwarded_count,
    {% for name in ['announcement', 'countdown', 'release', 'result', 'delay', 'noise'] -%}
    count(*) filter (where label_id = {{ loop.index0 }})::integer as {{ name }}_count,
    {% endfor -%}
    count(*) filter (where label_id is null)::integer as unlabelled_count,
    coalesce(sum(label_count), 0)::integer as label_count,
    max(known_through_at) as known_through_at
from message
group by channel_id, {{ utc_day('occurred_at') }}
