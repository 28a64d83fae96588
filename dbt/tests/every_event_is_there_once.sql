select staged.event_id, mart.event_id as in_mart
from {{ ref('stg_event') }} as staged
full outer join {{ ref('fct_pump_event') }} as mart on staged.event_id = mart.event_id
where staged.event_id is null or mart.event_id is null
