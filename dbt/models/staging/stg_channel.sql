select channel_id, title, username, link, participants, found_via, status, is_vanished, discovered_at
from {{ source('raw', 'telegram_channels') }}
