select
    channel_id,
    message_id,
    revision_id,
    labeller,
    labeller_version,
    label::integer as label_id,
    confidence::double precision as confidence,
    is_abstained,
    labelled_at,
    labeller like 'human:%' as is_human,
    case when labeller like 'human:%' then 1 when labeller like 'llm:%' then 2 else 3 end as preference,
    -- A better labeller that abstained has no say; the classifier's word counts even when it is unsure.
    not is_abstained or (labeller not like 'human:%' and labeller not like 'llm:%') as counts
from {{ source('core', 'message_labels') }}
