"""What was asked of each vendor per day (raw.vendor_quotas), counted as it happens."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from pnd_dagster.storage import transaction
from pnd_dagster.tables import VENDOR_QUOTAS


class Usage(NamedTuple):
    """What was asked of a vendor: requests sent (retries included), credits it says they cost, and answers 429 and 402."""

    requests: int = 0
    credits: int = 0
    refusals: int = 0

    def plus(self, other: Usage) -> Usage:
        """The sum of both."""
        return Usage(*(a + b for a, b in zip(self, other, strict=True)))


def add_usage(engine: sa.Engine, vendor: str, usage: Usage, at: datetime) -> None:
    """Adds `usage` to the vendor's day in a transaction of its own, so that whatever fails next, it is counted.

    Args:
        engine: the platform's database.
        vendor: lower case, e.g. coinmarketcap.
        usage: what is added.
        at: when it was asked; its UTC day counts.

    Raises:
        DatabaseError: Postgres refused.
    """
    new = pg.insert(VENDOR_QUOTAS).values(vendor=vendor, day=at.astimezone(UTC).date(), last_request_at=at, **usage._asdict())
    counted = {name: VENDOR_QUOTAS.c[name] + new.excluded[name] for name in Usage._fields}
    latest = sa.func.greatest(VENDOR_QUOTAS.c.last_request_at, new.excluded.last_request_at)
    with transaction(engine) as connection:
        connection.execute(new.on_conflict_do_update(index_elements=["vendor", "day"], set_={**counted, "last_request_at": latest}))


def used(engine: sa.Engine, vendor: str, day: date) -> Usage:
    """What was asked of `vendor` on that UTC day.

    Raises:
        DatabaseError: Postgres refused.
    """
    quota = VENDOR_QUOTAS.c
    statement = sa.select(quota.requests, quota.credits, quota.refusals).where(quota.vendor == vendor, quota.day == day)
    with transaction(engine) as connection:
        row = connection.execute(statement).one_or_none()
    return Usage() if row is None else Usage(*row)
