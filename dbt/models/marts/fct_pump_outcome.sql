{{ config(materialized='view') }}

select
    event_id, exchange, symbol, released_at, resolution, data, quote_symbol, reference_price, peak_price, peak_at,
    seconds_to_peak, run_up_ratio, gain_ratio, usual_gain_ratio, is_moved, drawdown_ratio, return_1h_ratio, value_after,
    value_before, volume_ratio, bought_10s_10min_ratio, bought_10s_1h_ratio, bought_30s_10min_ratio, bought_30s_1h_ratio,
    bought_60s_10min_ratio, bought_60s_1h_ratio, bought_peak_10min_ratio, bought_peak_1h_ratio, trade_count, computed_at
from {{ ref('stg_pump_outcome') }}
