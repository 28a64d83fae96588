{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='event_id',
    on_schema_change='fail',
    full_refresh=false,
    post_hook=["{{ rename_merged_events() }}", "{{ remove_lost_events() }}"],
    indexes=[{'columns': ['event_id', 'metric', 'horizon_seconds']}]
) }}

{{ ranked_events(is_incremental()) }}

select
    ranked.event_id,
    ranked.bucket_end_at,
    {{ seconds_between('ranked.released_at', 'ranked.bucket_end_at') }} as seconds_to_release,
    ranked.score_rule,
    rule_column.metric,
    rule_column.horizon_seconds,
    nullif(deviation.value, 'NaN')::double precision as z
from ranked
cross join unnest(ranked.z) with ordinality as deviation (value, position)
inner join {{ ref('score_rule_columns') }} as rule_column
    on ranked.score_rule = rule_column.score_rule and deviation.position = rule_column.position
