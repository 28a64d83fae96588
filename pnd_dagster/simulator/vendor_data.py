"""What the simulated vendors say of the universe's coins: the same coin has the same numbers in every process."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from typing import Any, NamedTuple

from pnd_dagster.simulator.universe import Coin, Universe

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLATFORM_IDS = {"Ethereum": 1027, "BNB Smart Chain (BEP20)": 1839, "Solana": 5426, "Polygon": 3890, "Bitcoin": 1, "TRON": 1958}
_NETWORKS = {"Ethereum": "ethereum", "BNB Smart Chain (BEP20)": "binance_smart_chain", "Solana": "solana", "Polygon": "polygon"}


class Quote(NamedTuple):
    """A coin at a time, in USD; the capitalisation is None where nobody vouches for one."""

    price: float
    market_cap: float | None
    volume_24h: float


def share(coin: Coin, salt: str) -> float:
    """A number in [0, 1) that belongs to the coin."""
    digest = blake2b(f"{coin.coin_id} {salt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def drift(coin: Coin, at: datetime) -> float:
    """The coin's price at a time in units of its price in the universe: slow and fast waves of its own, and noise by day."""
    days = (at - _EPOCH) / timedelta(days=1)
    waves = sum(
        size * math.sin(2 * math.pi * (days / period + share(coin, f"phase {period}")))
        for size, period in ((0.6, 700), (0.25, 130), (0.12, 31), (0.05, 7))
    )
    return math.exp(waves + 0.08 * (share(coin, f"noise {int(days)}") - 0.5))


def quote(coin: Coin, at: datetime, *, anchor: datetime) -> Quote:
    """The coin at a time, such that its price at `anchor` is the universe's."""
    factor = drift(coin, at) / drift(coin, anchor)
    cap = coin.verified_cap or coin.self_reported_cap or coin.price * 10 ** (6 + 2 * share(coin, "supply"))
    return Quote(
        price=coin.price * factor,
        market_cap=None if coin.verified_cap is None else coin.verified_cap * factor,
        volume_24h=cap * factor * 10 ** (-3 + 2 * share(coin, "turnover")),
    )


def is_gone(coin: Coin, universe_listed: frozenset[int]) -> bool:
    """True for coins CoinMarketCap tracks no more: some of those that no exchange lists."""
    return coin.coin_id not in universe_listed and share(coin, "gone") < 0.1


def listed_ids(universe: Universe) -> frozenset[int]:
    """Coins that an exchange lists."""
    return frozenset(listing.coin.coin_id for listings in universe.listings.values() for listing in listings)


def coinmarketcap_platform(coin: Coin) -> dict[str, Any] | None:
    """The platform part of CoinMarketCap's objects."""
    if coin.platform is None:
        return None
    slug = coin.platform.split(" (", maxsplit=1)[0].lower().replace(" ", "-")
    return {
        "id": _PLATFORM_IDS.get(coin.platform, 0),
        "name": coin.platform,
        "symbol": slug[:4].upper(),
        "slug": slug,
        "token_address": coin.contract_address or "",
    }


def coinmarketcap_listing(coin: Coin, rank: int, at: datetime, *, anchor: datetime) -> dict[str, Any]:
    """An object of listings/latest, version 1."""
    now = quote(coin, at, anchor=anchor)
    before = quote(coin, at - timedelta(days=1), anchor=anchor)
    reported = coin.self_reported_cap and coin.self_reported_cap * now.price / coin.price
    updated = at.strftime("%Y-%m-%dT%H:%M:00.000Z")
    return {
        "id": coin.coin_id,
        "name": coin.name,
        "symbol": coin.symbol,
        "slug": coin.slug,
        "num_market_pairs": 1 + int(40 * share(coin, "pairs")),
        "date_added": coin.added_at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "tags": ["memes"] if share(coin, "tag") < 0.2 else ["defi", "ai-big-data"] if share(coin, "tag") < 0.4 else [],
        "max_supply": None,
        "circulating_supply": now.market_cap / now.price if now.market_cap else 0,
        "total_supply": (now.market_cap or reported or now.price * 1e9) / now.price,
        "infinite_supply": False,
        "platform": coinmarketcap_platform(coin),
        "cmc_rank": rank,
        "self_reported_circulating_supply": reported / now.price if reported else None,
        "self_reported_market_cap": reported,
        "tvl_ratio": None,
        "last_updated": updated,
        "quote": {
            "USD": {
                "price": now.price,
                "volume_24h": now.volume_24h,
                "volume_change_24h": 100 * (now.volume_24h / before.volume_24h - 1),
                "percent_change_24h": 100 * (now.price / before.price - 1),
                # An unverified capitalisation is 0 here, not null.
                "market_cap": now.market_cap or 0,
                "market_cap_dominance": 0,
                "fully_diluted_market_cap": now.market_cap or 0,
                "tvl": None,
                "last_updated": updated,
            }
        },
    }


