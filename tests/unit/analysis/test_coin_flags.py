"""Flags of the general guides: raised for what is known, with the reason in words."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from pnd_dagster.analysis.coin_flags import coin_flags

DAY = date(2024, 5, 31)


def coins(*rows: dict[str, Any]) -> pl.DataFrame:
    blank = {"link_reason": None, "cap_source": None, "market_cap_usd": None, "added_at": None, "exchange": "xt"}
    schema = {
        "instrument_id": pl.Int64,
        "exchange": pl.String,
        "symbol": pl.String,
        "link_reason": pl.String,
        "cap_source": pl.String,
        "market_cap_usd": pl.Float64,
        "added_at": pl.Datetime("us", "UTC"),
    }
    return pl.DataFrame([{"instrument_id": number, **blank, **row} for number, row in enumerate(rows, 1)], schema=schema)


def candles(**coins_: tuple[float, dict[int, tuple[float, float, float]]]) -> pl.DataFrame:
    """Candles of 40 days that wobble by 2% around 1; by coin its daily value, and (high, low, close) of days before `DAY` that differ."""
    rows: list[dict[str, Any]] = []
    for coin, (value, others) in coins_.items():
        for back in range(40, -1, -1):
            high, low, close = others.get(back, (1.02, 0.99, 1.0))
            when = DAY - timedelta(days=back)
            rows.append({"exchange": "xt", "symbol": f"{coin}/USDT", "day": when, "high": high, "low": low, "close": close, "value": value})
    return pl.DataFrame(rows)


NO_CANDLES = candles(AAA=(1.0, {})).clear()


def flags(found: pl.DataFrame) -> dict[str, set[str]]:
    return {str(symbol): set(part["flag"]) for (symbol,), part in found.group_by("symbol")}


def test_lack_of_information_is_flagged_with_its_reason() -> None:
    found = coin_flags(
        coins(
            {"symbol": "AAA/USDT", "cap_source": "unlinked", "link_reason": "three coins share AAA"},
            {"symbol": "BBB/USDT", "cap_source": "unreported"},
            {"symbol": "CCC/USDT", "cap_source": "self-reported", "market_cap_usd": 5e6},
            {"symbol": "DDD/USDT", "cap_source": "coinmarketcap", "market_cap_usd": 1e6},
            {"symbol": "EEE/USDT", "cap_source": "coinmarketcap", "market_cap_usd": 9e6},
            {"symbol": "FFF/USDT"},
        ),
        NO_CANDLES,
        DAY,
    )
    assert flags(found) == {
        "AAA/USDT": {"no metadata"},
        "BBB/USDT": {"unreported cap"},
        "CCC/USDT": {"self-reported cap"},
        "DDD/USDT": {"micro cap"},
    }
    assert "three coins share AAA" in found.filter(pl.col("flag") == "no metadata")["reason"][0]
    assert found.filter(pl.col("flag") == "micro cap")["value"].to_list() == [1e6]
    assert set(found["as_of_date"]) == {DAY}


@pytest.mark.parametrize(("days", "is_new"), [(0, True), (30, True), (31, False), (-1, False)])
def test_a_listing_is_new_for_thirty_days(days: int, is_new: bool) -> None:
    added = datetime(2024, 5, 31, 12, tzinfo=UTC) - timedelta(days=days)
    found = coin_flags(coins({"symbol": "AAA/USDT", "added_at": added}), NO_CANDLES, DAY)
    assert found["flag"].to_list() == (["new listing"] if is_new else [])


def test_little_trading_is_flagged() -> None:
    found = coin_flags(coins({"symbol": "AAA/USDT"}, {"symbol": "BBB/USDT"}), candles(AAA=(9_999.0, {}), BBB=(10_001.0, {})), DAY)
    assert flags(found) == {"AAA/USDT": {"thin trading"}}


def test_a_swing_that_neither_the_market_nor_the_coins_past_explains_is_flagged() -> None:
    rich = 1e6
    lone = candles(AAA=(rich, {2: (2.0, 0.99, 1.0)}), BBB=(rich, {}), CCC=(rich, {}))
    listed = coins(*({"symbol": f"{coin}/USDT"} for coin in ("AAA", "BBB", "CCC")))
    found = coin_flags(listed, lone, DAY)
    assert flags(found) == {"AAA/USDT": {"unexplained swing"}}
    assert found["value"][0] == pytest.approx(1.0)
    assert "100.0% from the close before on 2024-05-29" in found["reason"][0]


def test_a_fall_counts_as_a_rise_does() -> None:
    fallen = candles(AAA=(1e6, {0: (1.0, 0.4, 0.5)}), BBB=(1e6, {}), CCC=(1e6, {}))
    found = coin_flags(coins({"symbol": "AAA/USDT"}), fallen, DAY)
    assert found["value"].to_list() == [pytest.approx(-0.6)]


def test_a_day_on_which_all_coins_swing_explains_a_swing() -> None:
    everybody = candles(**{coin: (1e6, {2: (2.0, 0.99, 1.0)}) for coin in ("AAA", "BBB", "CCC")})
    assert coin_flags(coins({"symbol": "AAA/USDT"}), everybody, DAY).is_empty()


def test_a_coin_that_always_swings_is_not_flagged_for_it() -> None:
    wild = dict.fromkeys(range(41), (1.8, 0.7, 1.0))
    assert coin_flags(coins({"symbol": "AAA/USDT"}), candles(AAA=(1e6, wild), BBB=(1e6, {}), CCC=(1e6, {})), DAY).is_empty()


def test_old_swings_and_those_over_a_missing_day_are_not_flagged() -> None:
    old = candles(AAA=(1e6, {9: (3.0, 1.0, 1.0)}), BBB=(1e6, {}), CCC=(1e6, {}))
    assert coin_flags(coins({"symbol": "AAA/USDT"}), old, DAY).is_empty()
    gap = candles(AAA=(1e6, {2: (3.0, 1.0, 1.0)}), BBB=(1e6, {}), CCC=(1e6, {}))
    gap = gap.filter(~((pl.col("symbol") == "AAA/USDT") & (pl.col("day") == DAY - timedelta(days=3))))
    assert coin_flags(coins({"symbol": "AAA/USDT"}), gap, DAY).is_empty()


def test_nothing_known_raises_nothing() -> None:
    assert coin_flags(coins(), NO_CANDLES, DAY).is_empty()
