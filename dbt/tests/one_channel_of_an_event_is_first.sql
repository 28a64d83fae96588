select event_id
from {{ ref('fct_event_channel') }}
group by event_id
having count(*) filter (where is_first) <> 1 or min(lag_seconds) < 0
