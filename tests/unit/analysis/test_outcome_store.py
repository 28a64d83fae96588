"""Outcomes in the database: the finest prices are believed, what retention dropped stays, what is unknown is NULL."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster import tables
from pnd_dagster.analysis.outcome_store import outcome_figures, write_outcomes
from pnd_dagster.errors import SettingError
from pnd_dagster.settings import Settings
from pnd_dagster.storage import read_frame
from tests.unit.analysis.conduct_world import NOW, PAIR, START, collected, event, instrument, put, quiet_day

PUMP = [(20.0, 1.5, 500.0), (40.0, 2.0, 500.0), (700.0, 1.2, 50.0), (3400.0, 1.1, 10.0), (4200.0, 1.0, 10.0)]


def stored(engine: sa.Engine) -> dict[str, dict[str, object]]:
    rows = read_frame(engine, sa.select(tables.PUMP_OUTCOMES))
    return {row["event_id"]: row for row in rows.iter_rows(named=True)}


@pytest.fixture
def pumped(engine: sa.Engine) -> sa.Engine:
    """AAA on xt, pumped at START and collected."""
    put(engine, tables.INSTRUMENTS, instrument())
    put(engine, tables.PUMP_EVENTS, event("e1"))
    collected(engine, *quiet_day(), *PUMP)
    return engine


def candle(engine: sa.Engine, back: int, high: float, close: float, volume: float) -> None:
    day = START.date() - timedelta(days=back)
    prices = {"open": close, "high": high, "low": close, "close": close, "volume": volume, "quote_volume": None}
    put(engine, tables.OHLCV_DAILY, {"exchange": "xt", "symbol": "AAA/USDT", "day": day, "source": "ohlcv", "is_complete": True} | prices)


def test_an_event_that_was_collected_is_measured_by_its_buckets(pumped: sa.Engine, settings: Settings) -> None:
    found = write_outcomes(pumped, settings, NOW)
    assert found.written.inserted == 1
    row = stored(pumped)["e1"]
    assert (row["resolution"], row["data"], row["quote_symbol"]) == ("5 s", "core.trade_metrics", "USDT")
    assert (row["gain_ratio"], row["seconds_to_peak"], row["is_moved"]) == (1.0, 40.0, True)
    assert row["peak_at"] == START + timedelta(seconds=40)
    assert row["volume_ratio"] == pytest.approx(1060 / 10)
    assert row["bought_30s_10min_ratio"] == pytest.approx(2 / 2 - 1)
    assert row["bought_30s_1h_ratio"] == pytest.approx(1.1 / 2 - 1)


def test_writing_twice_changes_nothing(pumped: sa.Engine, settings: Settings) -> None:
    write_outcomes(pumped, settings, NOW)
    again = write_outcomes(pumped, settings, NOW + timedelta(hours=1)).written
    assert (again.inserted, again.updated, again.deleted) == (0, 0, 0)


def test_what_was_measured_stays_when_retention_drops_the_buckets(pumped: sa.Engine, settings: Settings) -> None:
    write_outcomes(pumped, settings, NOW)
    before = stored(pumped)
    with pumped.begin() as connection:
        connection.execute(sa.delete(tables.TRADE_METRICS))
    candle(pumped, 1, 1.0, 1.0, 10.0)
    candle(pumped, 0, 9.0, 1.0, 10.0)
    write_outcomes(pumped, settings, NOW)
    assert stored(pumped) == before


def test_an_event_that_is_gone_loses_its_outcome(pumped: sa.Engine, settings: Settings) -> None:
    write_outcomes(pumped, settings, NOW)
    with pumped.begin() as connection:
        connection.execute(sa.delete(tables.PUMP_EVENTS))
    assert write_outcomes(pumped, settings, NOW).written.deleted == 1


def test_an_event_that_is_not_over_waits(pumped: sa.Engine, settings: Settings) -> None:
    assert write_outcomes(pumped, settings, START + timedelta(hours=2)).written.inserted == 0


def test_a_blind_moment_leaves_the_buckets_aside_and_the_candles_count(pumped: sa.Engine, settings: Settings) -> None:
    at = START + timedelta(minutes=5)
    put(
        pumped,
        tables.FEED_GAPS,
        {
            "gap_id": "g",
            "exchange": "xt",
            "shard": "1/1",
            "instrument_ids": [PAIR],
            "started_at": at,
            "ended_at": at + timedelta(seconds=9),
        },
    )
    for back, high, close, volume in ((2, 1.0, 1.0, 5.0), (1, 1.1, 1.0, 10.0), (0, 3.0, 1.5, 200.0)):
        candle(pumped, back, high, close, volume)
    write_outcomes(pumped, settings, NOW)
    row = stored(pumped)["e1"]
    assert (row["resolution"], row["gain_ratio"], row["seconds_to_peak"]) == ("day", 2.0, None)
    assert row["volume_ratio"] == pytest.approx(1.5 * 200 / 10)
    assert row["drawdown_ratio"] == pytest.approx(-0.5)


def test_a_day_missing_between_leaves_the_outcome_unknown(engine: sa.Engine, settings: Settings) -> None:
    put(engine, tables.PUMP_EVENTS, event("e1"))
    candle(engine, 2, 1.0, 1.0, 5.0)
    candle(engine, 0, 3.0, 1.5, 200.0)
    write_outcomes(engine, settings, NOW)
    assert (stored(engine)["e1"]["resolution"], stored(engine)["e1"]["gain_ratio"]) == (None, None)


def test_candles_of_another_year_say_nothing_of_an_event(engine: sa.Engine, settings: Settings) -> None:
    put(engine, tables.PUMP_EVENTS, event("e1"))
    put(engine, tables.PUMP_EVENTS, event("e2", at=START - timedelta(days=400)))
    for back, high, close, volume in ((1, 1.0, 1.0, 10.0), (0, 3.0, 1.5, 200.0)):
        candle(engine, back, high, close, volume)
    write_outcomes(engine, settings, NOW)
    assert [stored(engine)[number]["resolution"] for number in ("e1", "e2")] == ["day", None]


def test_symbols_shared_by_two_coins_of_an_exchange_are_not_guessed_at(pumped: sa.Engine, settings: Settings) -> None:
    put(pumped, tables.INSTRUMENTS, instrument(78, "AAA", market_id="AAA2"))
    write_outcomes(pumped, settings, NOW)
    assert stored(pumped)["e1"]["resolution"] is None


def files(folder: Path, seconds: int) -> dict[str, Path]:
    """Files of one past pump of AAA that was announced so long after START."""
    at = START + timedelta(seconds=seconds)
    events, trades = folder / "pumps.csv", folder / "ticks.parquet"
    pl.DataFrame({"event_id": ["AAA_1"], "event_coin": ["aaa"], "event_time": [at.isoformat()]}).write_csv(events)
    rows = [*quiet_day(), *PUMP]
    times = [round((START.timestamp() + second) * 1000) for second, _, _ in rows]
    prices = [2 * price for _, price, _ in rows]
    columns = {"event_id": ["AAA_1"] * len(rows), "symbol": ["AAA/BTC"] * len(rows), "timestamp_ms": times, "side": ["buy"] * len(rows)}
    pl.DataFrame(columns | {"price": prices, "amount": [1.0] * len(rows), "btc_volume": prices}).write_parquet(trades)
    return {"backtest_events": events, "backtest_trades": trades}


def test_single_trades_are_believed_first_and_count_from_the_release(pumped: sa.Engine, settings: Settings, tmp_path: Path) -> None:
    found = write_outcomes(pumped, settings.model_copy(update=files(tmp_path, 300)), NOW)
    row = stored(pumped)["e1"]
    assert (row["resolution"], row["data"], row["quote_symbol"], row["exchange"]) == ("trade", "ticks", "BTC", "xt")
    assert (row["peak_price"], row["seconds_to_peak"]) == (4.0, 40.0)
    assert "1 of 1 pumps of pumps.csv have trades; 1 are known events" in found.notes


def test_a_past_pump_that_is_no_known_event_stands_for_itself(pumped: sa.Engine, settings: Settings, tmp_path: Path) -> None:
    write_outcomes(pumped, settings.model_copy(update=files(tmp_path, 1200)), NOW)
    assert stored(pumped)["e1"]["resolution"] == "5 s"
    other = stored(pumped)["AAA_1"]
    assert (other["resolution"], other["exchange"], other["symbol"]) == ("trade", None, "AAA")


def test_a_fresh_install_says_what_to_do(engine: sa.Engine, settings: Settings) -> None:
    found = write_outcomes(engine, settings, NOW)
    assert any("pnd collect" in note for note in found.notes)
    assert outcome_figures(engine).is_empty()


def test_half_a_pair_of_files_is_refused(engine: sa.Engine, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="PND_BACKTEST_EVENTS"):
        write_outcomes(engine, settings.model_copy(update={"backtest_trades": tmp_path / "t.parquet"}), NOW)


def test_the_real_trades_give_what_their_source_says_of_them(engine: sa.Engine, settings: Settings, shared_data: Path) -> None:
    """The source counts trades and the gain from its own price before; both follow from the same trades."""
    market = shared_data / "market"
    named = {"backtest_trades": market / "binance_trades_around_pumps.parquet", "backtest_events": market / "binance_trades_events.csv"}
    write_outcomes(engine, settings.model_copy(update=named), NOW)
    ours = read_frame(engine, sa.select(tables.PUMP_OUTCOMES))
    source = pl.read_csv(named["backtest_events"])
    both = ours.join(source, on="event_id")
    assert both.height == 32
    run_up = (1 + both["gain_ratio"]) / (1 + both["run_up_ratio"]) - 1
    difference = run_up - both["gain_10min_pct"] / 100
    assert difference.abs().filter(both["seconds_to_peak"] < 600).max() < 1e-6  # pyright: ignore[reportOperatorIssue]
    figures = outcome_figures(engine)
    assert figures.filter(pl.col("what") == "gain_ratio")["n"].to_list() == [32]


def test_buckets_without_a_price_and_the_one_that_ends_with_the_release_are_no_peak(engine: sa.Engine, settings: Settings) -> None:
    put(engine, tables.INSTRUMENTS, instrument())
    put(engine, tables.PUMP_EVENTS, event("e1"))
    collected(engine, *quiet_day(), (0.0, 9.0, 5.0), (5.0, math.nan, 1.0), (10.0, 1.5, 5.0), (15.0, 0.0, 5.0))
    write_outcomes(engine, settings, NOW)
    row = stored(engine)["e1"]
    assert (row["peak_price"], row["seconds_to_peak"], row["return_1h_ratio"]) == (1.5, 10.0, 0.5)


def test_candles_that_are_none_are_passed_over_and_counted(engine: sa.Engine, settings: Settings) -> None:
    put(engine, tables.PUMP_EVENTS, event("e1"))
    for back, high, close in ((0, 3.0, 2.0), (1, 1.0, 1.0), (2, 1.0, 0.0), (3, 1.0, math.inf)):
        candle(engine, back, high, close, 1.0)
    found = write_outcomes(engine, settings, NOW)
    assert any(note.startswith("2 candles") for note in found.notes)
    assert stored(engine)["e1"]["gain_ratio"] == 2.0
