"""Spans of time in which messages were posted."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

# Start, included, and end, excluded; in UTC.
Window = tuple[datetime, datetime]


def within(column: sa.ColumnElement[datetime], window: Window | None) -> sa.ColumnElement[bool]:
    """Condition that `column` lies in `window`; always true without one."""
    return sa.true() if window is None else sa.and_(column >= window[0], column < window[1])
