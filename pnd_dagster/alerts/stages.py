"""What is said at each stage of a pump. Callers call these whenever a stage is reached; what was queued before is not repeated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import numpy as np
import sqlalchemy as sa

from pnd_dagster.alerts import facts, wording
from pnd_dagster.alerts.alert import Alert, alert_id, queue_alert
from pnd_dagster.alerts.announced import announced_alerts
from pnd_dagster.alerts.releases import over_of, released_of
from pnd_dagster.ranking.explanation import explain, in_words
from pnd_dagster.ranking.ranking import Ranking
from pnd_dagster.ranking.rules import ScoreRule
from pnd_dagster.settings import Settings
from pnd_dagster.storage import transaction
from pnd_dagster.tables import ALERTS

__all__ = [
    "Watched",
    "announced_alerts",
    "cancelled_alert",
    "candidates_alert",
    "detected_alert",
    "over_alert",
    "released_alert",
    "suspected_alert",
]

LEADERS = 5


class Watched(Protocol):
    """What an alert needs to know of a watch: columns of out.watches."""

    @property
    def watch_id(self) -> str:
        """Of a watch started by hand, the subject of its alerts."""
        ...

    @property
    def pump_id(self) -> str | None:
        """The subject of its alerts."""
        ...

    @property
    def schedule_revision(self) -> int | None:
        """Of the pump's schedule."""
        ...

    @property
    def exchanges(self) -> Sequence[str]:
        """Those that are ranked."""
        ...

    @property
    def scheduled_at(self) -> datetime:
        """Announced start."""
        ...


def candidates_alert(
    target: sa.Engine | sa.Connection,
    settings: Settings,
    watched: Watched,
    exchange: str,
    bucket_end_at: datetime,
    ranking: Ranking,
    symbols: Sequence[str],
    rule: ScoreRule,
) -> bool:
    """Queues the first ranking of a watch on an exchange; once for each revision of the schedule. May be called at every tick.

    Args:
        target: an engine (own transaction) or a connection (the caller's transaction).
        settings: which channels there are.
        watched: the watch.
        exchange: whose coins were ranked.
        bucket_end_at: end of the last bucket that was ranked.
        ranking: the tick's ranking.
        symbols: [instruments], pair or base of each, in the ranking's order.
        rule: that scored.

    Returns:
        Whether it is new.

    Raises:
        DatabaseError: Postgres refused or is away.
    """
    occasion = f"{watched.schedule_revision or 0}:{exchange}"
    with transaction(target) as connection:
        this = alert_id("candidates", _subject(watched), occasion)
        if connection.execute(sa.select(ALERTS.c.channel).where(ALERTS.c.alert_id == this).limit(1)).first():
            return False
        told = _leaders(connection, "candidates", watched, exchange, bucket_end_at, ranking, symbols, rule, occasion)
        return queue_alert(connection, settings, told)


def suspected_alert(
    target: sa.Engine | sa.Connection,
    settings: Settings,
    watched: Watched,
    exchange: str,
    bucket_end_at: datetime,
    ranking: Ranking,
    symbols: Sequence[str],
    rule: ScoreRule,
) -> bool:
    """Queues who leads. May be called at every tick, also by a watch that was started again: it says nothing while the same coin leads,
    nor within the cool-down, nor while nothing is known of any coin.

    Arguments, result and errors are those of `candidates_alert`.
    """
    if not ranking.is_active.any():
        return False
    occasion = f"{watched.schedule_revision or 0}:{exchange}:{bucket_end_at.isoformat()}"
    head = wording.symbol_text(symbols[_best(ranking, 1)[0]])
    alert = ALERTS.c
    last = (
        sa.select(alert.symbol, alert.created_at)
        .where(alert.subject_id == _subject(watched), alert.stage == "target suspected", alert.exchange == exchange)
        .order_by(alert.created_at.desc())
        .limit(1)
    )
    with transaction(target) as connection:
        before = connection.execute(last.add_columns(sa.func.clock_timestamp())).first()
        if before and (before[0] == head or before[2] - before[1] < timedelta(seconds=settings.alert_cooldown_seconds)):
            return False
        told = _leaders(connection, "target suspected", watched, exchange, bucket_end_at, ranking, symbols, rule, occasion)
        return queue_alert(connection, settings, told)


