select alert_id, channel, stage, subject_id, exchange, symbol, title, body, state, created_at, sent_at, last_error
from {{ source('out', 'alerts') }}
