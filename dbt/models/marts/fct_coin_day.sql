{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='day',
    on_schema_change='fail',
    indexes=[{'columns': ['exchange', 'pair', 'day'], 'unique': true}, {'columns': ['day']}, {'columns': ['symbol', 'day']}]
) }}

{% if is_incremental() -%}
-- Days are built anew as a whole: the last ones, those of candles and capitalisations that are new, those whose filter decisions are others
-- than were taken in, and those whose markets have been found, linked or told apart since.
with news as (
    select least(coalesce(max(known_through_at), '-infinity'), now()) - interval '{{ var("lookback_hours") }} hours' as since
    from {{ this }}
),

touched as (
    select day from {{ ref('stg_candle') }} where ingested_at >= (select since from news)
    union
    select day from {{ ref('stg_cap_day') }} where ingested_at >= (select since from news)
    union
    select day from (
        select exchange, pair, day, instrument_id, coin_id, is_candidate, reason, market_cap_usd from ({{ decisions() }}) as decided
        except
        select
            exchange, pair, day, instrument_id, coin_id, is_candidate, filter_reason,
            case when cap_source is distinct from 'coincodex' then market_cap_usd end
        from {{ this }}
    ) as differing
    union
    select kept.day
    from {{ this }} as kept
    left join {{ ref('stg_instrument') }} as instrument
        on kept.exchange = instrument.exchange
        and kept.pair = instrument.pair
        and (instrument.valid_to is null or {{ utc_day('instrument.valid_to') }} >= kept.day)
    where kept.filter_reason is null
    group by kept.exchange, kept.pair, kept.day, kept.instrument_id, kept.coin_id
    having kept.instrument_id is distinct from case when count(*) = 1 then min(instrument.instrument_id) end
        or kept.coin_id is distinct from case when count(*) = 1 then min(instrument.coin_id) end
    union
    select (select max(day) from {{ this }}) - back from generate_series(0, {{ var("lookback_days") }}) as back
),
{%- else -%}
with touched as (
    select day from {{ ref('stg_candle') }}
    union
    select day from {{ ref('stg_candidate') }}
),
{%- endif %}

candle as (
    select * from {{ ref('stg_candle') }} where day in (select day from touched)
),

candidate as (
    {{ decisions('where day in (select day from touched)') }}
),

market as (
    select exchange, pair, day from candle
    union
    select exchange, pair, day from candidate
),

listed as (
    select market.exchange, market.pair, market.day, min(instrument.instrument_id) as instrument_id, min(instrument.coin_id) as coin_id
    from market
    inner join {{ ref('stg_instrument') }} as instrument
        on market.exchange = instrument.exchange
        and market.pair = instrument.pair
        and (instrument.valid_to is null or {{ utc_day('instrument.valid_to') }} >= market.day)
    group by market.exchange, market.pair, market.day
    having count(*) = 1
),

coin as (
    select upper(symbol) as symbol, lower(name) as name, min(coin_id) as coin_id
    from {{ ref('stg_coin') }}
    group by upper(symbol), lower(name)
    having count(*) = 1
),

-- LunarCrush has ids of its own: its coin is ours if symbol and name are the same, and no other coin of its or ours is called so.
social as (
    select
        coin.coin_id,
        told.day,
        min(told.lunarcrush_id) as lunarcrush_id
    from {{ ref('stg_social_day') }} as told
    inner join coin on told.symbol = coin.symbol and told.name = coin.name
    where told.day in (select day from touched)
    group by coin.coin_id, told.day
    having count(*) = 1
),

-- CoinCodex, too, has ids of its own.
cap as (
    select coin.coin_id, told.day, min(told.market_cap_usd) as market_cap_usd
    from {{ ref('stg_cap_day') }} as told
    inner join coin on told.symbol = coin.symbol and told.name = coin.name
    where told.day in (select day from touched)
    group by coin.coin_id, told.day
    having count(*) = 1
)

select
    market.exchange,
    market.pair,
    market.day,
    split_part(market.pair, '/', 1) as symbol,
    coalesce(candidate.instrument_id, listed.instrument_id) as instrument_id,
    case when candidate.instrument_id is not null then candidate.coin_id else listed.coin_id end as coin_id,
    candle.open,
    candle.high,
    candle.low,
    candle.close,
    candle.volume,
    coalesce(candle.quote_volume, candle.volume * (candle.open + candle.high + candle.low + candle.close) / 4) as quote_volume,
    case when candle.day is not null then candle.quote_volume is null end as is_quote_volume_estimated,
    candle.is_complete,
    coalesce(candidate.market_cap_usd, cap.market_cap_usd) as market_cap_usd,
    case
        when candidate.market_cap_usd is not null then candidate.cap_source
        when cap.market_cap_usd is not null then 'coincodex'
        else candidate.cap_source
    end as cap_source,
    candidate.is_candidate,
    candidate.reason as filter_reason,
    told.interactions,
    told.social_dominance,
    told.sentiment,
    told.posts_created,
    told.contributors,
    told.galaxy_score,
    candle.ingested_at as known_through_at
from market
left join candle on market.exchange = candle.exchange and market.pair = candle.pair and market.day = candle.day
left join candidate on market.exchange = candidate.exchange and market.pair = candidate.pair and market.day = candidate.day
left join listed on market.exchange = listed.exchange and market.pair = listed.pair and market.day = listed.day
left join social
    on market.day = social.day
    and social.coin_id = case when candidate.instrument_id is not null then candidate.coin_id else listed.coin_id end
left join cap
    on market.day = cap.day
    and cap.coin_id = case when candidate.instrument_id is not null then candidate.coin_id else listed.coin_id end
left join {{ ref('stg_social_day') }} as told on social.lunarcrush_id = told.lunarcrush_id and social.day = told.day
