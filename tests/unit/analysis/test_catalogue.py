"""Every analysis on an empty database, on a small one, and on files beside it."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.analysis.catalogue import ANALYSES, analysis_by_name
from pnd_dagster.analysis.daily import days_of_metrics
from pnd_dagster.analysis.results import Result
from pnd_dagster.analysis.sources import Files, Sources, sources_of
from pnd_dagster.errors import SettingError, SourceError
from pnd_dagster.settings import Settings
from pnd_dagster.tables import LUNARCRUSH_SNAPSHOTS, OHLCV_DAILY, ORDER_BOOK_METRICS, TRADE_METRICS
from tests.unit.analysis.world import PUMP, fill, tick_files


@pytest.fixture
def no_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are put together but not painted: that is proven on a fresh install, and is most of the time."""
    monkeypatch.setattr("pnd_dagster.analysis.drawing._picture", lambda *_: b"")


@pytest.fixture
def sources(engine: sa.Engine, settings: Settings, no_images: None) -> Sources:
    fill(engine)
    return sources_of(engine, settings)


def compute(name: str, sources: Sources) -> Result:
    return analysis_by_name(name).compute(sources)


def ours(result: Result, what: str) -> object:
    (row,) = result.tables["paper"].filter(pl.col("what").str.starts_with(what)).to_dicts()
    return row["ours"]


def test_on_a_fresh_install_every_analysis_says_what_to_do(engine: sa.Engine, settings: Settings) -> None:
    for analysis in ANALYSES:
        result = analysis.compute(sources_of(engine, settings))
        assert result.tables
        assert any("empty" in note or "set PND_" in note for note in result.notes), (analysis.name, result.notes)


def test_names_and_files_are_distinct() -> None:
    assert len({analysis.name for analysis in ANALYSES}) == len({analysis.stem for analysis in ANALYSES}) == 13
    with pytest.raises(KeyError):
        analysis_by_name("none")


def test_the_price_spike_of_the_database_stands_on_its_quotes(sources: Sources) -> None:
    result = compute("price_spikes", sources)
    assert ours(result, "kucoin: peak") == 3.0
    assert ours(result, "kucoin: minutes") == 0.5
    assert result.tables["events"]["baseline"].to_list() == ["mid"]
    assert any("1 of 2 events of the database have no metrics" in note for note in result.notes)


def test_volumes_of_the_pump_s_day_are_held_against_the_day_before(sources: Sources) -> None:
    result = compute("daily_volumes", sources)
    assert ours(result, "kucoin: volume") == 40.0
    coverage = {(row["venue"], row["data"]) for row in result.tables["coverage"].to_dicts()}
    assert coverage == {("kucoin", "pump's day and the day before"), ("hotbit", "no candles of the coin")}
    by_channel = compute("daily_volumes_by_channel", sources).tables["ratios"]
    assert by_channel.select("channel", "n").rows() == [("kucoin, 7", 1), ("kucoin, 8", 1)]


def test_order_sizes_are_those_of_the_candles_and_books(sources: Sources) -> None:
    result = compute("order_sizes", sources)
    (row,) = result.tables["events"].to_dicts()
    assert (row["days_before"], row["order_size_before"], row["order_size_on"]) == (7, 5.0, 50.0)
    assert result.tables["book_levels"].is_empty()


def test_a_day_in_two_sources_counts_once_and_by_the_whole_one(sources: Sources) -> None:
    # The pump's day is in raw.ohlcv_daily (40 trades) and in part in core.trade_metrics (3 trades).
    assert days_of_metrics(sources).select("trade_count", "is_complete").rows() == [(3, False)]
    partial = sa.update(OHLCV_DAILY).where(OHLCV_DAILY.c.day == PUMP.date()).values(trade_count=None)
    with sources.engine.begin() as connection:
        connection.execute(partial)
    assert compute("order_sizes", sources).tables["events"].select("order_size_on", "has_partial_day").rows() == [(1.0, True)]


