"""`pnd collect`: one shard of an exchange's order books and trades into the database, a tick every 5 s.

A shard has one leader, by a lease; others stand by. The leader's feed fills the bucket that is open; at each boundary the bucket is
closed, computed in a thread and handed to the writer, so that a slow database holds up neither feed nor clock.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import sqlalchemy as sa

from pnd_dagster.errors import DatabaseError, LeaseLostError, TransientError
from pnd_dagster.market.shards import Shard
from pnd_dagster.market.spill import open_spill
from pnd_dagster.services.collect_health import STANDBY, ShardStatus, service_name
from pnd_dagster.services.collect_session import DEFAULT_PACE, ClockSetError, Pace, Parts, Session
from pnd_dagster.settings import Settings
from pnd_dagster.storage.leases import acquire, release

LONGEST_BACKOFF_SECONDS = 15.0
log = logging.getLogger(__name__)


def collect_until_told(
    engine: sa.Engine, settings: Settings, exchange: str, shard: Shard, parts: Parts, *, on_status: Callable[[ShardStatus], None]
) -> None:
    """Collects, or stands by, until SIGTERM or SIGINT; what was closed by then is written, or on disk.

    Raises:
        SettingError: the spill's folder cannot be written to, or a setting of the exchange is wrong.
    """

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await collect(engine, settings, exchange, shard, parts, stop, on_status=on_status)

    asyncio.run(main())


async def collect(
    engine: sa.Engine,
    settings: Settings,
    exchange: str,
    shard: Shard,
    parts: Parts,
    stop: asyncio.Event,
    *,
    pace: Pace = DEFAULT_PACE,
    on_status: Callable[[ShardStatus], None] = lambda status: None,
) -> None:
    """Leads the shard whenever its lease is free, until `stop` is set.

    Args:
        engine: the platform's database.
        settings: home (for the spill), its size, retention.
        exchange, shard: what to collect.
        parts: the exchange, its watch list, its rollups.
        stop: ends it.
        pace: how often it does what it does by the clock.
        on_status: told how it is, about once a second.

    Raises:
        SettingError: the spill's folder cannot be written to, or a setting of the exchange is wrong.
    """
    failures = 0
    while not stop.is_set():
        began = time.monotonic()
        try:
            is_leader = await _lead_if_free(engine, settings, exchange, shard, parts, stop, pace, on_status)
        except ClockSetError as error:
            log.warning("%s %s: %s", exchange, shard, error)
        except (DatabaseError, LeaseLostError, TransientError) as error:
            log.warning("%s %s: %s", exchange, shard, error)
            # A term that held for a while was a good one.
            failures = 1 if time.monotonic() - began > LONGEST_BACKOFF_SECONDS else failures + 1
            await _pause(stop, min(pace.retry_seconds * 2 ** (failures - 1), LONGEST_BACKOFF_SECONDS))
        else:
            if not is_leader:
                on_status(ShardStatus(exchange, str(shard), STANDBY))
                await _pause(stop, pace.lease_seconds / 5)


async def _lead_if_free(
    engine: sa.Engine,
    settings: Settings,
    exchange: str,
    shard: Shard,
    parts: Parts,
    stop: asyncio.Event,
    pace: Pace,
    on_status: Callable[[ShardStatus], None],
) -> bool:
    """A term as leader; False if somebody else leads."""
    spill = open_spill(settings.home, exchange, shard, settings.spill_max_bytes)
    if spill is None:
        return False
    try:
        lease = await asyncio.to_thread(acquire, engine, service_name(exchange, shard), spill.holder, pace.lease_seconds)
        if lease is None:
            return False
        log.info("%s %s: leading, epoch %d", exchange, shard, lease.epoch)
        session = Session(
            engine, lease, exchange, shard, parts, spill, retention_days=settings.metrics_retention_days, pace=pace, on_status=on_status
        )
        try:
            await session.run(stop)
        finally:
            with suppress(DatabaseError):
                await asyncio.to_thread(release, engine, lease)
        return True
    finally:
        spill.close()


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
