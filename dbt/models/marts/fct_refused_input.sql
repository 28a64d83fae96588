select source, day, reason, count(*)::integer as refused_count, max(occurred_at) as last_refused_at
from {{ ref('stg_dead_letter') }}
group by source, day, reason
