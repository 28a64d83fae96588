"""What waits on disk for the database: in order, whole, bounded, and still there after a crash."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pnd_dagster.market.metric_store import gap_row
from pnd_dagster.market.shards import Shard
from pnd_dagster.market.spill import Spill, open_spill
from pnd_dagster.market.tick import Tick
from pnd_dagster.tables import ORDER_BOOK_METRICS, TRADE_METRICS, conform, polars_schema

SHARD = Shard(1, 1)
END = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)
PLENTY = 10_000_000


def tick(place: int = 0) -> Tick:
    end = END + timedelta(seconds=5 * place)
    books = pl.DataFrame({"instrument_id": [1, 2]}).with_columns(
        bucket_end_at=pl.lit(end), mid_price=pl.lit(place + 0.1), bid_levels=20, ask_levels=3, update_count=1, is_gap=False
    )
    gaps = gap_row("mexc", SHARD, [1], end - timedelta(seconds=1), end, "silent")
    trades = pl.DataFrame(schema=polars_schema(TRADE_METRICS))
    return Tick(end, conform(books, ORDER_BOOK_METRICS), trades, gaps, {"watched": 2, "is_gap": True})


def opened(home: Path, max_bytes: int = PLENTY) -> Spill:
    spill = open_spill(home, "mexc", SHARD, max_bytes)
    assert spill
    spill.instrument_ids = [1, 2]
    return spill


def drained(spill: Spill) -> list[datetime]:
    ends: list[datetime] = []
    while (spilled := spill.oldest()) is not None:
        ends.append(spilled.tick.bucket_end_at)
        spill.remove(spilled.tick.bucket_end_at)
    return ends


def test_ticks_come_back_as_they_were_and_in_the_order_of_time(tmp_path: Path) -> None:
    spill = opened(tmp_path)
    for place in (1, 0, 2):
        spill.put(tick(place), clock_offset_seconds=-0.5)
    assert spill.count == 3
    first = spill.oldest()
    assert first
    assert (first.tick.bucket_end_at, first.tick.counts, first.clock_offset_seconds) == (END, tick().counts, -0.5)
    for ours, theirs in zip(
        (first.tick.books, first.tick.trades, first.tick.gaps), (tick().books, tick().trades, tick().gaps), strict=True
    ):
        assert_frame_equal(ours, theirs)
    assert drained(spill) == [END + timedelta(seconds=5 * place) for place in range(3)]
    assert (spill.count, spill.size_bytes, spill.oldest()) == (0, 0, None)


def test_ticks_outlive_the_process_that_wrote_them(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; import importlib.util as u\n"
        f"spec = u.spec_from_file_location('made', {str(Path(__file__))!r}); made = u.module_from_spec(spec)\n"
        "spec.loader.exec_module(made)\n"
        f"spill = made.opened(Path({str(tmp_path)!r})); [spill.put(made.tick(place)) for place in range(3)]; os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert drained(opened(tmp_path)) == [END + timedelta(seconds=5 * place) for place in range(3)]


def test_one_process_has_the_folder_and_the_next_goes_by_the_same_name(tmp_path: Path) -> None:
    spill = opened(tmp_path)
    assert open_spill(tmp_path, "mexc", SHARD, PLENTY) is None
    other = open_spill(tmp_path, "mexc", Shard(1, 2), PLENTY)
    assert other
    assert other.holder != spill.holder
    spill.close()
    assert opened(tmp_path).holder == spill.holder


def test_what_does_not_fit_is_dropped_oldest_first_and_becomes_one_gap(tmp_path: Path) -> None:
    measured = opened(tmp_path / "measure")
    measured.put(tick())
    spill = opened(tmp_path, max_bytes=int(measured.size_bytes * 3.5))
    for place in range(8):
        spill.put(tick(place))
    assert spill.size_bytes <= measured.size_bytes * 3.5
    assert spill.dropped == 5
    spill.close()
    again = opened(tmp_path)
    assert drained(again) == [END + timedelta(seconds=5 * place) for place in (5, 6, 7)]
    lost = again.lost()
    span = lost.filter(pl.col("reason") == "spill full").row(0, named=True)
    assert (span["started_at"], span["ended_at"]) == (END - timedelta(seconds=5), END + timedelta(seconds=20))
    assert span["instrument_ids"] == [1, 2]
    assert lost.filter(pl.col("reason") == "silent").height == 5
    again.forget_lost(again.lost())
    assert again.lost().is_empty()
    again.close()
    assert opened(tmp_path).lost().is_empty()


def test_a_tick_larger_than_the_whole_spill_is_a_gap(tmp_path: Path) -> None:
    spill = opened(tmp_path, max_bytes=100)
    spill.put(tick())
    assert (spill.count, spill.dropped) == (0, 1)
    assert spill.lost().filter(pl.col("reason") == "spill full").height == 1


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-7], lambda content: content[:200] + b"?" + content[201:], lambda content: b""]
)
def test_a_damaged_file_is_put_aside_and_becomes_a_gap_and_the_others_go_on(tmp_path: Path, damage) -> None:
    spill = opened(tmp_path)
    spill.put(tick(0))
    spill.put(tick(1))
    spill.close()
    first = min(tmp_path.rglob("*.tick"))
    first.write_bytes(damage(first.read_bytes()))
    again = opened(tmp_path)
    assert drained(again) == [END + timedelta(seconds=5)]
    assert again.lost().select("started_at", "ended_at").row(0) == (END - timedelta(seconds=5), END)
    assert len(list(tmp_path.rglob("*.bad"))) == 1


def test_a_file_that_was_not_finished_is_no_tick(tmp_path: Path) -> None:
    opened(tmp_path).close()
    folder = next(tmp_path.rglob("lock")).parent
    (folder / "20260301T120005.new").write_bytes(b"half")
    spill = opened(tmp_path)
    assert spill.count == 0
    assert not list(folder.glob("*.new"))


def test_of_two_ticks_of_one_bucket_the_first_counts(tmp_path: Path) -> None:
    spill = opened(tmp_path)
    spill.put(tick())
    spill.put(tick()._replace(books=tick().books.clear()))
    assert spill.count == 1
    kept = spill.oldest()
    assert kept
    assert kept.tick.books.height == 2
    assert spill.newest_end() == END
