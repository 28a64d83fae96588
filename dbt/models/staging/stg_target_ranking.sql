select ranking_id, instrument_id, bucket_end_at, rank::double precision as rank, score::double precision as score, is_active, z
from {{ source('out', 'target_rankings') }}
