select
    channel_id, message_id, revision_id, occurred_at, edited_at, ingested_at, is_deleted, kind, text, media_type, forwarded_from_channel_id
from {{ source('raw', 'telegram_messages') }}
