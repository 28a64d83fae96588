select
    instrument_id, bucket_end_at, trade_count, quote_volume::double precision as quote_volume,
    taker_buy_volume::double precision as taker_buy_volume, vwap, low_price, high_price, is_gap
from {{ source('core', 'trade_metrics') }}
