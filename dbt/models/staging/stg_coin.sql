-- The last snapshot of each coin.
select distinct on (coin_id)
    coin_id,
    symbol,
    name,
    slug,
    platform_name,
    token_standard,
    contract_address,
    nullif(market_cap_usd, 0) as verified_market_cap_usd,
    nullif(self_reported_market_cap_usd, 0) as self_reported_market_cap_usd,
    price_usd,
    volume_24h_usd,
    rank,
    is_active,
    added_at,
    snapshot_at
from {{ source('raw', 'coinmarketcap_snapshots') }}
order by coin_id, snapshot_at desc
