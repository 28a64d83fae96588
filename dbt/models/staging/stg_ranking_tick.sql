select ranking_id, watch_id, exchange, bucket_end_at, lead_seconds, score_rule, candidates, active, lag_seconds
from {{ source('out', 'ranking_ticks') }}
