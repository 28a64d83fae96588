"""`pnd collect` against the simulated exchanges, in processes of its own, while things go wrong. The ledger of what was sent judges.

The command runs as a user runs it: real feeds, real REST clients, real Postgres.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.errors import LeaseLostError
from pnd_dagster.market.instruments import refresh_exchanges
from pnd_dagster.market.metric_store import write_tick
from pnd_dagster.market.shards import Shard
from pnd_dagster.market.tick import Tick
from pnd_dagster.settings import Settings, environment, load_settings
from pnd_dagster.simulator.exchanges.server import SimulatedExchanges
from pnd_dagster.simulator.exchanges.world import World
from pnd_dagster.simulator.universe import make_universe
from pnd_dagster.storage import connect, embedded, read_frame
from pnd_dagster.storage.leases import Lease
from pnd_dagster.tables import BUCKET_COMMITS, FEED_GAPS, HEARTBEATS, LEASES, ORDER_BOOK_METRICS, TRADE_METRICS, polars_schema
from tests.e2e.reconcile import reconcile

COMMAND = "import typer; from pnd_dagster.cli.market import collect; from pnd_dagster.settings import settings; typer.run(collect)"


class Exchanges:
    """Simulated exchanges in a thread."""

    def __init__(self, *, coins: int = 60, rate: float = 600.0) -> None:
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._end = asyncio.Event()
        self._coins, self._rate = coins, rate
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()
        assert self._ready.wait(20)

    async def _serve(self) -> None:
        world = World(make_universe(7, self._coins), seed=1, rate=self._rate)
        async with SimulatedExchanges(world) as self.server:
            self._ready.set()
            await self._end.wait()

    def do(self, action: Callable[[SimulatedExchanges], Any]) -> Any:
        async def act() -> Any:
            return action(self.server)

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(10)

    @property
    def ledger(self) -> Any:
        return self.server.ledger

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)


@pytest.fixture
def exchanges() -> Iterator[Exchanges]:
    served = Exchanges()
    yield served
    served.close()


class Collectors:
    """Processes of `pnd collect`; all ended with the test."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self._settings = settings
        self._log = log
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, exchange: str, home: Path | None = None) -> subprocess.Popen[bytes]:
        settings = self._settings if home is None else self._settings.model_copy(update={"home": home})
        variables = {name: value for name, value in os.environ.items() if not name.startswith("PND_")} | environment(settings)
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", COMMAND, "--exchange", exchange], env=variables, stdout=log, stderr=log, cwd="/"
            )
        self._running.append(process)
        return process

    def end(self) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @property
    def log(self) -> str:
        return self._log.read_text()


