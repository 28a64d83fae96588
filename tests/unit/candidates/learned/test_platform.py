from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

import numpy as np
import pytest
import sqlalchemy as sa

from pnd_dagster.candidates.learned.platform import platform
from pnd_dagster.tables import LUNARCRUSH_SNAPSHOTS

DAY = date(2024, 5, 1)


class Place(Protocol):
    """What is used of the market in the database."""

    def put(self, table: sa.Table, *rows: dict[str, Any]) -> None: ...
    def instrument(self, base: str, exchange: str = "kucoin", **changes: Any) -> int: ...
    def coin(self, coin_id: int, symbol: str, name: str, **changes: Any) -> None: ...
    def history(self, codex_id: str, symbol: str, name: str, caps: dict[date, float | None]) -> None: ...
    def price(self, base: str, close: float, exchange: str = "kucoin", day: date = DAY) -> None: ...
    def link(self, instrument_id: int, coin_id: int | None) -> None: ...
    def pump(self, exchange: str, symbol: str, released_at: datetime) -> None: ...


def test_an_empty_installation_says_what_is_missing(engine: sa.Engine) -> None:
    source = platform(engine)
    assert source.pumps == []
    assert source.panel.bars == 0
    assert [note.partition(":")[0] for note in source.notes[:2]] == ["core.pump_events is empty", "raw.ohlcv_daily is empty"]


@pytest.fixture
def filled(place: Place) -> Place:
    """Bitcoin, and ABC on two exchanges, linked on the one; caps and two snapshots of a day for it."""
    for number, base in enumerate(("BTC", "ABC"), 1):
        place.link(place.instrument(base), number)
        place.coin(number, base, f"Coin {base}")
        for day in range(3):
            place.price(base, 10.0 * number + day, day=DAY + timedelta(days=day))
    place.price("ABC", 7.0, exchange="mexc", day=DAY)
    place.history("abc-1", "ABC", "coin ABC", {DAY: 5e6, DAY + timedelta(days=1): 0.0})
    social = {"coin_id": 77, "symbol": "ABC", "name": "Coin ABC", "payload": "{}"}
    place.put(
        LUNARCRUSH_SNAPSHOTS,
        social | {"snapshot_at": datetime(2024, 5, 1, 3, tzinfo=UTC), "interactions": 100},
        social | {"snapshot_at": datetime(2024, 5, 1, 20, tzinfo=UTC), "interactions": 130},
    )
    return place


def test_candles_caps_and_social_metrics_meet_by_coin_and_day(engine: sa.Engine, filled: Place) -> None:
    panel = platform(engine).panel
    assert panel.coins == ["kucoin ABC/USDT", "kucoin BTC/USDT", "mexc ABC/USDT"]
    assert panel.reference == 1
    assert panel.observed["close"][0].tolist() == [20, 21, 22]
    np.testing.assert_array_equal(panel.observed["market_cap"][0], [5e6, np.nan, np.nan])
    np.testing.assert_array_equal(panel.observed["interactions"][0], [130, np.nan, np.nan], "the day's last snapshot")
    assert np.isnan(panel.observed["market_cap"][2]).all(), "not linked"
    assert "sentiment" not in panel.observed


def test_coins_that_share_symbol_and_name_get_no_cap(engine: sa.Engine, filled: Place) -> None:
    filled.history("abc-2", "abc", "Coin-ABC", {DAY: 9e9})
    source = platform(engine)
    assert "market_cap" not in source.panel.observed
    assert "no market cap could be joined: its series are left out" in source.notes


def test_events_are_those_of_coins_with_candles_on_that_exchange(engine: sa.Engine, filled: Place) -> None:
    at = datetime(2024, 5, 3, 17, tzinfo=UTC)
    filled.pump("kucoin", "ABC", at)
    filled.pump("kucoin", "XYZ", at)
    source = platform(engine)
    assert [(source.panel.coins[pump.coin], pump.at) for pump in source.pumps] == [("kucoin ABC/USDT", at)]
    assert "1 of 2 events have no known exchange, or no candles of the coin there" in source.notes
