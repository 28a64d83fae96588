"""`pnd deliver`: the outbox of alerts to where they are read, at least once.

Each channel has a thread of its own, so that one that hangs holds up no other.
"""

from __future__ import annotations

import json
import logging
import signal
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.alerts.alert import Channel
from pnd_dagster.alerts.outbox import (
    Queued,
    claim,
    hold_back,
    mark_failed,
    mark_later,
    mark_muted,
    mark_sent,
    mute_of,
    mute_switched_off,
    supersede,
    waiting,
)
from pnd_dagster.alerts.senders import Sender, senders
from pnd_dagster.errors import DatabaseError, PndError, TransientError
from pnd_dagster.settings import Settings
from pnd_dagster.storage import transaction, upsert
from pnd_dagster.tables import HEARTBEATS
from pnd_dagster.telegram.patience import backoff_seconds

NAME = "deliver"
MAX_ATTEMPTS = 20
"""With the pauses between them about three quarters of an hour."""

LONGEST_BACKOFF_SECONDS = 300.0
LONGEST_RETRY_AFTER_SECONDS = 3600.0
log = logging.getLogger(__name__)

State = Literal["sent", "muted", "failed", "later"]


class Pace(NamedTuple):
    """How often the deliverer does what it does by the clock, in seconds."""

    poll_seconds: float = 1.0
    heartbeat_seconds: float = 10.0
    # What a delivery in hand is given to end in.
    ending_seconds: float = 30.0


DEFAULT_PACE = Pace()


class Outcome(NamedTuple):
    """What became of an alert that was claimed; `reason` where it was not sent, or not to everybody."""

    alert_id: str
    channel: str
    state: State
    reason: str | None


