"""What nobody wants to be alerted of for a while."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import get_args

import polars as pl
import sqlalchemy as sa

from pnd_dagster.alerts.alert import Channel
from pnd_dagster.alerts.text import plain
from pnd_dagster.errors import SettingError
from pnd_dagster.storage import read_frame, transaction, upsert
from pnd_dagster.tables import ALERT_MUTES, ALERT_STAGES

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST = timedelta(days=366)
_KINDS = ("stage", "exchange", "symbol", "channel", "pump")


def mute(engine: sa.Engine, scope: str, duration: timedelta, reason: str | None) -> tuple[str, datetime]:
    """Mutes a scope from now on; one that is muted already is muted anew. Returns the scope as it is kept, and until when.

    Raises:
        SettingError: there is no such scope.
        DatabaseError: Postgres refused or is away.
    """
    known, now = checked_scope(scope), datetime.now(UTC)
    until = now + duration
    row = {"scope": known, "until": until, "reason": plain(reason, 200) if reason else None, "muted_at": now}
    upsert(engine, ALERT_MUTES, pl.DataFrame([row], schema_overrides={"reason": pl.String}))
    return known, until


def unmute(engine: sa.Engine, scope: str) -> bool:
    """Ends a mute; False if there was none.

    Raises:
        SettingError: there is no such scope.
        DatabaseError: Postgres refused or is away.
    """
    with transaction(engine) as connection:
        return connection.execute(sa.delete(ALERT_MUTES).where(ALERT_MUTES.c.scope == checked_scope(scope))).rowcount > 0


def mutes(engine: sa.Engine) -> pl.DataFrame:
    """The mutes that hold now, rows of out.alert_mutes.

    Raises:
        DatabaseError: Postgres refused or is away.
    """
    return read_frame(engine, sa.select(ALERT_MUTES).where(ALERT_MUTES.c.until > datetime.now(UTC)).order_by(ALERT_MUTES.c.until))


def checked_scope(scope: str) -> str:
    """A scope as it is kept: `all`, or kind:name with the name spelt as alerts spell it.

    Raises:
        SettingError: it is none; says what is allowed.
    """
    kind, _, name = (part.strip() for part in scope.strip().partition(":"))
    if kind.lower() == "all" and not name:
        return "all"
    name = name.upper() if kind == "symbol" else name.lower()
    if kind not in _KINDS or not name:
        raise SettingError(f"{scope}: no scope; expected all, or one of {', '.join(f'{kind}:NAME' for kind in _KINDS)}")
    allowed = {"stage": ALERT_STAGES, "channel": get_args(Channel)}.get(kind)
    if allowed and name not in allowed:
        raise SettingError(f"{scope}: there is no such {kind}; expected one of {', '.join(allowed)}")
    return f"{kind}:{name}"


def read_duration(text: str) -> timedelta:
    """A length of time such as 90s, 15m, 2h or 3d.

    Raises:
        SettingError: it is none, or longer than a year.
    """
    match = re.fullmatch(r"(\d{1,9})([smhd])", text.strip().lower())
    duration = timedelta(seconds=int(match[1]) * _UNIT_SECONDS[match[2]]) if match else timedelta(0)
    if not timedelta(0) < duration <= _LONGEST:
        raise SettingError(f"{text}: no length of time; expected such as 90s, 15m, 2h or 3d, a year at most")
    return duration
