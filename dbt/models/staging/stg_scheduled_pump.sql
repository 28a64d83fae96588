select
    pump_id, exchange, scheduled_at, schedule_revision, status, announcement_ids, channel_ids, channel_count, first_announced_at
from {{ source('core', 'scheduled_pumps') }}
