select
    given.labeller,
    given.labeller_version,
    given.label_id,
    labels.label,
    count(*)::integer as label_count,
    count(*) filter (where given.is_abstained)::integer as abstained_count,
    avg(given.confidence) as mean_confidence,
    max(given.labelled_at) as last_labelled_at
from {{ ref('stg_message_label') }} as given
inner join {{ ref('labels') }} as labels on given.label_id = labels.label_id
group by given.labeller, given.labeller_version, given.label_id, labels.label
