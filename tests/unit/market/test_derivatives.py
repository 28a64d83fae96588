"""Derivative tokens are told from coins whose own name only ends like one."""

from __future__ import annotations

import pytest

from pnd_dagster.market.derivatives import classify
from pnd_dagster.simulator.universe import make_universe

COINS = ["BTC", "ETH", "XRP", "SOL", "DOGE", "LUNA", "RED", "J", "ROOT", "CRO"]


def derivatives(*bases: str, known: tuple[str, ...] = (), names: dict[str, str | None] | None = None) -> dict[str, str | None]:
    return {base: token.base for base, token in classify([*COINS, *bases], known, names=names).items() if token}


@pytest.mark.parametrize(
    "listed",
    [
        ["BTC3L", "BTC3S", "ETH5L", "ETH5S", "DOGE2L", "SOL10S"],
        ["BTCUP", "BTCDOWN", "ETHUP", "XRPDOWN"],
        ["XRPBULL", "XRPBEAR", "ETHBEAR", "BTCHALF", "ETHHEDGE"],
    ],
)
def test_leveraged_and_inverse_tokens_of_coins_are_derivatives(listed: list[str]) -> None:
    assert set(derivatives(*listed)) == set(listed)


def test_coins_that_only_end_like_derivatives_are_coins() -> None:
    traps = [
        "JUP",
        "SYRUP",
        "REDBULL",
        "CROWDOWN",
        "TEDDYBEAR",
        "LOOP",
        "SOUP",
        "PUMPUP",
        "UP",
        "BULL",
        "BEAR",
        "KETCHUP",
        "ROOTUP",
        "W3S",
        "A3L",
    ]
    assert derivatives(*traps) == {}


def test_a_word_after_a_small_coin_needs_its_opposite_listed_too() -> None:
    assert derivatives("REDBULL") == {}
    assert derivatives("REDBULL", "REDBEAR") == {"REDBULL": "RED", "REDBEAR": "RED"}


def test_a_pair_of_numbered_tokens_is_derivative_after_its_coin_was_delisted() -> None:
    assert derivatives("GONE3L") == {}
    assert derivatives("GONE3L", "GONE3S") == {"GONE3L": "GONE", "GONE3S": "GONE"}


def test_a_coin_may_be_known_from_elsewhere() -> None:
    assert derivatives("ZORB3L") == {}
    assert derivatives("ZORB3L", known=("ZORB",)) == {"ZORB3L": "ZORB"}
    assert derivatives("LTC3L") == {"LTC3L": "LTC"}, "a major coin needs not be listed"


def test_a_name_that_says_so_decides() -> None:
    names: dict[str, str | None] = {"BULL": "3X Long Bitcoin Token", "ETCDOG": "1x short something", "JUP": "Jupiter", "RED": None}
    assert derivatives("BULL", "ETCDOG", "JUP", names=names) == {"BULL": None, "ETCDOG": None}


def test_each_decision_has_its_reason() -> None:
    assert classify(["BTC", "BTC3L", "JUP"]) | {} == {"BTC": None, "BTC3L": ("BTC", "BTC exists"), "JUP": None}


def test_in_a_whole_universe_of_coins_none_is_missed_and_none_is_taken_for_one() -> None:
    universe = make_universe()
    for exchange, listings in universe.listings.items():
        truth = {listing.base for listing in listings if listing.coin.is_leveraged}
        found = {base for base, token in classify(listing.base for listing in listings).items() if token}
        assert found == truth, exchange
        assert {"JUP", "SYRUP", "REDBULL"} & found == set()
