select channel_id, message_id, released_at, event_id, announcement_id
from {{ source('core', 'pump_releases') }}
