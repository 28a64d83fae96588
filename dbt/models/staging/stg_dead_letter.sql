select source, reason, {{ utc_day('occurred_at') }} as day, occurred_at
from {{ source('raw', 'dead_letters') }}
