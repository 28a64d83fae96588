select coin_id as coincodex_id, day, upper(symbol) as symbol, lower(name) as name, nullif(market_cap_usd, 0) as market_cap_usd, ingested_at
from {{ source('raw', 'coincodex_daily') }}
