"""A made-up universe of coins and the exchanges that list them: what the simulated exchanges and vendors agree on.

The same arguments give the same universe. It holds what makes linking hard: symbols that several coins share, leveraged tokens, coins
whose own name ends like one, market capitalisations that are unreported, only reported by the project itself, or too large for a pump.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

from pnd_dagster.simulator.markets import INVENTED_COINS, MAJORS, REAL_COINS

# How many USDT markets each exchange lists, of 4,400 in all.
MARKETS = {"mexc": 2000, "kucoin": 900, "xt": 800, "latoken": 360, "poloniex": 340}
LEVERAGED = ("3L", "3S", "5L", "5S", "UP", "DOWN", "BULL", "BEAR")
# Coins that are no majors, yet too large for the filter of pump candidates.
LARGE_COINS = ("GRANITE", "MERIDIAN", "ATLANTIS", "COLOSSUS", "HORIZON")
# Names of coins that end like a leveraged token but are none.
TRAPS = ("JUP", "SYRUP", "CROWDOWN", "REDBULL", "TEDDYBEAR", "LOOP")
MAJOR_NAMES = {
    "BTC": "Bitcoin",
    "ETH": "Ethereum",
    "SOL": "Solana",
    "XRP": "XRP",
    "ADA": "Cardano",
    "DOGE": "Dogecoin",
    "LINK": "Chainlink",
    "AVAX": "Avalanche",
    "DOT": "Polkadot",
    "MATIC": "Polygon",
    "LTC": "Litecoin",
    "ATOM": "Cosmos",
}
PLATFORMS = (("Ethereum", "ERC-20"), ("BNB Smart Chain (BEP20)", "BEP-20"), ("Solana", "SPL"), ("Polygon", "ERC-20"), (None, None))
_CONSONANTS, _VOWELS = "BCDFGHKLMNPRSTVWXZ", "AEIOU"


class Coin(NamedTuple):
    """A coin. Capitalisations are in USD: `verified_cap` is CoinMarketCap's, `self_reported_cap` the project's own."""

    coin_id: int
    symbol: str
    name: str
    slug: str
    price: float
    verified_cap: float | None
    self_reported_cap: float | None
    platform: str | None
    token_standard: str | None
    contract_address: str | None
    added_at: datetime
    is_leveraged: bool = False
    leverages: str | None = None
    is_major: bool = False


class Listing(NamedTuple):
    """A USDT market of an exchange."""

    exchange: str
    coin: Coin

    @property
    def base(self) -> str:
        """Base currency, upper case."""
        return self.coin.symbol


class Universe(NamedTuple):
    """All coins (listed or not), and the listings by exchange."""

    coins: tuple[Coin, ...]
    listings: dict[str, tuple[Listing, ...]]


def make_universe(seed: int = 7, total: int = sum(MARKETS.values())) -> Universe:
    """A universe with about `total` USDT markets, shared among the five exchanges as in `MARKETS`, at least 8 each.

    Every exchange lists a major, a leveraged token of it, a coin that shares its symbol with another, a smaller coin above 60 million USD,
    and as many of the coins that simulated channels pump as it has room for. No pumped coin is a major.
    """
    rng = Random(seed)
    sizes = {exchange: max(8, round(total * size / sum(MARKETS.values()))) for exchange, size in MARKETS.items()}
    sizes_of_majors = sorted((rng.uniform(9, 12) for _ in MAJORS), reverse=True)
    majors = [
        _coin(number, symbol, rng, cap=10**size, name=MAJOR_NAMES[symbol])._replace(price=10 ** (1.5 * size - 12.5), is_major=True)
        for number, (symbol, size) in enumerate(zip(MAJORS, sizes_of_majors, strict=True), 1)
    ]
    pumped = [_coin(100 + number, symbol, rng) for number, symbol in enumerate(dict.fromkeys(REAL_COINS + INVENTED_COINS + TRAPS))]
    large = [_coin(900 + number, symbol, rng, cap=10 ** rng.uniform(7.9, 9)) for number, symbol in enumerate(LARGE_COINS)]
    others = [_coin(1_000 + number, symbol, rng) for number, symbol in enumerate(_symbols(max(sizes.values()) * 2, rng))]
    leveraged = [
        _leveraged(100_000 + number, base, suffix, rng)
        for number, (base, suffix) in enumerate((base, suffix) for base in majors for suffix in LEVERAGED)
    ]
    # Every twentieth of the others has a namesake that is listed somewhere, every eighth of the pumped coins one that is not.
    namesakes = [_coin(50_000 + number, coin.symbol, rng, name=f"{coin.name} Classic") for number, coin in enumerate(others[::20])]
    shadows = [_coin(60_000 + number, coin.symbol, rng, name=f"{coin.name} Inu") for number, coin in enumerate(pumped[::8])]
    listings = {
        exchange: _list(exchange, size, majors, leveraged, large, namesakes, pumped, others, rng) for exchange, size in sizes.items()
    }
    return Universe((*majors, *pumped, *large, *others, *namesakes, *shadows), listings)


def _list(
    exchange: str,
    size: int,
    majors: list[Coin],
    leveraged: list[Coin],
    large: list[Coin],
    namesakes: list[Coin],
    pumped: list[Coin],
    others: list[Coin],
    rng: Random,
) -> tuple[Listing, ...]:
    some = max(1, size // 40)
    listed_majors = majors[:some]
    tokens = [token for token in leveraged if token.leverages in {coin.symbol for coin in listed_majors}]
    coins = (
        *listed_majors,
        *rng.sample(tokens, min(len(tokens), some)),
        *large[:some],
        *rng.sample(namesakes, min(len(namesakes), max(1, size // 60))),
        # The pump coins of the channels come before the rest, so that a small exchange has some of them too.
        *pumped,
        *rng.sample(others, min(len(others), size)),
    )
    chosen: dict[str, Coin] = {}
    for coin in coins:
        if len(chosen) < size:
            chosen.setdefault(coin.symbol, coin)
    return tuple(Listing(exchange, coin) for coin in chosen.values())


def _symbols(count: int, rng: Random) -> list[str]:
    taken = {*REAL_COINS, *INVENTED_COINS, *MAJORS, *TRAPS, *LARGE_COINS}
    symbols: dict[str, None] = {}
    while len(symbols) < count:
        letters = [rng.choice(_VOWELS if place % 2 else _CONSONANTS) for place in range(rng.choice((3, 4, 4, 5, 5, 6)))]
        symbol = "".join(letters) + rng.choice(("", "", "", "", "", "2", "X", "AI"))
        if symbol not in taken and not symbol.endswith(LEVERAGED):
            symbols[symbol] = None
    return list(symbols)


def _coin(coin_id: int, symbol: str, rng: Random, *, cap: float | None = None, name: str | None = None) -> Coin:
    # Median 2.7 million USD, as the paper found for pumped coins; a few above 60 million.
    capitalisation = cap or math.exp(rng.gauss(math.log(2.7e6), 1.7))
    kind = "verified" if cap else rng.choices(("verified", "self-reported", "unreported"), (6, 3, 1))[0]
    platform, standard = PLATFORMS[4] if cap else rng.choices(PLATFORMS, (5, 3, 2, 1, 1))[0]
    title = name or f"{symbol.capitalize()} {rng.choice(('Protocol', 'Network', 'Token', 'Finance', 'Coin', 'AI', 'Games'))}"
    return Coin(
        coin_id=coin_id,
        symbol=symbol,
        name=title,
        slug=title.lower().replace(" ", "-"),
        price=10 ** rng.gauss(-2, 1.5),
        verified_cap=capitalisation if kind == "verified" else None,
        self_reported_cap=capitalisation if kind == "self-reported" else None,
        platform=platform,
        token_standard=standard,
        contract_address=f"0x{rng.getrandbits(160):040x}" if platform else None,
        added_at=datetime(2018, 1, 1, tzinfo=UTC) + timedelta(days=rng.randrange(2500)),
    )


def _leveraged(coin_id: int, base: Coin, suffix: str, rng: Random) -> Coin:
    token = _coin(coin_id, base.symbol + suffix, rng, name=f"{base.symbol} {suffix}")
    return token._replace(
        verified_cap=None,
        self_reported_cap=None,
        platform=None,
        token_standard=None,
        contract_address=None,
        is_leveraged=True,
        leverages=base.symbol,
    )