def test_the_capitalisation_is_the_one_before_the_pump(sources: Sources) -> None:
    result = compute("market_cap_filter", sources)
    assert ours(result, "share of pumped coins inside") == 1.0
    assert ours(result, "median capitalisation") == 3e6
    assert ours(result, "share of all instruments") == 1.0
    channels = compute("coin_sizes_by_channel", sources).tables["channels"]
    assert channels.select("channel_id", "events", "n", "market_cap_usd").rows() == [("7", 2, 1, 3e6), ("8", 1, 1, 3e6)]


def test_coins_and_standards_are_those_that_the_links_tell(sources: Sources) -> None:
    coins = compute("most_pumped_coins", sources)
    assert dict(coins.tables["identities"].select("identity", "events").iter_rows()) == {"instrument": 1, "unknown": 1}
    standards = {row["standard"]: row["pumped_share"] for row in compute("token_standards", sources).tables["standards"].to_dicts()}
    assert (standards["ERC-20"], standards["Runes"], standards["ERC-721"]) == (1.0, 0.0, None)


def test_a_human_s_label_counts_before_all_others_and_an_abstained_one_of_a_language_model_does_not(sources: Sources) -> None:
    table = compute("label_distribution", sources).tables["labels"]
    assert dict(table.select("label", "messages").iter_rows()) == {
        "Pump Announcement": 0,
        "Countdown": 1,
        "Target Coin Release": 1,
        "Pump Results": 0,
        "Delay/Cancellation": 0,
        "Noise": 1,
    }
    assert table["share"].sum() == pytest.approx(1)
    assert table["by_human"].sum() == 1


def test_sources_are_counted_with_their_days(sources: Sources) -> None:
    rows = {row["source"]: row for row in compute("data_sources", sources).tables["sources"].to_dicts()}
    candles = rows["raw.ohlcv_daily"]
    assert (candles["rows"], candles["things"], str(candles["first_day"]), str(candles["last_day"])) == (8, 1, "2026-03-03", "2026-03-10")
    assert candles["paper_rows"] == 365_982
    assert rows["raw.telegram_messages"]["rows"] == 0


def test_events_have_their_exchange_and_month(sources: Sources) -> None:
    result = compute("events_by_exchange", sources)
    assert result.tables["exchanges"]["exchange"].to_list() == ["hotbit", "kucoin"]
    assert ours(result, "share of events on hotbit") == 0.5
    assert ours(result, "events, by the paper's key") == 2.0
    assert compute("events_by_month", sources).tables["per_month"]["events"].sum() == 2


def test_social_data_of_the_database_are_the_last_of_each_day(sources: Sources) -> None:
    features = compute("social_features", sources).tables["features"]
    assert features.height == 12
    assert features["dominance"].unique().to_list() == [0.01]


def test_tick_trades_of_files_stand_beside_the_database(sources: Sources, tmp_path: Path) -> None:
    trades, log = tick_files(tmp_path)
    both = sources._replace(files=Files(trades, log))
    spikes = compute("price_spikes", both)
    assert ours(spikes, "some_trades: peak") == 2.0
    assert ours(spikes, "some_trades: minutes") == pytest.approx(0.1)
    assert ours(spikes, "kucoin: peak") == 3.0
    assert any("1 of 3 events of some_events.csv have no trades" in note for note in spikes.notes)
    told = compute("daily_volumes_by_channel", both).tables["ratios"]["channel"].to_list()
    assert {"some_trades, 7", "some_trades, 8", "some_trades, no channel known"} <= set(told)


