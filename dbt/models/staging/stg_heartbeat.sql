select name, beat_at, lag_seconds, is_healthy, details
from {{ source('core', 'heartbeats') }}
