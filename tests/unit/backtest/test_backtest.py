"""The backtest as a whole: it finds what is there, nothing where nothing is, and never looks beyond the cut-off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pnd_dagster.backtest import pools as pools_module
from pnd_dagster.backtest.backtest import Backtest, Plan, backtest
from pnd_dagster.backtest.market_data import MarketData, read_market
from pnd_dagster.backtest.pools import surrogate_pools, without_clock
from pnd_dagster.backtest.reading import Event
from pnd_dagster.backtest.signal_curve import signal_curve
from pnd_dagster.errors import SettingError, SourceError
from pnd_dagster.simulator.pump_history import write_pump_history

PLAN = Plan(offsets=(20, 300), pool=12, draws=5)
HOUR = 3_600_000
Files = tuple[Path, Path, Path]


@pytest.fixture(autouse=True, scope="module")
def few_decoys() -> Iterator[None]:
    """Windows are what a backtest spends its time on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pools_module, "DECOYS_PER_EVENT", 6)
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Trades, books and events of five pumps with a strong signal."""
    return write_pump_history(tmp_path_factory.mktemp("pumps"), events=5, strength=1.0)


def run(trades: Path, events: Path, plan: Plan = PLAN, books: Path | None = None) -> Backtest:
    return backtest(read_market(events, trades, books), plan)


@pytest.fixture(scope="module")
def clean(files: Files) -> Backtest:
    """A run on the trades as they are."""
    return run(files[0], files[2])


def rewritten(path: Path, frame: pl.DataFrame, name: str) -> Path:
    frame.write_parquet(path.with_name(name))
    return path.with_name(name)


def test_a_strong_signal_is_found_in_trades_in_books_and_in_both(files: Files) -> None:
    trades, books, events = files
    found = run(trades, events, PLAN._replace(sources=("both", "trades", "books")), books).results
    near = found.filter(pl.col("offset_seconds") == 20, pl.col("rule") == "default")
    assert near.sort("source")["source"].to_list() == ["books", "both", "trades"]
    assert near["top3"].min() == 1
    chance = found.filter(pl.col("rule") == "chance")
    assert chance["top5"].mean() == pytest.approx(5 / 13, abs=0.15)
    volume = found.filter(pl.col("rule") == "volume")
    assert set(volume["source"]) == {"both", "trades"}, "without trades there is no volume to sort by"
    assert set(found["n"]) == {5}
    assert set(found["pool_size"]) == {13}


@pytest.mark.parametrize("poison", [float("nan"), 1e9])
def test_nothing_after_the_cut_off_changes_a_byte(files: Files, clean: Backtest, poison: float) -> None:
    trades, _, events = files
    starts = pl.read_csv(events, try_parse_dates=True).select("event_id", at=pl.col("event_time").dt.epoch("ms"))
    rows = pl.read_parquet(trades).join(starts, on="event_id")
    is_later = pl.col("timestamp_ms") > pl.col("at") - min(PLAN.offsets) * 1000
    values = [pl.when(is_later).then(poison).otherwise(name).alias(name) for name in ("price", "amount", "btc_volume")]
    dirty = run(rewritten(trades, rows.with_columns(values), f"poison{poison}.parquet"), events)
    assert clean.results.equals(dirty.results)
    assert clean.events.equals(dirty.events)
    assert clean.pools.windows.values.tobytes() == dirty.pools.windows.values.tobytes()


def test_what_comes_before_the_cut_off_changes_the_ranking(files: Files, clean: Backtest) -> None:
    trades, _, events = files
    quieter = pl.read_parquet(trades).with_columns(amount=pl.col("amount").sort())
    assert not clean.events.equals(run(rewritten(trades, quieter, "quieter.parquet"), events).events)


def test_a_run_repeats_under_its_seed_and_the_order_of_rows_does_not_matter(files: Files, clean: Backtest) -> None:
    trades, _, events = files
    shuffled = rewritten(trades, pl.read_parquet(trades).sample(fraction=1, shuffle=True, seed=3), "shuffled.parquet")
    mixed = events.with_name("mixed.csv")
    pl.read_csv(events).reverse().write_csv(mixed)
    again = run(shuffled, mixed)
    assert clean.results.equals(again.results)
    assert clean.events.equals(again.events)
    assert not clean.events.equals(run(trades, events, PLAN._replace(seed=1)).events)


def test_an_event_that_several_channels_announce_is_ranked_once(files: Files, clean: Backtest) -> None:
    trades, _, events = files
    rows = pl.read_csv(events)
    late = pl.col("event_time").str.replace("17:00:00", "17:20:00")
    twice = events.with_name("twice.csv")
    pl.concat([rows, rows, rows.with_columns(late, event_id=pl.col("event_id") + "-other-channel")]).write_csv(twice)
    assert clean.events.equals(run(trades, twice).events)


def test_a_pool_has_no_window_of_the_pumped_coin_and_none_that_touches_a_pump() -> None:
    events = [Event("A1", "A", 0), Event("A2", "A", 20 * HOUR), Event("B", "B", 0), Event("C", "C", 5 * HOUR)]
    data = MarketData(events, {}, {}, [])
    found = surrogate_pools(data, (20, 60), pool=8, draws=6, seed=2)
    owner = {int(row): event.coin for event, rows in zip(events, found.quiet, strict=True) for row in rows}
    assert len(found.quiet[1]) == 0, "20 h after its first pump the coin has no quiet day"
    for event, decoys in zip(events, found.decoys, strict=True):
        for draw in decoys:
            assert len(set(draw.tolist())) == 8
            assert event.coin not in Counter(owner[int(row)] for row in draw)
    assert not set(found.targets.ravel().tolist()) & set(owner)
    assert [event.event_id for event in without_clock(found, 0).events] == ["A1", "B", "C"]


def test_decoys_end_2_to_22_hours_before_their_own_event(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, np.ndarray] = {}
    original = MarketData.windows

    def spy(self: MarketData, event: Event, cutoffs: np.ndarray):
        asked[event.event_id] = (event.at - cutoffs) / HOUR
        return original(self, event, cutoffs)

    monkeypatch.setattr(MarketData, "windows", spy)
    data = MarketData([Event("A", "A", 0), Event("B", "B", 10**9)], {}, {}, [])
    surrogate_pools(data, (20, 3600), pool=4, draws=1, seed=0)
    for hours in asked.values():
        assert hours[:2].tolist() == pytest.approx([20 / 3600, 1])
        assert ((hours[2:] > 2) & (hours[2:] < 22)).all()


def test_without_the_clock_nothing_is_left_of_a_strong_signal(files: Files) -> None:
    trades, _, events = files
    results = run(trades, events, PLAN._replace(offsets=(20, 40, 60), has_ablations=True)).results
    tops = {name: np.mean(results.filter(pl.col("rule") == name)["top3"].to_list()) for name in ("default", "only_3600s", "without_clock")}
    assert tops["default"] == 1
    assert tops["only_3600s"] == 1
    assert tops["without_clock"] < 0.6


def test_offsets_can_be_counted_from_the_markets_own_start(files: Files) -> None:
    trades, _, events = files
    late = events.with_name("late.csv")
    pl.read_csv(events).with_columns(pl.col("event_time").str.replace("17:00:00", "16:57:00")).write_csv(late)
    announced, moved = read_market(late, trades, None), read_market(late, trades, None, is_onset=True)
    delays = [(b.at - a.at) / 1000 for a, b in zip(announced.events, moved.events, strict=True)]
    assert 180 <= np.median(delays) < 240
    assert "events have an onset" in moved.notes[0]


def test_what_does_not_fit_is_said(files: Files, tmp_path: Path) -> None:
    trades, _, events = files
    data = read_market(events, trades, None)
    with pytest.raises(SettingError, match="--offsets"):
        backtest(data, PLAN._replace(offsets=(20, 0)))
    with pytest.raises(SettingError, match="--sources: both, books needs --books"):
        backtest(data, PLAN._replace(sources=("both", "books")))
    with pytest.raises(SettingError, match="--sources: guesses is none of"):
        backtest(data, PLAN._replace(sources=("guesses",)))
    lines = events.read_text().splitlines()
    alone = tmp_path / "alone.csv"
    alone.write_text("\n".join(lines[:2]))
    with pytest.raises(SourceError, match="a pool of 12 needs windows of other coins than MADE000; there are 0"):
        backtest(read_market(alone, trades, None), PLAN)
    early = tmp_path / "early.csv"
    early.write_text("\n".join([*lines[:4], lines[4].replace("2024-01", "2023-01")]))
    with pytest.raises(SourceError, match=r"MADE003_.* lies before the first of its trades"):
        read_market(early, trades, None)
    strange = tmp_path / "strange.csv"
    strange.write_text("event_id,event_coin,event_time\nX,X,2024-01-10 17:00:00\n")
    with pytest.raises(SourceError, match="holds no trades of any of the 1 events"):
        read_market(strange, trades, None)
    strange.write_text("\n".join([*lines, "X,X,2024-01-10 17:00:00"]))
    assert read_market(strange, trades, None).notes == ["1 of 6 events have no trades and are left out: X"]


def test_the_signal_curve_rises_from_chance() -> None:
    curve = signal_curve(coins=52, events=5, draws=4, strengths=(0.0, 1.0))
    top5 = {(strength, source, pool): value for strength, source, pool, value in curve.select("strength", "source", "pool", "top5").rows()}
    assert len(top5) == 2 * 3 * 2
    assert all(value == 1 for (strength, *_), value in top5.items() if strength == 1)
    assert np.mean([value for (strength, *_), value in top5.items() if strength == 0]) < 0.5


def test_on_real_trades_the_default_rule_is_far_above_chance(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools_module, "DECOYS_PER_EVENT", 2)
    market = shared_data / "market"
    data = read_market(market / "binance_trades_events.csv", market / "binance_trades_around_pumps.parquet", None)
    found = backtest(data, Plan(offsets=(20,), pool=20, draws=10)).results
    top5 = dict(found.select("rule", "top5").rows())
    assert found["n"].unique().to_list() == [32]
    assert top5["default"] > 0.55
    assert top5["chance"] == pytest.approx(5 / 21, abs=0.08)