def wait_for(condition: Callable[[], bool], collectors: Collectors, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, collectors.log
        time.sleep(0.1)


def commits(engine: sa.Engine) -> pl.DataFrame:
    return read_frame(engine, sa.select(BUCKET_COMMITS)).sort("exchange", "bucket_end_at")


def whole_buckets(engine: sa.Engine, exchange: str) -> int:
    return commits(engine).filter(pl.col("exchange") == exchange, ~pl.col("is_gap")).height


def children(process: subprocess.Popen[bytes]) -> list[int]:
    """The collectors that a supervisor started, in that order."""
    pids = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def assert_right(exchanges: Exchanges, engine: sa.Engine) -> None:
    """Nothing that is stored as right is wrong, and not everything is flagged."""
    found = reconcile(exchanges.ledger, engine)
    print(found)  # noqa: T201 - the totals are the point
    assert (found.books.wrong, found.trades.wrong) == (0, 0), found.examples
    assert found.books.stored > 0
    assert found.trades.stored > 0


@pytest.fixture
def simulated(settings: Settings, engine: sa.Engine, exchanges: Exchanges) -> Settings:
    pointed = settings.model_copy(update={"exchange_url": exchanges.server.url})
    refresh_exchanges(engine, pointed, datetime.now(UTC))
    return pointed


@pytest.fixture
def collectors(simulated: Settings, tmp_path: Path) -> Iterator[Collectors]:
    started = Collectors(simulated, tmp_path / "collect.log")
    yield started
    started.end()


def test_five_exchanges_are_collected_as_they_were_sent_and_one_that_dies_is_started_again(
    engine: sa.Engine, exchanges: Exchanges, collectors: Collectors
) -> None:
    supervisor = collectors.start("all")
    names = ("latoken", "kucoin", "mexc", "poloniex", "xt")
    wait_for(lambda: all(whole_buckets(engine, name) >= 2 for name in names), collectors)
    os.kill(children(supervisor)[-1], signal.SIGKILL)
    wait_for(lambda: commits(engine)["lease_epoch"].max() == 2, collectors)
    assert commits(engine).filter(pl.col("lease_epoch") == 2)["exchange"].n_unique() == 1
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(40) == 0, collectors.log
    assert_right(exchanges, engine)
    beats = read_frame(engine, sa.select(HEARTBEATS.c.name, HEARTBEATS.c.is_healthy))
    assert beats["name"].sort().to_list() == sorted(f"collect:{name}:1/1" for name in names)
    assert (
        read_frame(engine, sa.select(LEASES.c.expires_at, sa.func.now().label("now")))
        .filter(pl.col("expires_at") > pl.col("now"))
        .is_empty()
    )


def test_a_collector_that_is_killed_again_and_again_leaves_gaps_and_nothing_wrong(
    engine: sa.Engine, exchanges: Exchanges, collectors: Collectors
) -> None:
    for _ in range(2):
        killed = collectors.start("mexc")
        before = commits(engine).height
        wait_for(lambda before=before: commits(engine).height > before, collectors)
        killed.kill()
        killed.wait()
    last = collectors.start("mexc")
    before = whole_buckets(engine, "mexc")
    wait_for(lambda: whole_buckets(engine, "mexc") >= before + 2, collectors)
    last.send_signal(signal.SIGTERM)
    assert last.wait(40) == 0
    assert_right(exchanges, engine)
    assert commits(engine)["lease_epoch"].n_unique() == 3
    gaps = read_frame(engine, sa.select(FEED_GAPS.c.reason, FEED_GAPS.c.ended_at))
    assert gaps.filter(pl.col("reason") == "killed").height >= 2
    # Of a listing that stayed out of sight the gap may last; killed collectors leave none open.
    assert gaps.filter(pl.col("reason") == "killed", pl.col("ended_at").is_null()).is_empty()


def test_of_two_collectors_one_leads_the_other_takes_over_and_the_old_epoch_is_refused(
    engine: sa.Engine, exchanges: Exchanges, collectors: Collectors, tmp_path: Path
) -> None:
    first = collectors.start("mexc")
    wait_for(lambda: whole_buckets(engine, "mexc") >= 1, collectors)
    collectors.start("mexc", home=tmp_path / "another-home")
    wait_for(lambda: "standing by" in collectors.log, collectors)
    old = commits(engine)["lease_epoch"].unique().to_list()
    assert len(old) == 1
    first.kill()
    wait_for(lambda: commits(engine).filter(~pl.col("is_gap"))["lease_epoch"].n_unique() == 2, collectors)
    stale = Lease("collect:mexc:1/1", "the killed one", int(old[0]))
    end = commits(engine)["bucket_end_at"].max()
    empty = {table.name: pl.DataFrame(schema=polars_schema(table)) for table in (ORDER_BOOK_METRICS, TRADE_METRICS, FEED_GAPS)}
    tick = Tick(end, empty["order_book_metrics"], empty["trade_metrics"], empty["feed_gaps"], {})  # pyright: ignore[reportArgumentType]
    with pytest.raises(LeaseLostError):
        write_tick(engine, stale, "mexc", Shard(1, 1), tick)
    assert_right(exchanges, engine)
    assert commits(engine)["bucket_end_at"].is_unique().all()


def test_absurd_prices_and_broken_frames_are_refused_and_counted(engine: sa.Engine, exchanges: Exchanges, collectors: Collectors) -> None:
    collectors.start("poloniex")
    wait_for(lambda: whole_buckets(engine, "poloniex") >= 1, collectors)
    bases = exchanges.do(lambda server: sorted(server.world.markets["poloniex"]))
    for how, base in zip(("malformed", "truncated", "nan", "negative", "absurd", "crossed", "empty"), bases * 2, strict=False):
        exchanges.do(lambda server, how=how, base=base: server.faults.corrupt("poloniex", base, how))
    wait_for(lambda: commits(engine)["rejected_frames"].sum() > 0, collectors)
    buckets = commits(engine).height
    wait_for(lambda: commits(engine).height >= buckets + 2, collectors)
    books = read_frame(engine, sa.select(ORDER_BOOK_METRICS.c.mid_price, ORDER_BOOK_METRICS.c.order_book_pressure))
    assert books.filter(pl.col("mid_price").is_not_null()).select((pl.col("mid_price") > 0) & (pl.col("mid_price") < 1e9)).to_series().all()
    assert_right(exchanges, engine)


def test_while_postgres_restarts_ticks_wait_on_disk(own_home: Path, exchanges: Exchanges, tmp_path: Path) -> None:
    home = load_settings(home=own_home)
    engine = connect(home)
    port = engine.url.port
    assert port is not None
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    pointed = load_settings(home=tmp_path / "home", database_url=url, exchange_url=exchanges.server.url, exchanges="xt")
    refresh_exchanges(engine, pointed, datetime.now(UTC))
    collectors = Collectors(pointed, tmp_path / "collect.log")
    try:
        collectors.start("xt")
        wait_for(lambda: whole_buckets(engine, "xt") >= 1, collectors)
        engine.dispose()
        embedded.stop(own_home)
        wait_for(lambda: bool(list((tmp_path / "home").rglob("*.tick"))), collectors)
        time.sleep(6)
        embedded.start(own_home, port=port)
        wait_for(lambda: not list((tmp_path / "home").rglob("*.tick")), collectors)
    finally:
        collectors.end()
    stored = commits(engine)
    assert stored["is_spilled"].sum() >= 2
    assert set(stored["bucket_end_at"].diff().drop_nulls().dt.total_seconds()) == {5}
    assert_right(exchanges, engine)
