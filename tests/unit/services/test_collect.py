"""The collector: a tick at every boundary, one leader, nothing lost silently. Buckets last a second here."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.errors import DatabaseError, TransientError
from pnd_dagster.market import spill as spill_module
from pnd_dagster.market import state as state_module
from pnd_dagster.market.feeds.protocol import BUY, FeedStatus, Level, Listing, Sink
from pnd_dagster.market.shards import Shard
from pnd_dagster.market.state import Instrument
from pnd_dagster.services import collect_session, collect_writer
from pnd_dagster.services.collect import collect
from pnd_dagster.services.collect_health import LEADING, STANDBY, ShardStatus
from pnd_dagster.services.collect_session import Market, Pace, Parts
from pnd_dagster.settings import Settings
from pnd_dagster.storage import read_frame
from pnd_dagster.storage.leases import acquire
from pnd_dagster.tables import BUCKET_COMMITS, FEED_GAPS, HEARTBEATS, LEASES, ORDER_BOOK_METRICS, TRADE_METRICS

FAST = Pace(
    lease_seconds=1.0,
    heartbeat_seconds=0.2,
    watch_list_seconds=0.5,
    empty_list_seconds=0.1,
    upkeep_seconds=0.5,
    retry_seconds=0.1,
    status_seconds=0.1,
)
WHOLE = Shard(1, 1)
LONGEST_START_SECONDS = 5.0
INSTRUMENTS = [Instrument(100 + place, f"C{place}/USDT", f"C{place}", f"C{place}", "USDT") for place in range(6)]


@pytest.fixture(autouse=True)
def _short_buckets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for module in (state_module, collect_session, collect_writer, spill_module):
        monkeypatch.setattr(module, "BUCKET_SECONDS", 1)
    return


class FakeFeed:
    """Ten books and trades a second for each listing, all of them in sight at once."""

    exchange = "kucoin"

    def __init__(self, *, fails_after: float = math.inf) -> None:
        self.listings: Sequence[Listing] = ()
        self.watched: list[list[str]] = []
        self.runs = 0
        self.sent_trades = 0
        self._fails_after = fails_after
        self._sink: Sink | None = None

    def levels(self, frame: object) -> tuple[Sequence[Level], Sequence[Level]]:
        assert isinstance(frame, float)
        return [(frame - 0.5, 2.0), (frame - 1, 1.0)], [(frame + 0.5, 1.0)]

    def watch(self, listings: Sequence[Listing]) -> None:
        self.listings = listings
        self.watched.append([listing.symbol for listing in listings])
        if self._sink is not None:
            self._sink.sighted([listing.slot for listing in listings], time.time())

    async def run(self, sink: Sink, stop: asyncio.Event) -> None:
        self.runs += 1
        self._sink, began = sink, time.monotonic()
        sink.sighted([listing.slot for listing in self.listings], time.time())
        while not stop.is_set():
            if time.monotonic() - began > self._fails_after:
                raise TransientError("kucoin: the feed broke")
            now = time.time()
            for listing in self.listings:
                sink.book(listing.slot, 9.5, 2.0, 10.5, 1.0, 10.0, now)
                sink.trade(listing.slot, 10.0, 0.25, BUY, now)
                self.sent_trades += 1
            await asyncio.sleep(0.1)
        self._sink = None

    def status(self) -> FeedStatus:
        return FeedStatus(1, int(self._sink is not None), len(self.listings), 0, None, {})


class Scene:
    """A collector on a fake feed and the real tables."""

    def __init__(self, engine: sa.Engine, settings: Settings) -> None:
        self.engine, self.settings = engine, settings
        self.feed = FakeFeed()
        self.instruments: Callable[[], list[Instrument]] = lambda: INSTRUMENTS
        self.statuses: list[ShardStatus] = []
        self.rolled_up: list[datetime] = []
        self.ahead_seconds = 2.0

    def parts(self) -> Parts:
        @asynccontextmanager
        async def open_market():
            async def server_time() -> float:
                return time.time() + self.ahead_seconds

            yield Market(self.feed, server_time)

        return Parts(open_market, lambda: self.instruments(), self.rolled_up.append)

    async def collect(self, stop: asyncio.Event, *, shard: Shard = WHOLE, settings: Settings | None = None) -> None:
        await collect(
            self.engine, settings or self.settings, "kucoin", shard, self.parts(), stop, pace=FAST, on_status=self.statuses.append
        )

    def run(self, seconds: float, *others: Callable[[asyncio.Event], object], shard: Shard = WHOLE) -> None:
        """Collects for so long, and does the others' part meanwhile; both count from the feed's start, which takes what it takes."""

        async def main() -> None:
            stop, runs_before = asyncio.Event(), self.feed.runs
            collecting = asyncio.create_task(self.collect(stop, shard=shard))
            until = time.monotonic() + LONGEST_START_SECONDS
            while self.feed.runs == runs_before and not collecting.done() and time.monotonic() < until:
                await asyncio.sleep(0.01)
            asyncio.get_running_loop().call_later(seconds, stop.set)
            await asyncio.gather(collecting, *(other(stop) for other in others))

        asyncio.run(main())

    def stored(self, table: sa.Table) -> pl.DataFrame:
        return read_frame(self.engine, sa.select(table))

    def commits(self) -> pl.DataFrame:
        return self.stored(BUCKET_COMMITS).sort("bucket_end_at")


@pytest.fixture
def scene(engine: sa.Engine, settings: Settings) -> Scene:
    return Scene(engine, settings)


def steps(commits: pl.DataFrame) -> set[timedelta]:
    return set(commits["bucket_end_at"].diff().drop_nulls())


def test_every_boundary_has_its_tick_and_the_ticks_hold_all_that_was_sent(scene: Scene) -> None:
    scene.run(4.3)
    commits = scene.commits()
    assert commits.height >= 4
    assert steps(commits) == {timedelta(seconds=1)}
    assert commits["lag_seconds"].median() < 1
    assert commits["watched"].unique().to_list() == [6]
    assert commits["clock_offset_seconds"].to_list()[-1] == pytest.approx(2.0, abs=0.2)
    assert not commits["is_gap"][1:].any()
    trades = scene.stored(TRADE_METRICS)
    assert trades["trade_count"].sum() == commits["trades"].sum()
    # What came after the last boundary was not closed.
    assert scene.feed.sent_trades - 6 * 11 <= commits["trades"].sum() <= scene.feed.sent_trades
    books = scene.stored(ORDER_BOOK_METRICS)
    assert set(books["mid_price"]) == {10.0}
    assert set(books["order_book_pressure"]) == {0.75}


def test_the_start_is_a_gap_of_all_instruments_until_they_are_seen(scene: Scene) -> None:
    scene.run(1.5)
    gap = scene.stored(FEED_GAPS).row(0, named=True)
    assert (gap["reason"], gap["instrument_ids"]) == ("start", [instrument.instrument_id for instrument in INSTRUMENTS])
    assert gap["ended_at"] is not None
    assert scene.commits()["is_gap"][0]


def test_after_a_kill_the_gap_reaches_back_to_the_last_bucket_and_gaps_left_open_end(scene: Scene) -> None:
    scene.run(2.2)
    last = scene.commits()["bucket_end_at"][-1]
    with scene.engine.begin() as connection:
        connection.execute(sa.update(HEARTBEATS).values(details={"state": LEADING}))
        left_open = {"gap_id": "x", "exchange": "kucoin", "instrument_ids": [100], "reason": "silent", "started_at": last}
        connection.execute(sa.insert(FEED_GAPS).values(**left_open, shard="1/1"))
        connection.execute(sa.insert(FEED_GAPS).values(**{**left_open, "gap_id": "y", "exchange": "mexc"}, shard="1/1"))
    time.sleep(1)
    scene.run(2.2)
    gaps = scene.stored(FEED_GAPS)
    killed = gaps.filter(pl.col("reason") == "killed").row(0, named=True)
    assert killed["started_at"] == last
    assert killed["ended_at"] >= last + timedelta(seconds=1)
    assert gaps.filter(pl.col("ended_at").is_null())["gap_id"].to_list() == ["y"]
    assert scene.commits()["lease_epoch"].unique().sort().to_list() == [1, 2]


def test_a_standby_takes_over_when_the_leader_is_gone_and_not_before(scene: Scene, tmp_path) -> None:
    assert acquire(scene.engine, "collect:kucoin:1/1", "somebody else", 1.5)
    scene.run(4.0)
    assert scene.statuses[0].state == STANDBY
    assert scene.statuses[-1].state == LEADING
    assert scene.feed.runs == 1
    commits = scene.commits()
    assert set(commits["lease_epoch"]) == {2}


def test_a_leader_that_lost_its_lease_writes_nothing_more_and_stands_by(scene: Scene) -> None:
    async def usurp(stop: asyncio.Event) -> None:
        await asyncio.sleep(2.2)
        with scene.engine.begin() as connection:
            connection.execute(
                sa.update(LEASES).values(holder="usurper", epoch=LEASES.c.epoch + 1, expires_at=datetime(2100, 1, 1, tzinfo=UTC))
            )

    scene.run(4.5, usurp)
    assert scene.statuses[-1].state == STANDBY
    assert set(scene.commits()["lease_epoch"]) == {1}
    assert (datetime.now(UTC) - scene.commits()["committed_at"].max()).total_seconds() > 1.2


def test_two_collectors_of_one_shard_store_every_bucket_once(scene: Scene, settings: Settings, tmp_path) -> None:
    other_home = settings.model_copy(update={"home": tmp_path / "elsewhere"})
    scene.run(3.5, lambda stop: scene.collect(stop, settings=other_home))
    commits = scene.commits()
    assert steps(commits) == {timedelta(seconds=1)}
    assert set(commits["lease_epoch"]) == {1}


def test_two_shards_share_the_instruments_out(scene: Scene) -> None:
    scene.run(2.3, lambda stop: scene.collect(stop, shard=Shard(2, 2)), shard=Shard(1, 2))
    assert scene.stored(LEASES)["name"].sort().to_list() == ["collect:kucoin:1/2", "collect:kucoin:2/2"]
    watched = {tuple(symbols) for symbols in scene.feed.watched}
    assert {symbol for symbols in watched for symbol in symbols} == {instrument.symbol for instrument in INSTRUMENTS}
    assert all(len(symbols) == 3 for symbols in watched)


def test_while_the_database_is_away_ticks_wait_on_disk_and_follow_in_order(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tick, is_away = collect_writer.write_tick, False

    def write(*arguments, **options):
        if is_away:
            raise DatabaseError("cannot write to Postgres: connection refused")
        return write_tick(*arguments, **options)

    async def outage(stop: asyncio.Event) -> None:
        nonlocal is_away
        await asyncio.sleep(1.3)
        is_away = True
        await asyncio.sleep(2.0)
        assert scene.statuses[-1].spill_bytes > 0
        assert scene.statuses[-1].state == "writing to disk"
        is_away = False

    monkeypatch.setattr(collect_writer, "write_tick", write)
    scene.run(5.3, outage)
    commits = scene.commits()
    assert steps(commits) == {timedelta(seconds=1)}
    assert 1 <= commits["is_spilled"].sum() < commits.height
    assert commits.sort("committed_at")["bucket_end_at"].is_sorted()
    assert scene.statuses[-1].spill_bytes == 0


def test_what_was_on_disk_at_the_end_is_written_by_the_next_start(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> bool:
        raise DatabaseError("cannot write to Postgres: it is away")

    with monkeypatch.context() as away:
        away.setattr(collect_writer, "write_tick", refuse)
        scene.run(2.6)
    ended_at = datetime.now(UTC)
    assert scene.commits().is_empty()
    scene.run(1.3)
    commits = scene.commits()
    assert commits["is_spilled"].sum() >= 2
    assert set(commits["lease_epoch"]) == {2}
    # On a busy machine the second start's own first tick may wait on disk, too.
    newest_spilled = commits.filter("is_spilled", pl.col("bucket_end_at") <= ended_at)["bucket_end_at"].max()
    gap = scene.stored(FEED_GAPS).sort("started_at").row(-1, named=True)
    assert gap["started_at"] == newest_spilled


def test_a_tick_that_postgres_refuses_becomes_a_dead_letter_and_a_gap_and_the_next_goes_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tick, calls = collect_writer.write_tick, 0

    def write(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == 2:
            raise collect_writer.TickRefusedError("Postgres refused the bucket")
        return write_tick(*arguments, **options)

    monkeypatch.setattr(collect_writer, "write_tick", write)
    scene.run(4.3)
    refused = scene.stored(FEED_GAPS).filter(pl.col("reason") == "refused").row(0, named=True)
    assert refused["ended_at"] not in scene.commits()["bucket_end_at"].to_list()
    assert scene.commits().height >= 3


def test_an_event_loop_that_was_held_up_over_boundaries_flags_them_and_misses_none(scene: Scene) -> None:
    async def block(stop: asyncio.Event) -> None:
        await asyncio.sleep(1.6)
        time.sleep(2.2)

    scene.run(6.3, block)
    commits = scene.commits()
    assert steps(commits) == {timedelta(seconds=1)}
    stalled = scene.stored(FEED_GAPS).filter(pl.col("reason") == "stalled").row(0, named=True)
    overlapping = commits.filter(
        pl.col("bucket_end_at") > stalled["started_at"], pl.col("bucket_end_at") - timedelta(seconds=1) < stalled["ended_at"]
    )
    assert overlapping.height >= 3
    assert overlapping["is_gap"].all()
    assert not commits["is_gap"][-1]


def test_a_clock_that_is_set_begins_the_buckets_anew(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    true_time, jump = time.time, 0.0
    monkeypatch.setattr(time, "time", lambda: true_time() + jump)

    async def set_back(stop: asyncio.Event) -> None:
        nonlocal jump
        await asyncio.sleep(2.2)
        jump = -1.5

    scene.run(5.2, set_back)
    assert scene.feed.runs == 2
    assert scene.commits()["bucket_end_at"].is_unique().all()
    assert scene.commits()["lease_epoch"].unique().sort().to_list() == [1, 2]


def test_the_watch_list_is_read_again_and_an_empty_one_changes_nothing(scene: Scene) -> None:
    lists = iter([[], INSTRUMENTS[:2], [], INSTRUMENTS[:3]])
    scene.instruments = lambda: next(lists, INSTRUMENTS[:3])
    scene.run(2.6)
    assert [len(symbols) for symbols in scene.feed.watched][:2] == [2, 3]
    assert scene.statuses[-1].watched == 3


def test_a_feed_that_breaks_is_opened_again(scene: Scene) -> None:
    scene.feed = FakeFeed(fails_after=0.5)
    scene.run(2.2)
    assert scene.feed.runs >= 2
    assert any("broke" in (status.last_error or "") or status.state == LEADING for status in scene.statuses)


def test_it_beats_with_its_figures_and_says_when_it_stopped(scene: Scene) -> None:
    beats: list[dict[str, object]] = []

    async def look(stop: asyncio.Event) -> None:
        await asyncio.sleep(2.4)
        beats.append(scene.stored(HEARTBEATS).row(0, named=True))

    scene.run(2.6, look)
    alive, stopped = beats[0], scene.stored(HEARTBEATS).row(0, named=True)
    details = json.loads(str(alive["details"]))
    assert (alive["name"], alive["is_healthy"]) == ("collect:kucoin:1/1", True)
    assert (details["connected"], details["watched"], details["seen"]) == (1, 6, 6)
    assert details["messages_per_second"] > 0
    assert 0 < details["lag_p99_seconds"] < 5
    assert (stopped["is_healthy"], json.loads(str(stopped["details"]))["state"]) == (False, "stopped")
    assert acquire(scene.engine, "collect:kucoin:1/1", "next", 1)
