select
    watch_id, event_id, offset_seconds, exchange, symbol, instrument_id, bucket_end_at, rank::double precision as rank,
    score::double precision as score, candidates, evaluated_at
from {{ source('out', 'watch_results') }}
