"""Day partitions of tables that are partitioned by time: made ahead, dropped by retention.

Several processes may do both at once; readers and writers of other days are not held up: a new partition is attached and an old one
detached under locks that reads and writes do not conflict with.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa

from pnd_dagster.storage import locks
from pnd_dagster.storage.bulk import transaction

DAYS_AHEAD = 3


def partition_name(table: sa.Table, day: date) -> str:
    """Name of a day's partition, e.g. `trade_metrics_p20260131`; the UTC day of the partitioning column."""
    return f"{table.name}_p{day:%Y%m%d}"


def make_ahead(engine: sa.Engine, tables: Iterable[sa.Table], today: date | None = None) -> list[str]:
    """Makes the partitions of today and the next days. Returns the names of new ones.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """
    first = today or datetime.now(UTC).date()
    return make_days(engine, tables, [first + timedelta(days=ahead) for ahead in range(DAYS_AHEAD + 1)])


def make_days(engine: sa.Engine, tables: Iterable[sa.Table], days: Iterable[date]) -> list[str]:
    """Makes the partitions of some days where they are missing. Returns the names of new ones.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """
    wanted = [(table, day) for table in tables for day in sorted(days)]
    made: list[str] = []
    with transaction(engine) as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(locks.PARTITIONS)))
        for table, day in wanted:
            name = partition_name(table, day)
            if name in _attached(connection, table):
                continue
            # PARTITION OF would lock out all readers and writers of the table; ATTACH does not.
            connection.exec_driver_sql(
                f'CREATE TABLE IF NOT EXISTS "{table.schema}"."{name}" (LIKE "{table.schema}"."{table.name}" INCLUDING INDEXES)'
            )
            connection.exec_driver_sql(
                f'ALTER TABLE "{table.schema}"."{table.name}" ATTACH PARTITION "{table.schema}"."{name}" '
                f"FOR VALUES FROM ('{day} 00:00+00') TO ('{day + timedelta(days=1)} 00:00+00')"
            )
            made.append(name)
    return made


def drop_before(engine: sa.Engine, tables: Iterable[sa.Table], first_kept: date) -> list[str]:
    """Drops the partitions of days before `first_kept`, one after the other. Returns their names.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """
    dropped: list[str] = []
    with _alone(engine) as connection:
        for table in tables:
            attached = _attached(connection, table)
            for name in _day_tables(connection, table):
                if _day(name) >= first_kept:
                    continue
                if (is_pending := attached.get(name)) is not None:
                    how = "FINALIZE" if is_pending else "CONCURRENTLY"
                    connection.exec_driver_sql(
                        f'ALTER TABLE "{table.schema}"."{table.name}" DETACH PARTITION "{table.schema}"."{name}" {how}'
                    )
                connection.exec_driver_sql(f'DROP TABLE "{table.schema}"."{name}"')
                dropped.append(name)
    return dropped


@contextmanager
def _alone(engine: sa.Engine) -> Generator[sa.Connection]:
    """A connection without a transaction around it (DETACH CONCURRENTLY needs that), holding the lock."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as outside, transaction(outside) as connection:
        connection.execute(sa.select(sa.func.pg_advisory_lock(locks.PARTITIONS)))
        try:
            yield connection
        finally:
            connection.execute(sa.select(sa.func.pg_advisory_unlock(locks.PARTITIONS)))


def _attached(connection: sa.Connection, table: sa.Table) -> dict[str, bool]:
    """Names of the table's partitions, and whether a detachment of it was begun and cut off."""
    rows = connection.execute(
        sa.text(
            "SELECT child.relname, inhdetachpending FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
            "WHERE inhparent = CAST(:parent AS regclass)"
        ),
        {"parent": f'"{table.schema}"."{table.name}"'},
    )
    return {str(name): bool(is_pending) for name, is_pending in rows}


def _day_tables(connection: sa.Connection, table: sa.Table) -> list[str]:
    """Names of all day partitions, oldest first; also of those that were detached and not yet dropped."""
    rows = connection.execute(
        sa.text("SELECT relname FROM pg_class WHERE relnamespace = CAST(:schema AS regnamespace) AND relkind = 'r'"),
        {"schema": str(table.schema)},
    )
    pattern = re.compile(rf"{re.escape(table.name)}_p\d{{8}}")
    return sorted(str(name) for (name,) in rows if pattern.fullmatch(str(name)))


def _day(name: str) -> date:
    return datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC).date()