def test_candles_of_a_file_are_another_market(sources: Sources, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.parquet"
    days = pl.datetime_range(pl.datetime(2026, 1, 1), pl.datetime(2026, 1, 3), "1d", eager=True)
    frame = pl.DataFrame(
        {"symbol": "XYZ/USDT/1h", "timestamp": days, "close": 2.0, "volume": [1.0, 3.0, float("nan")], "hours": [24, 24, 24]}
    )
    frame.write_parquet(path)
    quiet = compute("daily_volumes", sources._replace(files=Files(candles=path))).tables["quiet_days"]
    assert quiet.filter(pl.col("market") == "elsewhere").select("n", "median_ratio").row(0) == (1, 3.0)


def test_numbers_that_are_none_enter_no_figure_and_are_counted(sources: Sources) -> None:
    start = PUMP.date() - timedelta(days=7)
    with sources.engine.begin() as connection:
        connection.execute(sa.update(OHLCV_DAILY).where(OHLCV_DAILY.c.day == start).values(volume=math.nan))
        connection.execute(sa.update(ORDER_BOOK_METRICS).values(mid_price=math.inf, average_order_size=math.nan))
        connection.execute(sa.update(TRADE_METRICS).where(TRADE_METRICS.c.last_price == 1.0).values(last_price=0.0))
        connection.execute(sa.update(LUNARCRUSH_SNAPSHOTS).values(social_dominance=math.nan, price_usd=math.inf))
    results = {name: compute(name, sources) for name in ("daily_volumes", "order_sizes", "price_spikes", "social_features")}
    assert any("1 candles of raw.ohlcv_daily" in note for note in results["daily_volumes"].notes)
    assert results["order_sizes"].tables["events"]["days_before"].to_list() == [6]
    assert results["price_spikes"].tables["events"]["magnitude"].to_list() == [None]
    frames = [frame for result in results.values() for frame in result.tables.values()]
    assert all(frame[name].drop_nulls().is_finite().all() for frame in frames for name, dtype in frame.schema.items() if dtype.is_float())


def test_a_bucket_that_ends_with_the_release_was_before_it(sources: Sources) -> None:
    with sources.engine.begin() as connection:
        at = TRADE_METRICS.c.bucket_end_at
        connection.execute(sa.update(TRADE_METRICS).where(at == PUMP + timedelta(seconds=30)).values(bucket_end_at=PUMP))
    assert ours(compute("price_spikes", sources), "kucoin: peak") == pytest.approx(2.0 / 1.5)


def test_files_that_do_not_fit_are_named(sources: Sources, settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "wrong.parquet"
    pl.DataFrame({"coin": ["A"]}).write_parquet(path)
    with pytest.raises(SourceError, match=r"wrong\.parquet: missing columns symbol, close, volume"):
        compute("daily_volumes", sources._replace(files=Files(candles=path)))
    with pytest.raises(SourceError, match=r"wrong\.parquet: missing columns day, tweets"):
        compute("social_features", sources._replace(files=Files(social=path)))
    for name in ("social_features", "data_sources"):
        with pytest.raises(SourceError, match=r"none\.parquet"):
            compute(name, sources._replace(files=Files(social=tmp_path / "none.parquet")))
    pl.DataFrame({"coin": ["A"], "day": ["yesterday"], "tweets": ["many"]}).write_parquet(path)
    with pytest.raises(SourceError, match=r"wrong\.parquet: conversion from"):
        compute("social_features", sources._replace(files=Files(social=path)))
    pl.DataFrame({"coin": ["A"] * 2, "day": [PUMP.date()] * 2, "tweets": [1, 2]}).write_parquet(path)
    with pytest.raises(SourceError, match=r"several rows of coin A on 2026-03-10"):
        compute("social_features", sources._replace(files=Files(social=path)))
    with pytest.raises(SettingError, match="belong together"):
        sources_of(sources.engine, settings.model_copy(update={"backtest_trades": path}))


@pytest.mark.shared
def test_the_real_trades_give_the_figures_of_the_docs(engine: sa.Engine, settings: Settings, shared_data: Path, no_images: None) -> None:
    market = shared_data / "market"
    files = Files(market / "binance_trades_around_pumps.parquet", market / "binance_trades_events.csv")
    sources = Sources(engine, settings, files)
    (spike,) = compute("price_spikes", sources).tables["summary"].to_dicts()
    assert spike["n"] == 32
    assert spike["magnitude"] == pytest.approx(1.39, abs=0.01)
    assert spike["minutes_to_peak"] == pytest.approx(1.57, abs=0.01)
    (ratio,) = compute("daily_volumes", sources).tables["ratios"].to_dicts()
    assert ratio["ratio_of_means"] == pytest.approx(9.39, abs=0.01)