def released_alert(engine: sa.Engine, settings: Settings, watched: Watched, event_id: str) -> bool:
    """Queues that a coin was named, with where it stood before; False too where there is no such event (any more).

    Args:
        engine: the platform's database.
        settings: which channels there are.
        watched: the watch.
        event_id: row of core.pump_events.

    Raises:
        DatabaseError: Postgres refused or is away.
    """
    with transaction(engine) as connection:
        row = facts.event(connection, event_id)
        return row is not None and queue_alert(connection, settings, released_of(connection, row, _subject(watched)))


def over_alert(engine: sa.Engine, settings: Settings, watched: Watched, detail: str | None = None) -> bool:
    """Queues that a pump's time is over, with what came of it; once for each revision of the schedule.

    Args:
        engine: the platform's database.
        settings: which channels there are.
        watched: the watch.
        detail: what more there is to say, in words.

    Raises:
        DatabaseError: Postgres refused or is away.
    """
    with transaction(engine) as connection:
        alert = over_of(connection, _subject(watched), watched.schedule_revision, _exchange(watched), watched.scheduled_at, detail)
        return queue_alert(connection, settings, alert)


def cancelled_alert(target: sa.Engine | sa.Connection, settings: Settings, watched: Watched) -> bool:
    """Queues that a pump was called off; once for each revision of the schedule. Arguments as for `over_alert`."""
    alert = wording.cancelled(_subject(watched), watched.schedule_revision, _exchange(watched), watched.scheduled_at)
    return queue_alert(target, settings, alert)


def detected_alert(target: sa.Engine | sa.Connection, settings: Settings, detection: Mapping[str, Any]) -> bool:
    """Queues a pump that was seen on the market after its start.

    Args:
        target: an engine (own transaction) or a connection (the caller's transaction).
        settings: which channels there are.
        detection: a row of out.detected_pumps, by column.

    Raises:
        DatabaseError: Postgres refused or is away.
    """
    return queue_alert(target, settings, wording.detected(detection))


def _leaders(
    connection: sa.Connection,
    stage: wording.LeaderStage,
    watched: Watched,
    exchange: str,
    bucket_end_at: datetime,
    ranking: Ranking,
    symbols: Sequence[str],
    rule: ScoreRule,
    occasion: str,
) -> Alert:
    places = _best(ranking, LEADERS) if ranking.is_active.any() else []
    named = [wording.symbol_text(symbols[place]) or "" for place in places]
    prior = facts.prior_pumps(connection, named, bucket_end_at)
    first: list[dict[str, Any]] = []
    for place, symbol in zip(places, named, strict=True):
        reasons = explain(ranking.z[place], rule)
        first.append(
            {
                "rank": facts.rounded(ranking.rank[place]),
                "symbol": symbol,
                "instrument_id": int(ranking.instrument_ids[place]),
                "score": facts.rounded(ranking.score[place]),
                "words": in_words(reasons),
                "prior_pumps": [facts.iso(one["released_at"]) for one in prior if (one["exchange"], one["symbol"]) == (exchange, symbol)],
                "reasons": [{"metric": one.metric, "horizon_seconds": one.horizon_seconds, "z": facts.rounded(one.z)} for one in reasons],
            }
        )
    # Where no time was announced, the watch counts from the announcement.
    is_dated = watched.pump_id is None or facts.pump(connection, watched.pump_id) is not None
    lead_seconds = (watched.scheduled_at - bucket_end_at).total_seconds() if is_dated else None
    told = {
        "watch_id": watched.watch_id,
        "bucket_end_at": facts.iso(bucket_end_at),
        "scheduled_at": facts.iso(watched.scheduled_at) if is_dated else None,
        "lead_seconds": lead_seconds,
        "score_rule": rule.name,
        "candidates": len(ranking.instrument_ids),
        "active": int(np.count_nonzero(ranking.is_active)),
        "leaders": first,
    }
    return wording.leaders(stage, told, exchange, occasion, _subject(watched), lead_seconds)


def _best(ranking: Ranking, count: int) -> list[int]:
    return [int(place) for place in np.argsort(ranking.rank, kind="stable")[:count]]


def _subject(watched: Watched) -> str:
    return watched.pump_id or watched.watch_id


def _exchange(watched: Watched) -> str | None:
    return watched.exchanges[0] if len(watched.exchanges) == 1 else None
