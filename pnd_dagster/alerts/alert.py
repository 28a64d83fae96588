"""An alert, and how it is queued: once per channel it goes to, in the transaction of what it tells of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from pnd_dagster import __version__
from pnd_dagster.alerts.text import one_line
from pnd_dagster.events.identity import stable_id
from pnd_dagster.settings import Settings
from pnd_dagster.storage import transaction
from pnd_dagster.storage.dead_letters import json_text
from pnd_dagster.tables import ALERTS

Stage = Literal["announced", "candidates", "target suspected", "released", "over", "cancelled", "detected", "test"]
Channel = Literal["webhook", "file", "log", "e-mail"]

FORMAT = 1
"""Version of the body's layout; new fields do not raise it."""

DISCLAIMER = (
    "Made automatically from public messages and market data. It is a suspicion, not a finding, and may be wrong. "
    "It is meant for market surveillance and is no recommendation to buy, sell or hold anything."
)


class Alert(NamedTuple):
    """What is to be told.

    Attributes:
        stage: where the pump stands.
        subject_id: pump, watch or detection it tells of.
        occasion: what makes it another alert than the last of this stage and subject, e.g. the schedule's revision.
        exchange, symbol: what it is about, where known; the symbol is the coin's alone, upper case.
        title: one line.
        lines: the evidence in words.
        evidence: the same for programs.
        unknown: what is not known.
    """

    stage: Stage
    subject_id: str
    occasion: str
    exchange: str | None
    symbol: str | None
    title: str
    lines: Sequence[str] = ()
    evidence: Mapping[str, Any] = {}
    unknown: Sequence[str] = ()

    @property
    def alert_id(self) -> str:
        """Hash of stage, subject and occasion: the key by which a receiver knows a repetition."""
        return alert_id(self.stage, self.subject_id, self.occasion)


def alert_id(stage: Stage, subject_id: str, occasion: str) -> str:
    """`Alert.alert_id` of an alert that is not made yet."""
    return stable_id("alert", stage, subject_id, occasion)


def channels(settings: Settings) -> tuple[Channel, ...]:
    """Where alerts go: to the file and the log always, by webhook and e-mail where those are set."""
    webhook: tuple[Channel, ...] = ("webhook",) if settings.alert_webhook_url else ()
    email: tuple[Channel, ...] = ("e-mail",) if settings.smtp_url and settings.alert_email_to else ()
    return (*webhook, "file", "log", *email)


def queue_alert(target: sa.Engine | sa.Connection, settings: Settings, alert: Alert) -> bool:
    """Puts an alert into the outbox, once for each channel; an alert that was queued before is left as it is.

    Args:
        target: an engine (own transaction) or a connection (the caller's transaction).
        settings: which channels there are.
        alert: what to tell.

    Returns:
        Whether it is new to any channel.

    Raises:
        DatabaseError: Postgres refused or is away.
    """
    now = sa.func.statement_timestamp()
    common = {
        "alert_id": alert.alert_id,
        "stage": alert.stage,
        "subject_id": alert.subject_id,
        "exchange": alert.exchange,
        "symbol": alert.symbol,
        "title": one_line(alert.title),
        # As text: JSON of ours may hold NaN, which jsonb refuses.
        "body": sa.cast(sa.literal(json_text(body_of(alert)), sa.Text), pg.JSONB),
        "state": "pending",
        "attempts": 0,
        "created_at": now,
        "next_attempt_at": now,
    }
    statement = pg.insert(ALERTS).values([{**common, "channel": channel} for channel in channels(settings)])
    with transaction(target) as connection:
        inserted = connection.execute(statement.on_conflict_do_nothing().returning(ALERTS.c.channel)).all()
    return bool(inserted)


def body_of(alert: Alert) -> dict[str, Any]:
    """What is sent, on every channel."""
    return {
        "format": FORMAT,
        "alert_id": alert.alert_id,
        "stage": alert.stage,
        "subject_id": alert.subject_id,
        "exchange": alert.exchange,
        "symbol": alert.symbol,
        "title": one_line(alert.title),
        "lines": [one_line(line) for line in alert.lines],
        "evidence": dict(alert.evidence),
        "unknown": [one_line(line) for line in alert.unknown],
        "disclaimer": DISCLAIMER,
        "made_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "version": __version__,
    }


def as_text(body: Mapping[str, Any]) -> str:
    """The body of an alert as plain text, for a person."""
    lines = [body["title"], ""]
    lines += [f"- {line}" for line in body.get("lines", ())]
    if body.get("unknown"):
        lines += ["", "Not known:", *(f"- {line}" for line in body["unknown"])]
    lines += ["", body["disclaimer"], f"Alert {body['alert_id']}, {body['stage']}, made {body['made_at']}, pnd-dagster {body['version']}"]
    return "\n".join(lines) + "\n"
