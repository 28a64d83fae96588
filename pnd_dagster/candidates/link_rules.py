"""Which coin of CoinMarketCap an instrument trades. A symbol alone is no identity: several coins share one.

Belongs here: the decision and its reason. Does not belong here: what the coin is worth (`market_cap`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import polars as pl

from pnd_dagster.candidates.names import loose_name, normalised_name
from pnd_dagster.tables import COIN_LINKS, polars_schema

# Prices of one coin on an exchange and at CoinMarketCap differ by less, even days apart; prices of two coins mostly by far more.
MAX_PRICE_FACTOR = 3.0
# Where the names differ too, closer prices are asked for.
MAX_PRICE_FACTOR_OTHERWISE_NAMED = 1.5
# A link by symbol is given up only when prices differ by this: a pump alone must not undo it.
CONTRADICTING_PRICE_FACTOR = 30.0
_STRENGTH = {"none": 0, "symbol": 1, "name": 2, "contract": 3}


class Coin(NamedTuple):
    """A coin of CoinMarketCap as of its latest snapshot."""

    coin_id: int
    symbol: str
    name: str
    is_active: bool
    contract_address: str | None
    price_usd: float | None


class Listing(NamedTuple):
    """An instrument: what the exchange says of its base currency, and its last price."""

    instrument_id: int
    symbol: str
    name: str | None
    contract_address: str | None
    derivative_reason: str | None
    price_usd: float | None


class Link(NamedTuple):
    """A row of core.coin_links but for its time."""

    instrument_id: int
    coin_id: int | None
    method: str
    rivals: list[int]
    reason: str


class CoinIndex:
    """Coins by id, contract and symbol."""

    def __init__(self, coins: Iterable[Coin]) -> None:
        self.by_id: dict[int, Coin] = {}
        self.by_contract: defaultdict[str, list[Coin]] = defaultdict(list)
        self.by_symbol: defaultdict[str, list[Coin]] = defaultdict(list)
        for coin in coins:
            self.by_id[coin.coin_id] = coin
            self.by_symbol[coin.symbol.upper()].append(coin)
            if coin.contract_address:
                self.by_contract[coin.contract_address.lower()].append(coin)


def link_listings(listings: Sequence[Listing], coins: Iterable[Coin], existing: Mapping[int, Link]) -> list[Link]:
    """A link for each listing, in their order; what was linked before stays unless it is contradicted (see `_still_holds`).

    By contract; by symbol and name; by a symbol that only one active coin has, unless price or name speak against it; else none.
    """
    index = CoinIndex(coins)
    return [_settled(listing, _decide(listing, index), existing.get(listing.instrument_id), index) for listing in listings]


def _decide(listing: Listing, index: CoinIndex) -> Link:
    if listing.derivative_reason is not None:
        return Link(listing.instrument_id, None, "none", [], listing.derivative_reason)
    namesakes = index.by_symbol.get(listing.symbol.upper(), [])
    return _by_contract(listing, index, namesakes) or _by_name(listing, namesakes) or _by_symbol(listing, namesakes)


def _by_contract(listing: Listing, index: CoinIndex, namesakes: Sequence[Coin]) -> Link | None:
    owners = index.by_contract.get(listing.contract_address.lower(), []) if listing.contract_address else []
    coin = _only(owners) or _only([coin for coin in owners if coin.symbol.upper() == listing.symbol.upper()])
    return coin and _link(listing, coin, "contract", namesakes, f"its contract {listing.contract_address} is that of {coin.name}")


def _by_name(listing: Listing, namesakes: Sequence[Coin]) -> Link | None:
    if not normalised_name(listing.name):
        return None
    for simplified in (normalised_name, loose_name):
        matches = [coin for coin in namesakes if simplified(coin.name) == simplified(listing.name)]
        coin = _only(matches) or _only([coin for coin in matches if coin.is_active])
        if coin is not None:
            return _link(listing, coin, "name", namesakes, f"symbol {listing.symbol} and name {coin.name}")
        if matches:
            break
    return None


def _by_symbol(listing: Listing, namesakes: Sequence[Coin]) -> Link:
    active = [coin for coin in namesakes if coin.is_active]
    if not namesakes:
        return _none(listing, namesakes, f"CoinMarketCap knows no coin {listing.symbol}")
    if not active:
        return _none(listing, namesakes, f"CoinMarketCap tracks no coin {listing.symbol} any longer")
    if len(active) > 1:
        return _none(
            listing, namesakes, f"{len(active)} active coins share the symbol {listing.symbol}, and neither name nor contract decides"
        )
    coin = active[0]
    factor = _price_factor(listing, coin)
    if factor is not None and factor > MAX_PRICE_FACTOR:
        return _none(
            listing, namesakes, f"its price is {factor:.3g} times apart from that of {coin.name}, the only active {listing.symbol}"
        )
    if _is_named_otherwise(listing, coin) and (factor is None or factor > MAX_PRICE_FACTOR_OTHERWISE_NAMED):
        return _none(listing, namesakes, f"the exchange calls it {listing.name}, not {coin.name}, and no price says that they are the same")
    if _is_named_otherwise(listing, coin) and listing.contract_address and coin.contract_address:
        return _none(listing, namesakes, f"the exchange calls it {listing.name}, not {coin.name}, and their contracts differ")
    seen = "no price to compare" if factor is None else f"prices agree within a factor of {factor:.2f}"
    return _link(listing, coin, "symbol", namesakes, f"the only active coin {listing.symbol} is {coin.name}; {seen}")


def _is_named_otherwise(listing: Listing, coin: Coin) -> bool:
    # Many exchanges give the symbol as the name, which says nothing.
    is_named = normalised_name(listing.name) not in ("", normalised_name(listing.symbol))
    return is_named and loose_name(listing.name) != loose_name(coin.name)


def _settled(listing: Listing, new: Link, old: Link | None, index: CoinIndex) -> Link:
    """The link that counts: what was decided before, unless it is contradicted or better evidence now says the same."""
    if old is None or old.coin_id is None or not _still_holds(listing, new, old, index):
        return new
    if new.coin_id == old.coin_id and _STRENGTH[new.method] >= _STRENGTH[old.method]:
        # The same on the same evidence: the words of the first time stay, so that a price that moves rewrites nothing.
        return new if _STRENGTH[new.method] > _STRENGTH[old.method] else old._replace(rivals=new.rivals)
    return old._replace(rivals=_rivals(listing, index.by_symbol.get(listing.symbol.upper(), []), old.coin_id))


def _still_holds(listing: Listing, new: Link, old: Link, index: CoinIndex) -> bool:
    """False if the instrument is a derivative, better evidence names another coin, or a link by symbol alone has a price far off.

    Coins that come later with the same symbol, and coins that CoinMarketCap renames or tracks no longer, contradict nothing.
    """
    if listing.derivative_reason is not None:
        return False
    if new.coin_id not in (None, old.coin_id) and _STRENGTH[new.method] > _STRENGTH[old.method]:
        return False
    coin = index.by_id.get(old.coin_id) if old.coin_id is not None else None
    factor = _price_factor(listing, coin) if coin and old.method == "symbol" else None
    return factor is None or factor <= CONTRADICTING_PRICE_FACTOR


def _price_factor(listing: Listing, coin: Coin) -> float | None:
    if not listing.price_usd or not coin.price_usd:
        return None
    return max(listing.price_usd / coin.price_usd, coin.price_usd / listing.price_usd)


def _only(coins: Sequence[Coin]) -> Coin | None:
    return coins[0] if len(coins) == 1 else None


def _link(listing: Listing, coin: Coin, method: str, namesakes: Sequence[Coin], reason: str) -> Link:
    return Link(listing.instrument_id, coin.coin_id, method, _rivals(listing, namesakes, coin.coin_id), reason)


def _none(listing: Listing, namesakes: Sequence[Coin], reason: str) -> Link:
    return Link(listing.instrument_id, None, "none", _rivals(listing, namesakes, None), reason)


def _rivals(listing: Listing, namesakes: Sequence[Coin], chosen: int | None) -> list[int]:
    return sorted(coin.coin_id for coin in namesakes if coin.coin_id != chosen)


def links_frame(links: Iterable[Link], linked_at: datetime) -> pl.DataFrame:
    """Rows of core.coin_links."""
    rows: list[dict[str, Any]] = [{**link._asdict(), "linked_at": linked_at} for link in links]
    return pl.DataFrame(rows, schema=polars_schema(COIN_LINKS))
