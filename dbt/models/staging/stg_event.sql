select
    event_id, paper_event_key, exchange, symbol, quote, released_at, last_released_at, confidence, channel_ids, channel_count,
    evidence_count, announcement_ids, aliases
from {{ source('core', 'pump_events') }}