def coinmarketcap_map_entry(coin: Coin) -> dict[str, Any]:
    """An object of the id map for a coin that is no longer tracked."""
    last = coin.added_at + timedelta(days=100 + int(500 * share(coin, "life")))
    return {
        "id": coin.coin_id,
        "rank": None,
        "name": coin.name,
        "symbol": coin.symbol,
        "slug": coin.slug,
        "is_active": 0,
        "status": "inactive" if share(coin, "status") < 0.7 else "untracked",
        "first_historical_data": coin.added_at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "last_historical_data": last.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "platform": coinmarketcap_platform(coin),
    }


def lunarcrush_id(coin: Coin) -> int:
    """LunarCrush numbers coins its own way."""
    return 3 * coin.coin_id + 1


def lunarcrush_coin(coin: Coin, rank: int, at: datetime, *, anchor: datetime) -> dict[str, Any]:
    """An object of coins/list/v2."""
    now = quote(coin, at, anchor=anchor)
    before = quote(coin, at - timedelta(days=1), anchor=anchor)
    fame = math.exp(-2 + 9 * share(coin, "fame"))
    is_talked_about = share(coin, "fame") > 0.15
    return {
        "id": lunarcrush_id(coin),
        "symbol": coin.symbol,
        "name": coin.name,
        "price": now.price,
        "price_btc": now.price / 1e5,
        "volume_24h": now.volume_24h,
        "volatility": round(0.01 + 0.1 * share(coin, "volatility"), 4),
        "circulating_supply": now.market_cap / now.price if now.market_cap else None,
        "max_supply": None,
        "percent_change_24h": 100 * (now.price / before.price - 1),
        "market_cap": now.market_cap,
        "market_cap_rank": rank,
        "interactions_24h": int(400 * fame) if is_talked_about else None,
        "social_volume_24h": int(2 + fame) if is_talked_about else None,
        "social_dominance": fame / 1e5 if is_talked_about else None,
        "market_dominance": 0,
        "galaxy_score": round(20 + 60 * share(coin, f"galaxy {at.date()}"), 1),
        "alt_rank": 1 + int(6_000 * share(coin, f"alt {at.date()}")),
        "sentiment": int(50 + 50 * share(coin, f"sentiment {at.date()}")) if is_talked_about else None,
        "categories": "",
        "blockchains": [{"type": "token", "network": _NETWORKS.get(coin.platform or ""), "address": coin.contract_address, "decimals": 18}],
        "topic": f"{coin.name.lower()} {coin.symbol.lower()}",
        "last_updated_price": int(at.timestamp()),
    }


def lunarcrush_day(coin: Coin, day: date, *, anchor: datetime) -> dict[str, Any]:
    """A daily point of a coin's time series."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    now = quote(coin, start, anchor=anchor)
    posts = int(2 + math.exp(-2 + 9 * share(coin, "fame")) * (0.5 + share(coin, f"posts {day}")))
    return {
        "time": int(start.timestamp()),
        "contributors_active": posts // 2 + 1,
        "contributors_created": posts // 4,
        "interactions": 400 * posts,
        "posts_active": posts,
        "posts_created": posts // 3,
        "sentiment": int(50 + 50 * share(coin, f"sentiment {day}")),
        "spam": posts // 10,
        "close": now.price,
        "market_cap": now.market_cap,
    }


def coincodex_keys(universe: Universe) -> dict[str, Coin]:
    """CoinCodex's own unique symbols: a second coin of a symbol gets a number."""
    keys: dict[str, Coin] = {}
    for coin in universe.coins:
        key, number = coin.symbol, 1
        while key in keys:
            number += 1
            key = f"{coin.symbol}-{number}"
        keys[key] = coin
    return keys


def coincodex_coin(key: str, coin: Coin, rank: int, at: datetime, *, anchor: datetime) -> dict[str, Any]:
    """An object of all_coins.json."""
    now = quote(coin, at, anchor=anchor)
    return {
        "symbol": key,
        "display_symbol": coin.symbol,
        "name": coin.name,
        "aliases": "",
        "shortname": coin.slug,
        "last_price_usd": now.price,
        "market_cap_rank": rank,
        "volume_rank": rank,
        "volume_24_usd": now.volume_24h,
        "last_market_cap_usd": now.market_cap,
    }


def coincodex_point(coin: Coin, at: datetime, *, anchor: datetime) -> list[Any]:
    """A point of get_coin_history: Unix time, price, volume and market capitalisation, the self-reported ones of half the coins too."""
    now = quote(coin, at, anchor=anchor)
    reported = coin.self_reported_cap if share(coin, "codex") < 0.5 else None
    cap = now.market_cap if now.market_cap is not None else reported and reported * now.price / coin.price
    return [int(at.timestamp()), now.price, now.volume_24h, cap]
