select
    instrument_id, as_of_date, flag, exchange, symbol, value, reason, computed_at
from {{ source('out', 'coin_flags') }}
