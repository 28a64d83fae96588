select
    instrument_id, bucket_end_at, mid_price, relative_spread::double precision as relative_spread,
    order_book_pressure::double precision as order_book_pressure, is_gap
from {{ source('core', 'order_book_metrics') }}
