"""Ticks in Postgres: whole or not at all, once, and only under the current lease."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.errors import DatabaseError, LeaseLostError
from pnd_dagster.market.metric_store import TickRefusedError, gap_row, last_commit, write_gaps, write_tick
from pnd_dagster.market.shards import Shard
from pnd_dagster.market.tick import Tick
from pnd_dagster.storage import create_engine, read_frame
from pnd_dagster.storage.leases import Lease, acquire
from pnd_dagster.tables import BUCKET_COMMITS, FEED_GAPS, ORDER_BOOK_METRICS, TRADE_METRICS, conform, polars_schema

SHARD = Shard(1, 2)
END = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)


@pytest.fixture
def lease(engine: sa.Engine) -> Lease:
    taken = acquire(engine, "collect:kucoin:1/2", "me", 60)
    assert taken
    return taken


def tick(end: datetime = END, ids: tuple[int, ...] = (1, 2, 3), price: float = 2.5) -> Tick:
    books = pl.DataFrame({"instrument_id": ids}).with_columns(
        bucket_end_at=pl.lit(end),
        mid_price=pl.lit(price),
        bid_levels=20,
        ask_levels=20,
        update_count=4,
        is_gap=pl.col("instrument_id") == 2,
    )
    trades = pl.DataFrame({"instrument_id": ids[:1]}).with_columns(
        bucket_end_at=pl.lit(end), trade_count=7, volume=pl.lit(1.5), vwap=pl.lit(price), is_gap=False
    )
    counts = {
        **dict.fromkeys(("watched", "blind", "book_updates", "trades", "unusable_books", "rejected_frames", "duplicates"), 3),
        "is_gap": True,
    }
    gaps = gap_row("kucoin", SHARD, ids[:1], end - timedelta(seconds=3), end, "silent")
    return Tick(end, conform(books, ORDER_BOOK_METRICS), conform(trades, TRADE_METRICS), gaps, counts)


def stored(engine: sa.Engine, table: sa.Table) -> pl.DataFrame:
    return read_frame(engine, sa.select(table))


def test_a_tick_is_stored_with_its_commit_row(engine: sa.Engine, lease: Lease) -> None:
    assert write_tick(engine, lease, "kucoin", SHARD, tick(), clock_offset_seconds=0.25)
    assert stored(engine, ORDER_BOOK_METRICS).sort("instrument_id").equals(tick().books)
    assert stored(engine, TRADE_METRICS).equals(tick().trades)
    assert stored(engine, FEED_GAPS)["reason"].to_list() == ["silent"]
    commit = stored(engine, BUCKET_COMMITS).row(0, named=True)
    assert (commit["exchange"], commit["shard"], commit["bucket_end_at"]) == ("kucoin", "1/2", END)
    assert (commit["book_rows"], commit["trade_rows"], commit["watched"], commit["is_gap"]) == (3, 1, 3, True)
    assert (commit["lease_epoch"], commit["is_spilled"], commit["clock_offset_seconds"]) == (lease.epoch, False, 0.25)
    assert commit["lag_seconds"] == pytest.approx((commit["committed_at"] - END).total_seconds(), abs=0.01)


def test_a_tick_that_is_there_is_not_written_again(engine: sa.Engine, lease: Lease) -> None:
    assert write_tick(engine, lease, "kucoin", SHARD, tick())
    assert not write_tick(engine, lease, "kucoin", SHARD, tick(price=9.0))
    assert stored(engine, ORDER_BOOK_METRICS)["mid_price"].unique().to_list() == [2.5]
    assert stored(engine, BUCKET_COMMITS).height == 1


def test_an_empty_tick_leaves_a_commit_row(engine: sa.Engine, lease: Lease) -> None:
    empty = tick()._replace(books=tick().books.clear(), trades=tick().trades.clear(), gaps=tick().gaps.clear())
    assert write_tick(engine, lease, "kucoin", SHARD, empty)
    assert stored(engine, BUCKET_COMMITS)["book_rows"].to_list() == [0]


def test_a_stale_holder_writes_nothing(engine: sa.Engine, lease: Lease) -> None:
    assert acquire(engine, lease.name, "me", 60)
    with pytest.raises(LeaseLostError):
        write_tick(engine, lease, "kucoin", SHARD, tick())
    with pytest.raises(LeaseLostError):
        write_gaps(engine, lease, tick().gaps)
    assert all(stored(engine, table).is_empty() for table in (ORDER_BOOK_METRICS, TRADE_METRICS, FEED_GAPS, BUCKET_COMMITS))


def test_rows_that_another_shard_wrote_before_the_instruments_moved_stay(engine: sa.Engine, lease: Lease) -> None:
    other = acquire(engine, "collect:kucoin:2/2", "you", 60)
    assert other
    write_tick(engine, other, "kucoin", Shard(2, 2), tick(ids=(3, 4)))
    assert write_tick(engine, lease, "kucoin", SHARD, tick(price=9.0))
    books = stored(engine, ORDER_BOOK_METRICS).sort("instrument_id")
    assert dict(books.select("instrument_id", "mid_price").iter_rows()) == {1: 9.0, 2: 9.0, 3: 2.5, 4: 2.5}
    commits = stored(engine, BUCKET_COMMITS)
    assert dict(commits.select("shard", "book_rows").iter_rows()) == {"1/2": 2, "2/2": 2}


def test_a_day_without_a_partition_gets_one(engine: sa.Engine, lease: Lease) -> None:
    far = datetime(2033, 7, 1, tzinfo=UTC)
    assert write_tick(engine, lease, "kucoin", SHARD, tick(far))
    assert stored(engine, ORDER_BOOK_METRICS).height == 3


def test_the_same_tick_from_two_threads_is_stored_once(engine: sa.Engine, lease: Lease) -> None:
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda _: write_tick(engine, lease, "kucoin", SHARD, tick()), range(4)))
    assert sum(written) == 1
    assert stored(engine, ORDER_BOOK_METRICS).height == 3


def test_a_tick_that_can_never_be_written_is_told_from_a_database_that_is_away(engine: sa.Engine, lease: Lease) -> None:
    twice = tick(ids=(1, 1, 2))
    with pytest.raises(TickRefusedError, match="null value"):
        write_tick(engine, lease, "kucoin", SHARD, twice._replace(counts={**twice.counts, "watched": None}))  # pyright: ignore[reportArgumentType]
    away = create_engine("postgresql://nobody@127.0.0.1:1/nowhere")
    with pytest.raises(DatabaseError, match="cannot write"):
        write_tick(away, lease, "kucoin", SHARD, tick())
    assert stored(engine, BUCKET_COMMITS).is_empty()


def test_whoever_listens_is_told_of_each_bucket(engine: sa.Engine, lease: Lease) -> None:
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.autocommit = True
        driver.execute("LISTEN bucket_commits")
        write_tick(engine, lease, "kucoin", SHARD, tick())
        notice = next(driver.notifies(timeout=5))
        driver.execute("UNLISTEN *")
        driver.autocommit = False
    assert notice.payload == "kucoin 1/2 2026-03-01T12:00:05+00:00"


def test_the_last_commit_is_of_this_shard(engine: sa.Engine, lease: Lease) -> None:
    assert last_commit(engine, "kucoin", SHARD) is None
    write_tick(engine, lease, "kucoin", SHARD, tick(END + timedelta(seconds=5)))
    write_tick(engine, lease, "kucoin", SHARD, tick(END))
    assert last_commit(engine, "kucoin", SHARD) == END + timedelta(seconds=5)
    assert last_commit(engine, "kucoin", Shard(2, 2)) is None


def test_a_gap_of_no_instruments_is_no_row() -> None:
    assert gap_row("kucoin", SHARD, [], END, END, "start").schema == polars_schema(FEED_GAPS)
    assert gap_row("kucoin", SHARD, [], END, END, "start").is_empty()
