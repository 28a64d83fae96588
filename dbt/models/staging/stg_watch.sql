select
    watch_id, pump_id, schedule_revision, exchanges, scheduled_at, started_at, attempt, state, ended_at, event_id, symbol, tick_count, detail
from {{ source('out', 'watches') }}
