-- Every id that an event is or was known by.
select event_id, event_id as known_id
from {{ ref('stg_event') }}
union
select event_id, unnest(aliases) as known_id
from {{ ref('stg_event') }}
