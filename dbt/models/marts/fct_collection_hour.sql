{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='hour_end_at',
    on_schema_change='fail',
    full_refresh=false,
    indexes=[{'columns': ['exchange', 'hour_end_at'], 'unique': true}]
) }}

{# A bucket that ends on the full hour belongs to the hour that ends there. #}
{% set hour_end = "(date_trunc('hour', bucket_end_at - interval '1 microsecond', 'UTC') + interval '1 hour')" %}

with bucket as (
    select *, {{ hour_end }} as hour_end_at
    from {{ ref('stg_bucket_commit') }}
    {% if is_incremental() -%}
    -- Whole hours; also old ones whose buckets had waited on disk.
    where {{ hour_end }} in (
        select {{ hour_end }} from {{ ref('stg_bucket_commit') }}
        where committed_at >= (
            select least(coalesce(max(hour_end_at), '-infinity'), now()) - interval '{{ var("lookback_hours") }} hours' from {{ this }}
        )
    )
    {%- endif %}
),

shard as (
    select exchange, hour_end_at, shard, max(watched) as watched
    from bucket
    group by exchange, hour_end_at, shard
),

watched as (
    select exchange, hour_end_at, count(*) as shards, sum(watched) as watched
    from shard
    group by exchange, hour_end_at
)

select
    bucket.exchange,
    bucket.hour_end_at,
    watched.shards::integer as shards,
    count(*)::integer as buckets,
    count(*)::double precision / (720 * watched.shards) as bucket_ratio,
    watched.watched::integer as watched,
    1 - sum(bucket.blind)::double precision / nullif(sum(bucket.watched), 0) as seen_ratio,
    sum(bucket.book_rows)::bigint as book_rows,
    sum(bucket.trade_rows)::bigint as trade_rows,
    sum(bucket.rejected_frames)::bigint as rejected_frames,
    sum(bucket.duplicates)::bigint as duplicates,
    sum(bucket.unusable_books)::bigint as unusable_books,
    percentile_cont(0.5) within group (order by bucket.lag_seconds) as lag_p50_seconds,
    percentile_cont(0.99) within group (order by bucket.lag_seconds) as lag_p99_seconds
from bucket
inner join watched on bucket.exchange = watched.exchange and bucket.hour_end_at = watched.hour_end_at
group by bucket.exchange, bucket.hour_end_at, watched.shards, watched.watched
