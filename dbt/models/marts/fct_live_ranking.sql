{{ config(materialized='view') }}

with tick as (
    select distinct on (watch_id, exchange) *
    from {{ ref('stg_ranking_tick') }}
    where bucket_end_at > now() - interval '24 hours'
    order by watch_id, exchange, bucket_end_at desc
)

{{ best_of('tick') }}
