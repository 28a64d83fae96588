select gap_id, exchange, shard, cardinality(instrument_ids) as instrument_count, started_at, ended_at, reason
from {{ source('core', 'feed_gaps') }}
