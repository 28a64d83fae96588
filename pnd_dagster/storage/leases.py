"""Leases: who may write what. Every new holder has a higher epoch, and a write under an old epoch is refused.

All times are the database's, so that the holders' clocks need not agree.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import sqlalchemy as sa

from pnd_dagster.errors import LeaseLostError
from pnd_dagster.storage.bulk import transaction
from pnd_dagster.tables import LEASES


class Lease(NamedTuple):
    """A lease as it was when we got it."""

    name: str
    holder: str
    epoch: int


def acquire(engine: sa.Engine, name: str, holder: str, seconds: float) -> Lease | None:
    """Takes a lease that is free, has expired, or was left under the same `holder` by an earlier process.

    Args:
        engine: the platform's database.
        name: what is leased, e.g. `collect:kucoin:1/1`.
        holder: who takes it; at most one living process uses a holder's name, the caller sees to that.
        seconds: how long it is valid unless renewed.

    Returns:
        The lease, with an epoch above all earlier ones, or None while somebody else holds it.

    Raises:
        DatabaseError: Postgres cannot be reached.
    """
    statement = sa.text(
        "INSERT INTO core.leases AS held (name, holder, epoch, expires_at) VALUES (:name, :holder, 1, clock_timestamp() + :valid) "
        "ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, epoch = held.epoch + 1, expires_at = clock_timestamp() + :valid "
        "WHERE held.expires_at <= clock_timestamp() OR held.holder = excluded.holder RETURNING epoch"
    ).bindparams(sa.bindparam("valid", type_=sa.Interval))
    with transaction(engine) as connection:
        epoch = connection.execute(statement, {"name": name, "holder": holder, "valid": timedelta(seconds=seconds)}).scalar_one_or_none()
    return None if epoch is None else Lease(name, holder, int(epoch))


def renew(engine: sa.Engine, lease: Lease, seconds: float) -> None:
    """Makes a lease valid for `seconds` from now; also one that has expired, as long as nobody took it.

    Raises:
        LeaseLostError: somebody took it.
        DatabaseError: Postgres cannot be reached.
    """
    if not _expire_in(engine, lease, seconds):
        raise _lost(lease)


def release(engine: sa.Engine, lease: Lease) -> bool:
    """Frees a lease for others; False if somebody had taken it already.

    Raises:
        DatabaseError: Postgres cannot be reached.
    """
    return _expire_in(engine, lease, 0)


def check(connection: sa.Connection, lease: Lease) -> None:
    """Holds a lease fast until the connection's transaction ends: nobody can take it before this write is committed.

    FOR SHARE, not FOR KEY SHARE: the latter lets others change the epoch meanwhile.

    Raises:
        LeaseLostError: somebody took it; nothing may be written.
    """
    held = sa.select(LEASES.c.epoch).where(LEASES.c.name == lease.name).with_for_update(read=True)
    if connection.execute(held).scalar_one_or_none() != lease.epoch:
        raise _lost(lease)


def _expire_in(engine: sa.Engine, lease: Lease, seconds: float) -> bool:
    ours = sa.update(LEASES).where(LEASES.c.name == lease.name, LEASES.c.epoch == lease.epoch)
    with transaction(engine) as connection:
        return connection.execute(ours.values(expires_at=sa.func.clock_timestamp() + timedelta(seconds=seconds))).rowcount == 1


def _lost(lease: Lease) -> LeaseLostError:
    return LeaseLostError(f"{lease.name}: the lease of {lease.holder} (epoch {lease.epoch}) was taken over by somebody else")
