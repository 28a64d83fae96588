"""`pnd detect`: pumps that show on the market, announced or not, flagged within seconds of their start on every collected exchange."""

from __future__ import annotations

import json
import logging
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.alerts.stages import detected_alert
from pnd_dagster.errors import DatabaseError, LeaseLostError
from pnd_dagster.services.detect_exchange import DetectedExchange, announced_for
from pnd_dagster.services.watch_buckets import CommitBell, newest_buckets
from pnd_dagster.services.watch_lease import HeldLease, held_lease
from pnd_dagster.settings import Settings
from pnd_dagster.storage import transaction, upsert
from pnd_dagster.storage.leases import Lease, check
from pnd_dagster.tables import DETECTED_PUMPS, HEARTBEATS

NAME = "detect"
REOPEN_AFTER = timedelta(hours=1)
"""Listings and baselines are loaded anew, and so is everything after a longer pause."""

ALERT_WITHIN = timedelta(minutes=10)
"""What is found later, while a collector's spill is caught up on, is written and alerts nobody."""

log = logging.getLogger(__name__)


class Pace(NamedTuple):
    """How often the detector does what it does by the clock, in seconds."""

    poll_seconds: float = 1.0
    straggler_seconds: float = 3.0
    heartbeat_seconds: float = 10.0
    lease_seconds: float = 15.0
    retry_seconds: float = 2.0


DEFAULT_PACE = Pace()
OnDetection = Callable[[dict[str, Any]], None]


def run_until_told(engine: sa.Engine, settings: Settings, on_detection: OnDetection) -> None:
    """Detects, or stands by, until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    detect(engine, settings, stop, on_detection=on_detection)


def detect(
    engine: sa.Engine,
    settings: Settings,
    stop: threading.Event,
    *,
    pace: Pace = DEFAULT_PACE,
    on_detection: OnDetection = lambda row: None,
) -> None:
    """Detects on all collected exchanges until `stop` is set; one process at a time does, by a lease, others stand by.

    Args:
        engine: the platform's database.
        settings: exchanges, and which alerts go where.
        stop: ends it.
        pace: how often it does what it does by the clock.
        on_detection: told each row of out.detected_pumps once it is written.
    """
    market = _Market({}, [])
    while not stop.is_set():
        try:
            with held_lease(engine, NAME, pace.lease_seconds) as held:
                if held is not None:
                    _lead(engine, settings, held, market, stop, pace, on_detection)
                    continue
        except DatabaseError as error:
            log.warning("%s", error)
        except LeaseLostError as error:
            log.warning("%s", error)
            market = _Market({}, [])
        stop.wait(pace.retry_seconds)


def write_detection(engine: sa.Engine, settings: Settings, lease: Lease, row: dict[str, Any]) -> dict[str, Any] | None:
    """Writes a row of out.detected_pumps with the pump that was announced for then, and queues its alert, in one transaction.

    Returns:
        The whole row, None if it was there.

    Raises:
        LeaseLostError: somebody else detects now.
        DatabaseError: Postgres refused or is away.
    """
    with transaction(engine) as connection:
        check(connection, lease)
        whole = {**row, "pump_id": announced_for(connection, row["exchange"], row["detected_at"])}
        if not upsert(connection, DETECTED_PUMPS, pl.DataFrame([whole], schema_overrides={"pump_id": pl.String})).inserted:
            return None
        if datetime.now(UTC) - row["detected_at"] <= ALERT_WITHIN:
            detected_alert(connection, settings, whole)
    return whole


class _Market(NamedTuple):
    """What is carried over while the database is away: the exchanges, and detections that are not written yet."""

    opened: dict[str, DetectedExchange]
    waiting: list[dict[str, Any]]


def _lead(
    engine: sa.Engine,
    settings: Settings,
    held: HeldLease,
    market: _Market,
    stop: threading.Event,
    pace: Pace,
    on_detection: OnDetection,
) -> None:
    bell = CommitBell(engine)
    counts = {"buckets": 0, "detected": 0}
    beat_at, lag_seconds = float("-inf"), None
    try:
        while not stop.is_set():
            bell.wait(pace.poll_seconds)
            held.come_round()
            for exchange, newest in newest_buckets(engine, settings.exchanges, datetime.now(UTC), pace.straggler_seconds).items():
                until, known = newest.bucket_end_at, market.opened.get(exchange)
                if until is None or (known is not None and until <= known.bucket_end_at):
                    continue
                held.come_round()
                market.opened[exchange] = _opened(engine, exchange, known, until)
                market.waiting.extend(market.opened[exchange].catch_up(engine, until))
                counts["buckets"] += 1
                lag_seconds = (datetime.now(UTC) - until).total_seconds()
            while market.waiting:
                written = write_detection(engine, settings, held.lease, market.waiting[0])
                market.waiting.pop(0)
                if written is not None:
                    counts["detected"] += 1
                    log.info("%s %s: suspected pump: %s", written["exchange"], written["symbol"], written["reason"])
                    on_detection(written)
            if time.monotonic() - beat_at >= pace.heartbeat_seconds:
                beat_at = time.monotonic()
                _beat(engine, counts, list(market.opened), lag_seconds, is_healthy=True)
    finally:
        bell.close()
        try:
            _beat(engine, counts, list(market.opened), lag_seconds, is_healthy=False)
        except DatabaseError as error:
            log.warning("no sign of life: %s", error)


def _opened(engine: sa.Engine, exchange: str, market: DetectedExchange | None, until: datetime) -> DetectedExchange:
    """The exchange as it is, or loaded anew from where it stood."""
    if market is not None and until - market.opened_at < REOPEN_AFTER:
        return market
    since = until - timedelta(minutes=1) if market is None else max(market.bucket_end_at, until - REOPEN_AFTER)
    return DetectedExchange(engine, exchange, since)


def _beat(engine: sa.Engine, counts: dict[str, int], exchanges: list[str], lag_seconds: float | None, *, is_healthy: bool) -> None:
    row = {
        "name": NAME,
        "beat_at": datetime.now(UTC),
        "lag_seconds": lag_seconds,
        "is_healthy": is_healthy,
        "details": json.dumps({**counts, "exchanges": sorted(exchanges)}),
    }
    upsert(engine, HEARTBEATS, pl.DataFrame([row], schema_overrides={"lag_seconds": pl.Float64}))
