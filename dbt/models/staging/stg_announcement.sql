select announcement_id, channel_id, message_id, announced_at, exchange, scheduled_at, previous_scheduled_at, status, evidence_message_ids
from {{ source('core', 'pump_announcements') }}
