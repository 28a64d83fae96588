select exchange, symbol as pair, day, open, high, low, close, volume, quote_volume, is_complete, ingested_at
from {{ source('raw', 'ohlcv_daily') }}
