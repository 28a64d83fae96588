{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='event_id',
    on_schema_change='fail',
    full_refresh=false,
    post_hook=["{{ rename_merged_events() }}", "{{ remove_lost_events() }}"],
    indexes=[{'columns': ['event_id', 'bucket_end_at'], 'unique': true}]
) }}

with event as (
    select event_id, instrument_id, released_at
    from {{ ref('fct_pump_event') }} as event
    where instrument_id is not null {{ new_or_recent_events(is_incremental()) }}
),

book as (
    select event.event_id, event.instrument_id, event.released_at, metric.bucket_end_at, metric.mid_price, metric.relative_spread,
        metric.order_book_pressure, metric.is_gap
    from event
    inner join {{ ref('stg_book_metric') }} as metric
        on event.instrument_id = metric.instrument_id
        and metric.bucket_end_at between event.released_at - interval '30 minutes' and event.released_at + interval '60 minutes'
),

trade as (
    select event.event_id, event.instrument_id, event.released_at, metric.bucket_end_at, metric.vwap, metric.low_price, metric.high_price,
        metric.trade_count, metric.quote_volume, metric.taker_buy_volume, metric.is_gap
    from event
    inner join {{ ref('stg_trade_metric') }} as metric
        on event.instrument_id = metric.instrument_id
        and metric.bucket_end_at between event.released_at - interval '30 minutes' and event.released_at + interval '60 minutes'
)

select
    event_id,
    instrument_id,
    bucket_end_at,
    {{ seconds_between('released_at', 'bucket_end_at') }} as seconds_to_release,
    book.mid_price,
    book.relative_spread,
    book.order_book_pressure,
    trade.vwap,
    trade.low_price,
    trade.high_price,
    trade.trade_count,
    trade.quote_volume,
    trade.taker_buy_volume,
    coalesce(book.is_gap, false) or coalesce(trade.is_gap, false) as is_gap
from book
full outer join trade using (event_id, instrument_id, released_at, bucket_end_at)
