{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    full_refresh=false,
    indexes=[{'columns': ['ranking_id', 'instrument_id'], 'unique': true}, {'columns': ['watch_id', 'exchange', 'bucket_end_at']}]
) }}

-- A tick is written whole and never changes: what is not here yet is taken, however late it came.
with tick as (
    select tick.*
    from {{ ref('stg_ranking_tick') }} as tick
    {% if is_incremental() -%}
    where not exists (select from {{ this }} as kept where kept.ranking_id = tick.ranking_id)
    {%- endif %}
)

{{ best_of('tick') }}
