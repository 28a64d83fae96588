select instrument_id, as_of_date as day, exchange, symbol as pair, coin_id, market_cap_usd, cap_source, is_candidate, reason
from {{ source('core', 'candidate_coins') }}
