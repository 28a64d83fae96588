{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='event_id',
    on_schema_change='fail',
    full_refresh=false,
    post_hook=["{{ rename_merged_events() }}", "{{ remove_lost_events() }}"],
    indexes=[{'columns': ['event_id', 'bucket_end_at'], 'unique': true}]
) }}

{{ ranked_events(is_incremental()) }}

select
    event_id,
    ranking_id,
    bucket_end_at,
    {{ seconds_between('released_at', 'bucket_end_at') }} as seconds_to_release,
    rank,
    score,
    is_active,
    candidates,
    {{ reasons('ranked.z', 'ranked.score_rule') }} as reasons
from ranked
