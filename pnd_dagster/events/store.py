"""Rebuilds announcements, scheduled pumps, releases and events in the database: of what changed, and of what that can touch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from pnd_dagster.events.clusters import cluster_events
from pnd_dagster.events.labelled import affected_channels, current_builds
from pnd_dagster.events.replays import Replays
from pnd_dagster.events.schedule import connected_span, schedule_pumps
from pnd_dagster.messages.classifier import Classifier
from pnd_dagster.storage import NOTHING_WRITTEN, Written, locks, read_frame, replace_window, transaction, upsert
from pnd_dagster.tables import CHANNEL_BUILDS, PUMP_ANNOUNCEMENTS, PUMP_EVENTS, PUMP_RELEASES, SCHEDULED_PUMPS


class Rebuilt(NamedTuple):
    """What a rebuild wrote, by table."""

    channel_count: int
    announcements: Written = NOTHING_WRITTEN
    scheduled_pumps: Written = NOTHING_WRITTEN
    releases: Written = NOTHING_WRITTEN
    events: Written = NOTHING_WRITTEN


def rebuild_events(
    engine: sa.Engine,
    classifier: Classifier,
    *,
    channel_ids: Collection[int] | None = None,
    replays: Replays | None = None,
    on_progress: Callable[[int, int], None] = lambda done, all_: None,
) -> Rebuilt:
    """Replays every channel with new labels or image reveals since its last build, then groups and clusters what that can touch.

    The tables are left as a rebuild of everything would leave them; only rows that differ are written.

    Args:
        engine: the platform's database.
        classifier: whose labels count.
        channel_ids: look for new labels in these channels only; in all if None.
        replays: replays of earlier calls, which are continued, and kept for the next call; every channel anew if None.
        on_progress: called with channels done and channels to do.
    """
    with _alone(engine):
        affected = affected_channels(engine, classifier, channel_ids)
        if affected.is_empty():
            return Rebuilt(0)
        return _rebuild(engine, affected, classifier, replays or Replays(), on_progress)


def warm_replays(engine: sa.Engine, classifier: Classifier, replays: Replays, channel_id: int) -> None:
    """Replays a channel ahead of its next message; nothing is written."""
    with _alone(engine):
        if channel_id not in replays:
            replays.found(engine, classifier, current_builds(engine, classifier, [channel_id]), datetime.now(UTC))


@contextmanager
def _alone(engine: sa.Engine) -> Generator[None]:
    with engine.connect() as lock:
        lock.execute(sa.select(sa.func.pg_advisory_lock(locks.EVENT_BUILD)))
        try:
            yield
        finally:
            lock.execute(sa.select(sa.func.pg_advisory_unlock(locks.EVENT_BUILD)))


def _rebuild(
    engine: sa.Engine, affected: pl.DataFrame, classifier: Classifier, replays: Replays, on_progress: Callable[[int, int], None]
) -> Rebuilt:
    """Everything is computed first and written in one transaction: readers never see releases without their event."""
    replayed = affected["channel_id"].to_list()
    announcements, releases = replays.found(engine, classifier, affected, datetime.now(UTC), on_progress)
    changed_announcements = _changed(engine, PUMP_ANNOUNCEMENTS, announcements, replayed)
    changed_releases = _changed(engine, PUMP_RELEASES, releases, replayed)
    jobs: dict[str, _Job] = {}
    if not changed_announcements.is_empty():
        ids = changed_announcements["announcement_id"].unique().to_list()
        own = announcements.filter(pl.col("announcement_id").is_in(ids))
        jobs["announcements"] = _Job(PUMP_ANNOUNCEMENTS, own, _is_one_of(PUMP_ANNOUNCEMENTS.c.announcement_id, ids))
        if changed_announcements["scheduled_at"].count():
            jobs["scheduled_pumps"] = _schedule(engine, announcements, changed_announcements, replayed)
    if not changed_releases.is_empty():
        # Releases meet within a symbol only.
        symbols = changed_releases["symbol"].unique().to_list()
        symbol = PUMP_RELEASES.c.symbol
        others = read_frame(
            engine, sa.select(PUMP_RELEASES).where(PUMP_RELEASES.c.channel_id.notin_(replayed), _is_one_of(symbol, symbols))
        )
        own = releases.filter(pl.col("symbol").is_in(symbols))
        events, clustered = cluster_events(pl.concat([others.drop("event_id"), own]))
        jobs["releases"] = _Job(PUMP_RELEASES, clustered, _is_one_of(symbol, symbols))
        jobs["events"] = _Job(PUMP_EVENTS, events, _is_one_of(PUMP_EVENTS.c.symbol, symbols))
    with transaction(engine) as connection:
        written = {name: replace_window(connection, *job) for name, job in jobs.items()}
        upsert(connection, CHANNEL_BUILDS, affected)
    return Rebuilt(affected.height, **written)


class _Job(NamedTuple):
    """Arguments of `replace_window`."""

    table: sa.Table
    rows: pl.DataFrame
    window: sa.ColumnElement[bool]


def _changed(engine: sa.Engine, table: sa.Table, found: pl.DataFrame, channel_ids: Sequence[int]) -> pl.DataFrame:
    """Rows of these channels that differ between the table and `found`, as they were and as they are now."""
    stored = read_frame(engine, sa.select(*(table.c[name] for name in found.columns)).where(table.c.channel_id.in_(channel_ids)))
    return pl.concat([stored, found]).unique(keep="none")


def _schedule(engine: sa.Engine, found: pl.DataFrame, changed: pl.DataFrame, replayed: Sequence[int]) -> _Job:
    """The pumps of all announcements, of any channel, that lie near enough to a changed one in time to be grouped otherwise now."""
    at = PUMP_ANNOUNCEMENTS.c.scheduled_at
    stored = read_frame(engine, sa.select(at).where(at.is_not(None)))
    first, last = connected_span(pl.concat([stored["scheduled_at"], found["scheduled_at"]]), changed["scheduled_at"])
    others = read_frame(
        engine, sa.select(PUMP_ANNOUNCEMENTS).where(PUMP_ANNOUNCEMENTS.c.channel_id.notin_(replayed), at.between(first, last))
    )
    pumps = schedule_pumps(pl.concat([others, found.filter(pl.col("scheduled_at").is_between(first, last))]))
    return _Job(SCHEDULED_PUMPS, pumps, SCHEDULED_PUMPS.c.scheduled_at.between(first, last))


def _is_one_of(column: sa.Column[str], values: Sequence[str]) -> sa.ColumnElement[bool]:
    # One array, however many values: bound one by one, they would be too many for a first build.
    return column == sa.any_(sa.literal(values, pg.ARRAY(sa.Text)))
