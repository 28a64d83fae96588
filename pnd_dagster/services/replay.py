"""A watch as it went, from what is stored: messages, rankings and alerts in time order; and whether ranking it again gives the same."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

import numpy as np
import polars as pl
import sqlalchemy as sa

from pnd_dagster.alerts.text import plain
from pnd_dagster.errors import SourceError
from pnd_dagster.ranking.ranking import rank
from pnd_dagster.ranking.rolling import load_windows
from pnd_dagster.ranking.rules import rule_by_name
from pnd_dagster.ranking.store import read_ranking, read_ticks
from pnd_dagster.storage import read_frame, transaction
from pnd_dagster.tables import (
    ALERTS,
    BUCKET_COMMITS,
    PUMP_ANNOUNCEMENTS,
    PUMP_EVENTS,
    PUMP_RELEASES,
    SCHEDULED_PUMPS,
    TARGET_RANKINGS,
    TELEGRAM_MESSAGES,
    WATCHES,
)

# Messages of the channels that announced it are shown from so long before the watch until so long after it.
AROUND = timedelta(minutes=2)
NEWEST = 5
LEADERS = 10


class Watch(NamedTuple):
    """A stored watch: columns of out.watches."""

    watch_id: str
    pump_id: str | None
    scheduled_at: datetime
    started_at: datetime
    ended_at: datetime | None
    symbol: str | None
    event_id: str | None


class Moment(NamedTuple):
    """Something that happened during a watch, when we knew of it.

    Attributes:
        at: the time.
        kind: message, ranking, alert.
        text: what, in a line; of a ranking, its exchange.
        ranking_id: of a ranking.
    """

    at: datetime
    kind: Literal["message", "ranking", "alert"]
    text: str
    ranking_id: int | None = None


class Agreement(NamedTuple):
    """Ranking a watch again from the stored metrics, against what was ranked then.

    Attributes:
        ticks: ticks that were compared.
        same_ticks: those in which every rank is the same.
        same_leaders: those in which the first five are the same coins.
        largest_difference: of a rank, in any tick.
        skipped: ticks of which the metrics are not stored any more.
    """

    ticks: int
    same_ticks: int
    same_leaders: int
    largest_difference: float
    skipped: int


def find_watch(engine: sa.Engine, text: str) -> Watch:
    """The watch of an event, pump or watch id, or of the beginning of one; the newest where a pump was watched at several times.

    Raises:
        SourceError: nothing or several things are called so; names some.
        DatabaseError: Postgres refused or cannot be reached.
    """
    watch, event, pump = WATCHES.c, PUMP_EVENTS.c, SCHEDULED_PUMPS.c
    fields = [watch[name] for name in Watch._fields]
    is_event = sa.or_(event.event_id.startswith(text, autoescape=True), event.aliases.any(sa.literal(text)))
    events = sa.select(event.event_id, event.announcement_ids).where(is_event).subquery()
    of_event = sa.or_(
        watch.event_id.in_(sa.select(events.c.event_id)),
        watch.pump_id.in_(sa.select(pump.pump_id).join(events, pump.announcement_ids.overlap(events.c.announcement_ids))),
    )
    by_start = watch.started_at.desc()
    with transaction(engine) as connection:
        statement = sa.select(*fields).where(sa.or_(watch.watch_id.startswith(text, autoescape=True), of_event)).order_by(by_start)
        found = [Watch(*row) for row in connection.execute(statement)]
        newest = connection.execute(sa.select(watch.watch_id).order_by(by_start).limit(NEWEST)).scalars().all()
    if not text or not found:
        known = f"the newest: {', '.join(newest)}" if newest else "nothing was watched yet"
        raise SourceError(f"{text or 'nothing'}: no watch, pump or watched event is called so; {known}")
    if len({one.pump_id or one.watch_id for one in found}) > 1:
        raise SourceError(f"{text}: several are called so: {', '.join(one.watch_id for one in found[:NEWEST])}")
    return found[0]


def moments(engine: sa.Engine, watch: Watch) -> list[Moment]:
    """What happened, in the order in which it was known here.

    Raises:
        SourceError: its rankings were removed, as they are after a while.
        DatabaseError: Postgres refused or cannot be reached.
    """
    ticks = read_ticks(engine, watch.watch_id)
    kept = _kept(engine, ticks)
    if kept.is_empty():
        reason = "its rankings are no longer stored: their days were dropped" if ticks.height else "it ranked nothing"
        raise SourceError(f"{watch.watch_id}: {reason}")
    rankings = [
        Moment(end_at + timedelta(seconds=lag), "ranking", exchange, ranking_id)
        for ranking_id, exchange, end_at, lag in kept.select("ranking_id", "exchange", "bucket_end_at", "lag_seconds").iter_rows()
    ]
    return sorted([*rankings, *_messages(engine, watch), *_alerts(engine, watch)], key=lambda moment: moment.at)


def rank_again(engine: sa.Engine, watch: Watch) -> Agreement:
    """Ranks every stored tick again from the stored metrics, by the function that ranks live.

    Raises:
        SourceError: neither rankings nor metrics of it are stored any more.
        SettingError: its score rule is not known to this version.
        DatabaseError: Postgres refused or cannot be reached.
    """
    ticks = _kept(engine, read_ticks(engine, watch.watch_id))
    agreement = Agreement(0, 0, 0, 0.0, 0)
    for (exchange,), of_exchange in ticks.group_by("exchange", maintain_order=True):
        agreement = _add(agreement, _rank_exchange_again(engine, str(exchange), of_exchange.sort("bucket_end_at")))
    if not agreement.ticks:
        raise SourceError(f"{watch.watch_id}: what it was ranked by is no longer stored; metrics are kept for PND_METRICS_RETENTION_DAYS")
    return agreement


def _rank_exchange_again(engine: sa.Engine, exchange: str, ticks: pl.DataFrame) -> Agreement:
    commit = BUCKET_COMMITS.c
    times = ticks["bucket_end_at"].to_list()
    committed = set(
        read_frame(engine, sa.select(commit.bucket_end_at).distinct().where(commit.exchange == exchange, commit.bucket_end_at.in_(times)))[
            "bucket_end_at"
        ].to_list()
    )
    usable = ticks.filter(pl.col("bucket_end_at").is_in(list(committed)))
    agreement = Agreement(0, 0, 0, 0.0, ticks.height - usable.height)
    windows = None
    for ranking_id, end_at, name in usable.select("ranking_id", "bucket_end_at", "score_rule").iter_rows():
        stored = read_ranking(engine, ranking_id).sort("instrument_id")
        ids, rule = stored["instrument_id"].to_numpy(), rule_by_name(name)
        if windows is None or not np.array_equal(windows.instrument_ids, ids):
            windows = load_windows(engine, exchange, ids, end_at, rule)
        windows.catch_up(engine, end_at)
        again = rank(ids, windows.values, windows.history, rule)
        before = stored["rank"].to_numpy().astype(np.float64)
        difference = float(np.abs(again.rank - before).max())
        same_leaders = set(ids[again.rank <= NEWEST]) == set(ids[before <= NEWEST])
        agreement = _add(agreement, Agreement(1, int(difference == 0), int(same_leaders), difference, 0))
    return agreement


def _add(one: Agreement, other: Agreement) -> Agreement:
    return Agreement(
        one.ticks + other.ticks,
        one.same_ticks + other.same_ticks,
        one.same_leaders + other.same_leaders,
        max(one.largest_difference, other.largest_difference),
        one.skipped + other.skipped,
    )


def _kept(engine: sa.Engine, ticks: pl.DataFrame) -> pl.DataFrame:
    """Ticks whose rows are still there: out.target_rankings is dropped by day, out.ranking_ticks is not."""
    ranked = TARGET_RANKINGS.c
    if ticks.is_empty():
        return ticks
    first, last = ticks["bucket_end_at"].min(), ticks["bucket_end_at"].max()
    statement = (
        sa.select(ranked.ranking_id)
        .distinct()
        .where(ranked.bucket_end_at.between(first, last), ranked.ranking_id.in_(ticks["ranking_id"].to_list()))
    )
    return ticks.join(read_frame(engine, statement), on="ranking_id", how="semi")


def _messages(engine: sa.Engine, watch: Watch) -> list[Moment]:
    """What announced and released it, and all else that those channels posted meanwhile."""
    if watch.pump_id is None:
        return []
    announcement, pump, release, message = PUMP_ANNOUNCEMENTS.c, SCHEDULED_PUMPS.c, PUMP_RELEASES.c, TELEGRAM_MESSAGES.c
    own = sa.select(sa.func.unnest(pump.announcement_ids)).where(pump.pump_id == watch.pump_id)
    evidence = (
        sa.select(announcement.channel_id, sa.func.unnest(announcement.evidence_message_ids).label("message_id"))
        .where(announcement.announcement_id.in_(own))
        .union(sa.select(release.channel_id, release.message_id).where(release.announcement_id.in_(own)))
        .subquery()
    )
    until = (watch.ended_at or datetime.now(UTC)) + AROUND
    is_evidence = sa.exists().where(evidence.c.channel_id == message.channel_id, evidence.c.message_id == message.message_id)
    is_meanwhile = sa.and_(
        message.channel_id.in_(sa.select(evidence.c.channel_id)), message.occurred_at.between(watch.started_at - AROUND, until)
    )
    at = sa.func.coalesce(message.edited_at, message.occurred_at)
    frame = read_frame(
        engine,
        sa.select(at.label("at"), message.channel_id, message.text, message.edited_at.is_not(None).label("is_edited"))
        .where(sa.or_(is_evidence, is_meanwhile), message.text != "", sa.not_(message.is_deleted))
        .order_by(at),
    )
    return [
        Moment(row["at"], "message", f"channel {row['channel_id']}{', edited' if row['is_edited'] else ''}: {plain(row['text'])}")
        for row in frame.iter_rows(named=True)
    ]


def _alerts(engine: sa.Engine, watch: Watch) -> list[Moment]:
    alert = ALERTS.c
    subjects: Sequence[str] = [subject for subject in (watch.watch_id, watch.pump_id, watch.event_id) if subject]
    frame = read_frame(
        engine,
        sa.select(sa.func.min(alert.created_at).label("at"), alert.stage, alert.title)
        .where(alert.subject_id.in_(subjects))
        .group_by(alert.alert_id, alert.stage, alert.title),
    )
    return [Moment(row["at"], "alert", f"{row['stage']}: {plain(row['title'])}") for row in frame.iter_rows(named=True)]
