"""Coins of 0 to 60 million USD are candidates, by what was known on the day; every decision says why."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.candidates.store import choose_candidates, choose_candidates_of_days, pass_shares
from pnd_dagster.storage import Written, read_frame
from pnd_dagster.tables import CANDIDATE_COINS, COINCODEX_DAILY, COINMARKETCAP_SNAPSHOTS

DAY = date(2024, 5, 1)
START, NOON, END = (datetime(2024, 5, 1, hour, tzinfo=UTC) for hour in (0, 12, 0))
END += timedelta(days=1)
LIMIT = 60e6


def decisions(place: Any, day: date = DAY) -> pl.DataFrame:
    candidate = CANDIDATE_COINS.c
    return read_frame(
        place.engine, sa.select(CANDIDATE_COINS).where(candidate.as_of_date == day).order_by(candidate.symbol, candidate.exchange)
    )


def decided(place: Any, day: date = DAY) -> list[tuple[Any, ...]]:
    choose_candidates(place.engine, day, LIMIT)
    return decisions(place, day).select("market_cap_usd", "cap_source", "is_candidate", "reason").rows()


def linked(place: Any, base: str, coin_id: int, exchange: str = "kucoin", **changes: Any) -> None:
    place.link(place.instrument(base, exchange, **changes), coin_id)


@pytest.mark.parametrize(
    ("caps", "expected"),
    [
        ((2.7e6, 9e9), (2.7e6, "coinmarketcap", True, "market cap 2.7 million USD of 2024-05-01, CoinMarketCap")),
        ((0.0, 1.234e6), (1.234e6, "self-reported", True, "market cap 1.23 million USD of 2024-05-01, self-reported at CoinMarketCap")),
        ((None, 950.0), (950.0, "self-reported", True, "market cap 950 USD of 2024-05-01, self-reported at CoinMarketCap")),
        ((None, None), (None, "unreported", True, "no market cap reported in the 30 days before")),
        ((0.0, 0.0), (None, "unreported", True, "no market cap reported in the 30 days before")),
        ((math.nan, -5.0), (None, "unreported", True, "no market cap reported in the 30 days before")),
        ((LIMIT, None), (LIMIT, "coinmarketcap", True, "market cap 60 million USD of 2024-05-01, CoinMarketCap")),
        ((8.12e8, 1e3), (8.12e8, "coinmarketcap", False, "market cap 812 million USD of 2024-05-01, CoinMarketCap: above 60 million")),
        (
            (None, 1.2e9),
            (1.2e9, "self-reported", False, "market cap 1.2 billion USD of 2024-05-01, self-reported at CoinMarketCap: above 60 million"),
        ),
    ],
)
def test_verified_comes_before_self_reported_and_nothing_is_unreported(
    place: Any, caps: tuple[Any, Any], expected: tuple[Any, ...]
) -> None:
    linked(place, "ABC", 1)
    place.coin(1, "ABC", "Abc", at=NOON, market_cap_usd=caps[0], self_reported_market_cap_usd=caps[1])
    assert decided(place) == [expected]


def test_derivatives_are_out_and_unlinked_instruments_are_in(place: Any) -> None:
    place.link(place.instrument("BTC3L", is_derivative=True, derivative_of="BTC"), None)
    place.link(place.instrument("NEW"), None)
    place.instrument("ZZZ")
    assert decided(place) == [
        (None, "unlinked", False, "derivative token of BTC"),
        (None, "unlinked", True, "market cap unknown: as told"),
        (None, "unlinked", True, "market cap unknown: not linked to a coin yet"),
    ]


def test_only_what_was_listed_on_the_day_is_decided_on(place: Any) -> None:
    place.instrument("TODAY", valid_from=END - timedelta(seconds=1))
    place.instrument("LATER", valid_from=END)
    place.instrument("GONE", valid_to=START)
    place.instrument("GOING", valid_to=START + timedelta(seconds=1))
    choose_candidates(place.engine, DAY, LIMIT)
    assert decisions(place)["symbol"].to_list() == ["GOING/USDT", "TODAY/USDT"]


def test_the_last_snapshot_of_the_day_counts_and_none_after_it(place: Any) -> None:
    linked(place, "ABC", 1)
    for at, cap in ((NOON - timedelta(days=9), 1e6), (NOON, 2e6), (END, 3e6), (END + timedelta(seconds=1), 9e9)):
        place.coin(1, "ABC", "Abc", at=at, market_cap_usd=cap)
    assert decided(place)[0][0] == 3e6
    assert decisions(place)["cap_as_of"].to_list() == [END]


def test_a_cap_that_was_withdrawn_is_unreported_and_an_old_one_says_nothing(place: Any) -> None:
    linked(place, "ABC", 1)
    linked(place, "OLD", 2)
    place.coin(1, "ABC", "Abc", at=NOON - timedelta(days=1), market_cap_usd=9e9)
    place.coin(1, "ABC", "Abc", at=NOON, market_cap_usd=None)
    place.coin(2, "OLD", "Old", at=NOON - timedelta(days=40), market_cap_usd=9e9)
    assert [row[1] for row in decided(place)] == ["unreported", "unreported"]


def test_coincodex_fills_the_days_before_there_were_snapshots_by_symbol_and_name(place: Any) -> None:
    linked(place, "ABC", 1)
    linked(place, "XYZ", 2)
    later = NOON + timedelta(days=90)
    place.coin(1, "ABC", "Abc Network", at=later, market_cap_usd=9e9)
    place.coin(2, "XYZ", "Xyz", at=later, market_cap_usd=9e9)
    place.history("abc", "abc", "ABC network", {DAY - timedelta(days=1): 1e6, DAY: 2e6, DAY + timedelta(days=1): 9e9})
    place.history("abc-classic", "ABC", "Abc Classic", {DAY: 9e9})
    place.history("xyz", "XYZ", "Another Xyz", {DAY: 9e9})
    assert decided(place) == [
        (2e6, "coincodex", True, "market cap 2 million USD of 2024-05-01, CoinCodex"),
        (None, "unreported", True, "no market cap reported in the 30 days before"),
    ]
    # What CoinMarketCap says of the day comes first.
    place.coin(1, "ABC", "Abc Network", at=NOON, self_reported_market_cap_usd=5e6)
    assert decided(place)[0][:2] == (5e6, "self-reported")


def test_coins_that_share_symbol_and_name_at_coincodex_are_not_guessed(place: Any) -> None:
    linked(place, "ABC", 1)
    place.coin(1, "ABC", "Abc", at=NOON + timedelta(days=90))
    place.history("abc", "ABC", "Abc", {DAY: 9e9})
    place.history("abc-2", "ABC", "Abc", {DAY: 1e6})
    assert decided(place)[0][1] == "unreported"


def test_nothing_that_became_known_later_changes_a_decision(place: Any) -> None:
    for number in range(1, 6):
        linked(place, f"COIN{number}", number)
        for days in range(-3, 4):
            at = NOON + timedelta(days=days)
            place.coin(number, f"COIN{number}", f"Coin {number}", at=at, market_cap_usd=None if number == 5 else 1e6 * number)
        place.history(f"coin-{number}", f"COIN{number}", f"Coin {number}", {DAY + timedelta(days=days): 7e6 for days in range(-3, 4)})
    choose_candidates(place.engine, DAY, LIMIT)
    before = decisions(place)
    assert set(before["cap_source"]) == {"coinmarketcap", "coincodex"}
    for poison in (1e15, math.nan, None):
        with place.engine.begin() as connection:
            snapshot, history = COINMARKETCAP_SNAPSHOTS.c, COINCODEX_DAILY.c
            connection.execute(
                sa.update(COINMARKETCAP_SNAPSHOTS)
                .where(snapshot.snapshot_at > END)
                .values(market_cap_usd=poison, self_reported_market_cap_usd=poison, name="poison", symbol="COIN1", is_active=False)
            )
            connection.execute(sa.update(COINCODEX_DAILY).where(history.day > DAY).values(market_cap_usd=poison))
        choose_candidates(place.engine, DAY, LIMIT)
        assert decisions(place).equals(before)
        # The poison is there: the days after see it.
        choose_candidates(place.engine, DAY + timedelta(days=1), LIMIT)
        assert not decisions(place, DAY + timedelta(days=1)).drop("as_of_date").equals(before.drop("as_of_date"))


def test_a_choice_that_is_made_twice_changes_nothing_and_one_made_anew_leaves_nothing_over(place: Any) -> None:
    linked(place, "ABC", 1)
    gone = place.instrument("XYZ")
    place.coin(1, "ABC", "Abc", at=NOON, market_cap_usd=1e6)
    first = choose_candidates(place.engine, DAY, LIMIT)
    assert first.written == Written(2, 0, 0)
    assert first.counts == {"instruments": 2, "candidates": 2, "coinmarketcap": 1, "unlinked": 1}
    assert choose_candidates(place.engine, DAY, LIMIT).written == Written(0, 0, 2)
    place.instrument("XYZ", instrument_id=gone, valid_to=START - timedelta(days=1))
    assert choose_candidates(place.engine, DAY, LIMIT).written == Written(0, 0, 1, deleted=1)


def test_many_days_in_one_pass_decide_as_each_day_on_its_own(place: Any) -> None:
    for number in range(1, 4):
        linked(place, f"COIN{number}", number, valid_from=NOON + timedelta(days=number))
        for days in range(0, 50, number):
            place.coin(number, f"COIN{number}", f"Coin {number}", at=NOON + timedelta(days=days), market_cap_usd=1e6 * days * number)
    span = (DAY - timedelta(days=1), DAY + timedelta(days=40))
    assert choose_candidates_of_days(place.engine, span, LIMIT).inserted == 39 + 38 + 37
    together = read_frame(place.engine, sa.select(CANDIDATE_COINS)).sort("instrument_id", "as_of_date")
    for offset in range(0, 40, 8):
        assert choose_candidates(place.engine, DAY + timedelta(days=offset), LIMIT).written.updated == 0
    assert read_frame(place.engine, sa.select(CANDIDATE_COINS)).sort("instrument_id", "as_of_date").equals(together)


def test_shares_are_of_all_and_of_the_pumped_instruments_of_that_exchange(place: Any) -> None:
    for number, (base, exchange) in enumerate([("ABC", "kucoin"), ("BIG", "kucoin"), ("ABC", "mexc"), ("NEW", "mexc")], start=1):
        linked(place, base, number, exchange)
        place.coin(number, base, f"{base} {number}", at=NOON, market_cap_usd=9e9 if base == "BIG" else 1e6)
    place.pump("kucoin", "ABC", NOON - timedelta(days=100))
    place.pump("kucoin", "ABC", NOON)
    place.pump("kucoin", "BIG", NOON)
    place.pump("mexc", "NEW", END + timedelta(seconds=1))
    place.pump("xt", "ABC", NOON)
    choose_candidates(place.engine, DAY, LIMIT)
    shares = pass_shares(place.engine, DAY)
    assert (shares.instruments, shares.candidates, shares.share) == (4, 3, 0.75)
    assert (shares.pumped, shares.pumped_candidates, shares.pumped_share) == (2, 1, 0.5)
    nothing = pass_shares(place.engine, DAY - timedelta(days=1))
    assert (nothing.share, nothing.pumped_share) == (None, None)
