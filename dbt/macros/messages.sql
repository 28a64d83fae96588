{# One row per message of a relation of revisions (columns of stg_message_revision): its last revision that is no deletion, what became of
   it, and the preferred label. Humans count before language models, those before classifiers, a newer label before an older one; the label
   of the last labelled revision counts. #}
{% macro messages_of(revisions) -%}
    select
        message.*,
        label.label_id,
        label.label_count,
        greatest(message.ingested_at_last, label.labelled_at) as known_through_at
    from (
        select distinct on (channel_id, message_id)
            channel_id,
            message_id,
            occurred_at,
            text,
            media_type,
            forwarded_from_channel_id,
            bool_or(revision.is_deleted) over of_message as is_deleted,
            bool_or(edited_at is not null and not revision.is_deleted) over of_message as is_edited,
            max(ingested_at) over of_message as ingested_at_last
        from {{ revisions }} as revision
        where kind = 'message'
        window of_message as (partition by channel_id, message_id)
        -- Unqualified, it would be what became of the message.
        order by channel_id, message_id, revision.is_deleted, edited_at desc nulls last, ingested_at desc
    ) as message
    left join (
        select distinct on (revision.channel_id, revision.message_id)
            revision.channel_id,
            revision.message_id,
            given.label_id,
            count(*) over of_message as label_count,
            max(given.labelled_at) over of_message as labelled_at
        from {{ revisions }} as revision
        inner join {{ ref('stg_message_label') }} as given
            on revision.channel_id = given.channel_id
            and revision.message_id = given.message_id
            and revision.revision_id = given.revision_id
        where given.counts and revision.kind = 'message'
        window of_message as (partition by revision.channel_id, revision.message_id)
        order by
            revision.channel_id, revision.message_id, revision.is_deleted, revision.edited_at desc nulls last,
            revision.ingested_at desc, given.preference, given.labelled_at desc
    ) as label on message.channel_id = label.channel_id and message.message_id = label.message_id
{%- endmacro %}
