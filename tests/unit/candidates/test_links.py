"""Instruments are linked to coins by what tells namesakes apart, and stay linked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pnd_dagster.candidates.link_rules import Coin, Listing, link_listings
from pnd_dagster.candidates.links import link_instruments
from pnd_dagster.simulator.universe import make_universe
from pnd_dagster.storage import Written

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
CONTRACT = "0x00000000000000000000000000000000000000ab"


def linked(place: Any, instrument: int, now: datetime = NOON) -> tuple[int | None, str]:
    link_instruments(place.engine, now)
    row = place.links()[instrument]
    return row["coin_id"], row["method"]


def test_a_contract_decides_among_coins_of_one_symbol(place: Any) -> None:
    abc = place.instrument("ABC", base_name="Something else", contract_address=CONTRACT)
    place.coin(1, "ABC", "Abc Network")
    place.coin(2, "ABC", "Abc Classic", contract_address=CONTRACT.upper().replace("0X", "0x"))
    assert linked(place, abc) == (2, "contract")
    assert place.links()[abc]["rivals"] == [1]


def test_a_contract_that_two_chains_share_is_decided_by_the_symbol(place: Any) -> None:
    abc = place.instrument("ABC", contract_address=CONTRACT)
    place.coin(1, "XYZ", "Xyz", contract_address=CONTRACT)
    place.coin(2, "ABC", "Abc", contract_address=CONTRACT)
    assert linked(place, abc) == (2, "contract")


def test_symbol_and_name_decide_whatever_their_spelling(place: Any) -> None:
    abc = place.instrument("ABC", base_name="ABC-network")
    xyz = place.instrument("XYZ", base_name="Xyz Protocol")
    place.coin(1, "abc", "Abc Network")
    place.coin(2, "ABC", "Abc Network Classic")
    place.coin(3, "XYZ", "Xyz Finance")
    place.coin(4, "XYZ", "Xyz Classic")
    assert linked(place, abc) == (1, "name")
    assert linked(place, xyz) == (3, "name"), "Protocol and Finance are words that vendors add or leave out"


def test_of_coins_with_one_symbol_and_name_the_active_one_is_meant(place: Any) -> None:
    abc = place.instrument("ABC", base_name="Abc")
    place.coin(1, "ABC", "Abc", is_active=False)
    place.coin(2, "ABC", "Abc")
    assert linked(place, abc) == (2, "name")


def test_a_symbol_that_one_active_coin_has_decides_if_prices_agree(place: Any) -> None:
    abc, far = place.instrument("ABC"), place.instrument("FAR")
    for number, base in enumerate(("ABC", "FAR")):
        place.coin(number * 10 + 1, base, f"{base} One", price_usd=2.0)
        place.coin(number * 10 + 2, base, f"{base} Two", price_usd=2.0, is_active=False)
    place.price("ABC", 2.5)
    place.price("FAR", 0.02)
    assert linked(place, abc) == (1, "symbol")
    assert "prices agree within a factor of 1.25" in place.links()[abc]["reason"]
    assert linked(place, far) == (None, "none")
    assert place.links()[far]["reason"] == "its price is 100 times apart from that of FAR One, the only active FAR"
    assert place.links()[far]["rivals"] == [11, 12]


def test_old_prices_decide_nothing(place: Any) -> None:
    abc = place.instrument("ABC")
    place.coin(1, "ABC", "Abc", price_usd=2.0, at=NOON - timedelta(days=30))
    place.price("ABC", 200.0)
    assert linked(place, abc) == (1, "symbol")
    assert "no price to compare" in place.links()[abc]["reason"]


def test_a_name_that_speaks_against_the_only_coin_of_a_symbol_needs_a_price(place: Any) -> None:
    abc = place.instrument("ABC", base_name="Alphabet Soup")
    place.coin(1, "ABC", "Abc Network", price_usd=2.0)
    assert linked(place, abc) == (None, "none")
    assert place.links()[abc]["reason"] == "the exchange calls it Alphabet Soup, not Abc Network, and no price says that they are the same"
    place.price("ABC", 4.0)
    assert linked(place, abc) == (None, "none")
    place.price("ABC", 2.1)
    assert linked(place, abc) == (1, "symbol")


def test_a_name_that_only_repeats_the_symbol_says_nothing(place: Any) -> None:
    abc = place.instrument("ABC", base_name="ABC")
    place.coin(1, "ABC", "Abc Network Inu")
    assert linked(place, abc) == (1, "symbol")


@pytest.mark.parametrize(
    ("tells", "least"), [({"name"}, 1.0), ({"contract"}, 0.99), ({"price"}, 0.93), (set(), 0.93), ({"name", "contract", "price"}, 1.0)]
)
def test_in_a_whole_universe_no_link_is_wrong_whatever_the_exchanges_tell(tells: set[str], least: float) -> None:
    universe = make_universe()
    coins = [Coin(c.coin_id, c.symbol, c.name, True, c.contract_address, c.price) for c in universe.coins]
    listed = [listing.coin for listings in universe.listings.values() for listing in listings]
    listings = [
        Listing(
            number,
            coin.symbol,
            coin.name if "name" in tells else None,
            coin.contract_address if "contract" in tells else None,
            "a derivative token" if coin.is_leveraged else None,
            coin.price * 1.1 if "price" in tells else None,
        )
        for number, coin in enumerate(listed)
    ]
    links = link_listings(listings, coins, {})
    assert [link for link, coin in zip(links, listed, strict=True) if link.coin_id not in (None, coin.coin_id)] == []
    linked_count = sum(link.coin_id is not None for link in links)
    assert linked_count / sum(not coin.is_leveraged for coin in listed) >= least
    # Coins that CoinMarketCap does not know must not be taken for their namesakes, where a name or price tells.
    known = [coin for coin in coins if coin.coin_id % 2]
    unknown = [(link, coin) for link, coin in zip(link_listings(listings, known, {}), listed, strict=True) if coin.coin_id % 2 == 0]
    mistaken = [link for link, _ in unknown if link.coin_id is not None]
    assert len(unknown) > 1_000
    assert len(mistaken) / len(unknown) <= (0.001 if "name" in tells else 0.01 if "price" in tells else 0.05)


def test_what_cannot_be_linked_is_a_row_with_its_reason(place: Any) -> None:
    unknown, shared, dead = place.instrument("NEW"), place.instrument("TWO"), place.instrument("OLD")
    token = place.instrument("BTC3L", is_derivative=True, derivative_of="BTC")
    place.coin(1, "TWO", "Two One")
    place.coin(2, "TWO", "Two Two")
    place.coin(3, "OLD", "Old", is_active=False)
    place.coin(4, "BTC3L", "Somebody's coin")
    link_instruments(place.engine, NOON)
    rows = place.links()
    assert {row["coin_id"] for row in rows.values()} == {None}
    assert rows[unknown]["reason"] == "CoinMarketCap knows no coin NEW"
    assert rows[shared]["reason"] == "2 active coins share the symbol TWO, and neither name nor contract decides"
    assert rows[shared]["rivals"] == [1, 2]
    assert rows[dead]["reason"] == "CoinMarketCap tracks no coin OLD any longer"
    assert rows[token]["reason"] == "a derivative token of BTC"


def test_linking_twice_changes_nothing_and_a_moving_price_rewrites_nothing(place: Any) -> None:
    place.instrument("ABC")
    place.coin(1, "ABC", "Abc", price_usd=2.0)
    place.price("ABC", 2.5)
    assert link_instruments(place.engine, NOON) == Written(1, 0, 0)
    assert link_instruments(place.engine, NOON) == Written(0, 0, 1)
    place.price("ABC", 2.2)
    assert link_instruments(place.engine, NOON) == Written(0, 0, 1)


def test_a_coin_that_comes_later_with_the_same_symbol_does_not_flip_a_link(place: Any) -> None:
    abc = place.instrument("ABC")
    place.coin(1, "ABC", "Abc")
    assert linked(place, abc) == (1, "symbol")
    place.coin(2, "ABC", "Another Abc", at=NOON)
    assert linked(place, abc, NOON + timedelta(days=1)) == (1, "symbol")
    assert place.links()[abc]["rivals"] == [2]
    # Nor does the first coin's disappearance, nor its new name or symbol.
    place.coin(1, "ABC2", "Abc renamed", at=NOON + timedelta(days=1), is_active=False)
    assert linked(place, abc, NOON + timedelta(days=2)) == (1, "symbol")


def test_a_pump_does_not_undo_a_link_but_a_price_of_another_world_does(place: Any) -> None:
    abc = place.instrument("ABC")
    place.coin(1, "ABC", "Abc", price_usd=2.0)
    assert linked(place, abc) == (1, "symbol")
    place.price("ABC", 2.0 * 12)
    assert linked(place, abc) == (1, "symbol")
    place.price("ABC", 2.0 * 1000)
    assert linked(place, abc) == (None, "none")


def test_better_evidence_confirms_a_link_or_corrects_it(place: Any) -> None:
    same, other = place.instrument("ABC"), place.instrument("ABC", "mexc")
    place.coin(1, "ABC", "Abc", contract_address=CONTRACT)
    link_instruments(place.engine, NOON)
    assert {row["method"] for row in place.links().values()} == {"symbol"}
    place.coin(2, "ABC", "Another Abc", at=NOON)
    place.instrument("ABC", instrument_id=same, contract_address=CONTRACT)
    place.instrument("ABC", "mexc", instrument_id=other, base_name="Another Abc")
    assert linked(place, same) == (1, "contract")
    assert linked(place, other) == (2, "name")


def test_knowledge_of_tomorrow_is_not_used(place: Any) -> None:
    abc = place.instrument("ABC")
    place.coin(1, "ABC", "Abc", at=NOON + timedelta(days=1))
    assert linked(place, abc, NOON) == (None, "none")
    assert linked(place, abc, NOON + timedelta(days=2)) == (1, "symbol")
