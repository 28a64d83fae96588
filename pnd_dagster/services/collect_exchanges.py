"""The parts of a collector for a real or simulated exchange, and one process per exchange."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing import connection as pipes
from multiprocessing.context import SpawnProcess

import sqlalchemy as sa

from pnd_dagster.candidates.watch_list import watch_list
from pnd_dagster.errors import PndError
from pnd_dagster.market.feeds.protocol import Level
from pnd_dagster.market.rest import first_book, open_client, server_time
from pnd_dagster.market.rollups import rollup_hour
from pnd_dagster.market.shards import Shard
from pnd_dagster.market.state import Instrument
from pnd_dagster.services.collect import collect_until_told
from pnd_dagster.services.collect_health import ShardStatus
from pnd_dagster.services.collect_session import Market, Parts
from pnd_dagster.settings import Settings
from pnd_dagster.storage import connect

FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 1.0, 60.0
# What a collector is given to end in: its feed, its computation and its writes have 10 s each.
ENDING_SECONDS = 35.0
log = logging.getLogger(__name__)


def exchange_parts(engine: sa.Engine, settings: Settings, exchange: str) -> Parts:
    """What a collector of an exchange needs: its feed with first books and time by REST, its candidates, its rollups."""

    @asynccontextmanager
    async def open_market() -> AsyncGenerator[Market]:
        from pnd_dagster.market.feeds.open import open_feed

        async with open_client(exchange, url=settings.exchange_url) as client:

            async def book(symbol: str) -> tuple[list[Level], list[Level]]:
                return await first_book(client, symbol)

            async def clock() -> float:
                return await server_time(client)

            yield Market(open_feed(exchange, url=settings.exchange_url, first_book=book), clock)

    def candidates() -> list[Instrument]:
        frame = watch_list(engine, exchange, datetime.now(UTC).date())
        return [Instrument(*row) for row in frame.select(Instrument._fields).iter_rows()]

    def roll_up(hour_end: datetime) -> None:
        rollup_hour(engine, exchange, hour_end)

    return Parts(open_market, candidates, roll_up)


def collect_exchange(settings: Settings, exchange: str, shard: Shard, on_status: Callable[[ShardStatus], None]) -> None:
    """Collects a shard of an exchange in this process, until SIGTERM or SIGINT.

    Raises:
        SettingError: an exchange, or the folder of the spill, is wrong.
        DatabaseError: the database cannot be used.
    """
    engine = connect(settings)
    collect_until_told(engine, settings, exchange, shard, exchange_parts(engine, settings, exchange), on_status=on_status)


@dataclass
class _Child:
    exchange: str
    process: SpawnProcess
    statuses: pipes.Connection
    failures: int = 0
    started_at: float = field(default_factory=time.monotonic)


def collect_exchanges(settings: Settings, exchanges: Sequence[str], shard: Shard, on_status: Callable[[ShardStatus], None]) -> None:
    """Collects exchanges, each in a process of its own, until SIGTERM or SIGINT; a process that dies is started again, later each time.

    Raises:
        DatabaseError: the database cannot be used.
    """
    # Once, so that the processes do not all start and migrate it.
    connect(settings).dispose()
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    children = {exchange: _start(settings, exchange, shard) for exchange in exchanges}
    due: dict[str, tuple[float, int]] = {}
    try:
        while not stop.is_set():
            _pass_on(children, on_status)
            for exchange, child in list(children.items()):
                if child.process.is_alive():
                    continue
                _pass_on({exchange: child}, on_status, timeout=0)
                del children[exchange]
                lived = time.monotonic() - child.started_at
                failures = 1 if lived > LONGEST_BACKOFF_SECONDS else child.failures + 1
                pause = min(FIRST_BACKOFF_SECONDS * 2 ** (failures - 1), LONGEST_BACKOFF_SECONDS)
                log.warning("%s: its process ended (%s); starting it again in %.0f s", exchange, child.process.exitcode, pause)
                on_status(ShardStatus(exchange, str(shard), f"ended with {child.process.exitcode}"))
                due[exchange] = (time.monotonic() + pause, failures)
            for exchange, (at, failures) in list(due.items()):
                if time.monotonic() >= at:
                    del due[exchange]
                    children[exchange] = _start(settings, exchange, shard, failures)
    finally:
        _end(list(children.values()))
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(settings: Settings, exchange: str, shard: Shard, failures: int = 0) -> _Child:
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_collect_in_child, args=(settings, exchange, shard, sending), name=f"collect {exchange}")
    process.start()
    sending.close()
    return _Child(exchange, process, receiving, failures)


def _collect_in_child(settings: Settings, exchange: str, shard: Shard, statuses: pipes.Connection) -> None:
    configure_logging()

    def report(status: ShardStatus) -> None:
        try:
            statuses.send(status)
        except OSError:
            # Whoever started us is gone.
            signal.raise_signal(signal.SIGTERM)

    try:
        collect_exchange(settings, exchange, shard, report)
    except PndError as error:
        log.error("%s: %s", exchange, error)
        raise SystemExit(1) from None


def _pass_on(children: dict[str, _Child], on_status: Callable[[ShardStatus], None], *, timeout: float = 0.5) -> None:
    pipes.wait([child.statuses for child in children.values()], timeout)
    for child in children.values():
        with suppress(EOFError, OSError):
            while child.statuses.poll():
                on_status(child.statuses.recv())


def _end(children: Sequence[_Child]) -> None:
    for child in children:
        child.process.terminate()
    for child in children:
        child.process.join(ENDING_SECONDS)
        if child.process.is_alive():
            child.process.kill()
            child.process.join()


def configure_logging() -> None:
    """Plain lines on standard error."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for library in ("alembic", "ccxt", "aiohttp", "asyncio", "picows"):
        logging.getLogger(library).setLevel(logging.WARNING)
