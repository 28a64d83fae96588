select channel_id, sign, message_count, signed_count, signed_ratio
from {{ source('core', 'channel_warning_signs') }}
