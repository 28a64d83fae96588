"""The made-up universe: what every exchange of it holds, however small it is."""

from __future__ import annotations

from collections import Counter

import pytest

from pnd_dagster.simulator.markets import INVENTED_COINS, REAL_COINS
from pnd_dagster.simulator.universe import MARKETS, make_universe


def test_the_same_arguments_give_the_same_universe() -> None:
    assert make_universe(3, 60) == make_universe(3, 60)
    assert make_universe(3, 60) != make_universe(4, 60)


def test_the_full_universe_lists_4400_markets() -> None:
    assert {exchange: len(listings) for exchange, listings in make_universe().listings.items()} == MARKETS


@pytest.mark.parametrize("total", [1, 60, 400])
def test_even_a_small_exchange_has_what_makes_linking_hard(total: int) -> None:
    universe = make_universe(7, total)
    symbols = Counter(coin.symbol for coin in universe.coins)
    for listings in universe.listings.values():
        coins = [listing.coin for listing in listings]
        bases = {coin.symbol for coin in coins}
        tokens = [coin for coin in coins if coin.is_leveraged]
        assert tokens
        assert all(token.leverages in bases for token in tokens)
        assert any(symbols[coin.symbol] > 1 for coin in coins)
        assert any(coin.is_major for coin in coins)
        assert any((coin.verified_cap or 0) > 60e6 and not coin.is_major for coin in coins)
        assert bases & {*REAL_COINS, *INVENTED_COINS}


def test_no_exchange_lists_a_symbol_twice_and_no_two_coins_share_an_id() -> None:
    universe = make_universe(7, 400)
    assert all(len({listing.base for listing in listings}) == len(listings) for listings in universe.listings.values())
    assert max(Counter(coin.coin_id for coin in universe.coins).values()) == 1


def test_majors_have_their_own_names_and_are_never_pumped() -> None:
    majors = [coin for coin in make_universe(7, 60).coins if coin.is_major]
    assert majors[0].name == "Bitcoin"
    assert majors[1].slug == "ethereum"
    assert not {coin.symbol for coin in majors} & {*REAL_COINS, *INVENTED_COINS}


def test_capitalisations_are_verified_self_reported_or_unknown() -> None:
    coins = make_universe(7, 400).coins
    assert any(coin.verified_cap for coin in coins)
    assert any(coin.self_reported_cap for coin in coins)
    assert any(coin.verified_cap is None and coin.self_reported_cap is None for coin in coins)
    assert not any(coin.verified_cap and coin.self_reported_cap for coin in coins)