def run_until_told(engine: sa.Engine, settings: Settings) -> None:
    """Delivers until SIGTERM or SIGINT; what is in hand then is finished.

    Raises:
        SettingError: a channel is set up wrongly; names the setting.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    deliver(engine, settings, stop)


def deliver(engine: sa.Engine, settings: Settings, stop: threading.Event, *, pace: Pace = DEFAULT_PACE) -> None:
    """Delivers until `stop` is set. Several may run at once.

    Args:
        engine: the platform's database.
        settings: which channels there are, cool-down.
        stop: ends it.
        pace: how often it looks.

    Raises:
        SettingError: a channel is set up wrongly; names the setting.
    """
    counts: Counter[str] = Counter()
    errors: dict[str, str] = {}
    channels = senders(settings)
    # As daemons: a delivery that does not end within its time is given up, and is the next deliverer's.
    threads = [
        threading.Thread(target=_work, args=(engine, settings, name, send, stop, pace, counts, errors), name=f"deliver-{name}", daemon=True)
        for name, send in channels.items()
    ]
    for thread in threads:
        thread.start()
    while not stop.is_set():
        counts["muted"] += _mute_switched_off(engine, list(channels))
        _beat(engine, list(channels), counts, errors, is_healthy=all(thread.is_alive() for thread in threads) and not errors)
        stop.wait(pace.heartbeat_seconds)
    for thread in threads:
        thread.join(pace.ending_seconds)
    _beat(engine, list(channels), counts, errors, is_healthy=False)


def deliver_next(
    engine: sa.Engine, channel: Channel, send: Sender, *, cooldown_seconds: float, pause: Callable[[int], float] | None = None
) -> Outcome | None:
    """Delivers the next alert of a channel that is due; None if there is none.

    Args:
        engine: the platform's database.
        channel: whose.
        send: sends it.
        cooldown_seconds: see `outbox.REPLACED_STAGES`.
        pause: seconds to wait after so many failures; grows and is jittered by default.

    Raises:
        DatabaseError: Postgres is away. If the alert was accepted by then, it will be sent again.
    """
    with transaction(engine) as connection:
        supersede(connection, channel)
        queued = claim(connection, channel, cooldown_seconds)
        if queued is None:
            return None
        if reason := mute_of(connection, queued):
            mark_muted(connection, queued, reason)
            return Outcome(queued.alert_id, channel, "muted", reason)
        try:
            note = send(queued.body)
        except TransientError as error:
            return _later(connection, queued, str(error), error.retry_after_seconds, pause or _pause)
        except PndError as error:
            mark_failed(connection, queued, str(error))
            return Outcome(queued.alert_id, channel, "failed", str(error))
        except Exception as error:
            # A fault of ours must neither stop the others nor lose this one unsaid.
            log.exception("%s: alert %s", channel, queued.alert_id)
            return _later(connection, queued, f"unexpected {type(error).__name__}", None, pause or _pause)
        mark_sent(connection, queued, note)
        return Outcome(queued.alert_id, channel, "sent", note)


def _pause(failures: int) -> float:
    return backoff_seconds(failures, longest=LONGEST_BACKOFF_SECONDS)


def _later(connection: sa.Connection, queued: Queued, reason: str, asked: float | None, pause: Callable[[int], float]) -> Outcome:
    failures = queued.attempts + 1
    if failures >= MAX_ATTEMPTS:
        reason = f"given up after {failures} attempts: {reason}"
        mark_failed(connection, queued, reason)
        return Outcome(queued.alert_id, queued.channel, "failed", reason)
    asked = min(asked or 0.0, LONGEST_RETRY_AFTER_SECONDS)
    mark_later(connection, queued, reason, max(asked, pause(failures)))
    if asked:
        hold_back(connection, queued.channel, asked)
    return Outcome(queued.alert_id, queued.channel, "later", reason)


def _work(
    engine: sa.Engine,
    settings: Settings,
    channel: Channel,
    send: Sender,
    stop: threading.Event,
    pace: Pace,
    counts: Counter[str],
    errors: dict[str, str],
) -> None:
    failures = 0
    while not stop.is_set():
        try:
            outcome = deliver_next(engine, channel, send, cooldown_seconds=settings.alert_cooldown_seconds)
        except Exception as error:
            # A thread that ended would leave its channel mute.
            failures += 1
            errors[channel] = str(error) if isinstance(error, DatabaseError) else f"unexpected {type(error).__name__}"
            log.warning("%s: %s", channel, errors[channel], exc_info=not isinstance(error, DatabaseError))
            stop.wait(backoff_seconds(failures, longest=15.0))
            continue
        if failures:
            failures = 0
            errors.pop(channel, None)
        if outcome is None:
            stop.wait(pace.poll_seconds)
            continue
        counts[outcome.state] += 1
        if outcome.state in ("failed", "later"):
            errors[channel] = outcome.reason or ""
            log.warning("%s: alert %s: %s: %s", channel, outcome.alert_id, outcome.state, outcome.reason)
        elif outcome.state == "sent":
            errors.pop(channel, None)


def _mute_switched_off(engine: sa.Engine, channels: list[Channel]) -> int:
    try:
        with transaction(engine) as connection:
            muted = mute_switched_off(connection, channels)
    except DatabaseError as error:
        log.warning("%s", error)
        return 0
    if muted:
        log.warning("%d alerts waited for a day on channels that are switched off, and are muted", muted)
    return muted


def _beat(engine: sa.Engine, channels: list[Channel], counts: Counter[str], errors: dict[str, str], *, is_healthy: bool) -> None:
    try:
        waits = waiting(engine)
        oldest = waits.filter(pl.col("channel").is_in(channels))["oldest_seconds"].max()
        details = {
            **{state: counts[state] for state in ("sent", "later", "failed", "muted")},
            "waiting": dict(waits.select("channel", "alerts").iter_rows()),
            "without_channel": sorted(set(waits["channel"]) - set(channels)),
            "last_errors": dict(errors),
        }
        row = {
            "name": NAME,
            "beat_at": datetime.now(UTC),
            "lag_seconds": oldest,
            "is_healthy": is_healthy,
            "details": json.dumps(details),
        }
        upsert(engine, HEARTBEATS, pl.DataFrame([row], schema_overrides={"lag_seconds": pl.Float64}))
    except DatabaseError as error:
        log.warning("no sign of life: %s", error)
