with listed as (
    select coin_id, array_agg(distinct exchange order by exchange) as exchanges, count(*) as instrument_count
    from {{ ref('stg_instrument') }}
    where coin_id is not null and valid_to is null
    group by coin_id
),

event as (
    select coin_id, count(*) as event_count, max(released_at) as last_event_at
    from {{ ref('fct_pump_event') }}
    where coin_id is not null
    group by coin_id
)

select
    coin.coin_id,
    coin.symbol,
    coin.name,
    coin.slug,
    (count(*) over (partition by upper(coin.symbol)))::integer as symbol_coin_count,
    coin.platform_name,
    coin.token_standard,
    coin.contract_address,
    coalesce(coin.verified_market_cap_usd, coin.self_reported_market_cap_usd) as market_cap_usd,
    coin.verified_market_cap_usd is null and coin.self_reported_market_cap_usd is not null as is_self_reported,
    coin.price_usd,
    coin.volume_24h_usd,
    coin.rank,
    coin.is_active,
    coin.added_at,
    coin.snapshot_at,
    coalesce(listed.exchanges, array[]::text[]) as exchanges,
    coalesce(listed.instrument_count, 0)::integer as instrument_count,
    coalesce(event.event_count, 0)::integer as event_count,
    event.last_event_at
from {{ ref('stg_coin') }} as coin
left join listed on coin.coin_id = listed.coin_id
left join event on coin.coin_id = event.coin_id
