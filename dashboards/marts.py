"""Reads schema `mart` with the read-only role, and says in one sentence why it could not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import polars as pl
import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pnd_dagster.errors import DatabaseError, PndError, SourceError, TransientError

BUILD_HINT = "Run `pnd run`, then `pnd db marts`, or the job `warehouse` in the Dagster UI (`pnd ui`)."
CONDUCT_HINT = "Run `pnd run`, or the job `conduct` in the Dagster UI (`pnd ui`)."
_NOT_BUILT = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.InsufficientPrivilege,
)


QUERY_SECONDS = 10
"""Nobody waits longer for a page; the role's own limit is meant for BI tools."""
# Types by Postgres' number: a column of which nothing is known has one, too.
_TYPES: dict[int, pl.DataType] = {
    **dict.fromkeys((20, 21, 23), pl.Int64()),
    **dict.fromkeys((700, 701, 1700), pl.Float64()),
    **dict.fromkeys((19, 25, 1043), pl.String()),
    **dict.fromkeys((1005, 1007, 1016), pl.List(pl.Int64())),
    16: pl.Boolean(),
    1082: pl.Date(),
    1184: pl.Datetime("us", "UTC"),
    1009: pl.List(pl.String()),
}


def _frame(answer: sa.CursorResult[Any]) -> pl.DataFrame:
    described: Any = answer.cursor.description if answer.cursor else ()
    rows = answer.fetchall()
    columns = zip(*rows, strict=True) if rows else ([] for _ in described)
    return pl.DataFrame(
        pl.Series(column.name, [float(value) if isinstance(value, Decimal) else value for value in values], _TYPES.get(column.type_code))
        for column, values in zip(described, columns, strict=True)
    )


class NotBuiltError(PndError):
    """The marts, or a column of them, do not exist yet."""


class Marts:
    """The marts of one database.

    Args:
        url: address of the role that may read schema `mart` only.
    """

    def __init__(self, url: sa.URL) -> None:
        self._where = f"{url.host}:{url.port or 5432}"
        self._engine = sa.create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            pool_timeout=5,
            connect_args={
                "options": f"-c timezone=UTC -c default_transaction_read_only=on -c statement_timeout={QUERY_SECONDS}s",
                "application_name": "pnd dashboard",
                "connect_timeout": 3,
            },
        )

    def read(self, query: str, **bound: Any) -> pl.DataFrame:
        """Rows of a query over `mart`, whose `:names` are bound to `bound`; times are in UTC.

        Raises:
            NotBuiltError: a table or column is not there, or may not be read.
            SourceError: what is bound fits no type of the database.
            TransientError: the query took longer than `QUERY_SECONDS`, or the database has no connection left.
            DatabaseError: the database does not answer, or refuses the role.
        """
        try:
            with self._engine.connect() as connection:
                return _frame(connection.execute(sa.text(query), bound))
        except PoolTimeoutError as error:
            raise TransientError("The database is busy: no connection became free in 5 s.") from error
        except DBAPIError as error:
            if isinstance(error.orig, _NOT_BUILT):
                raise NotBuiltError(f"The marts are not there yet, or older than this page. {BUILD_HINT}") from error
            if isinstance(error.orig, psycopg.errors.QueryCanceled):
                raise TransientError(
                    f"The database took longer than {QUERY_SECONDS} s: choose less, or wait; this page asks again by itself."
                ) from error
            if isinstance(error.orig, psycopg.DataError):
                raise SourceError("What was chosen, or stands in the address, cannot be looked up.") from error
            if isinstance(error.orig, psycopg.OperationalError):
                raise self._away(str(error.orig)) from error
            raise

    def _away(self, reason: str) -> PndError:
        # While it connects psycopg tells reasons apart in words only.
        if "too many connections" in reason:
            return TransientError("The database is busy: all connections of the role are taken.")
        if "authentication failed" in reason or "is not permitted to log in" in reason:
            return DatabaseError(f"The database at {self._where} refuses the role: run `pnd db bi`, then start `pnd dashboard` anew.")
        return DatabaseError(f"The database at {self._where} does not answer. This page asks again by itself.")

    def close(self) -> None:
        """Gives all connections back."""
        self._engine.dispose()
