"""Reads schema `mart` with the read-only role, and says in one sentence why it could not."""

from __future__ import annotations

from typing import Any

import polars as pl
import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pnd_dagster.errors import DatabaseError, PndError, SourceError, TransientError

BUILD_HINT = "Run `pnd run`, then `pnd db marts`, or the job `warehouse` in the Dagster UI (`pnd ui`)."
_NOT_BUILT = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.InsufficientPrivilege,
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
            connect_args={"options": "-c timezone=UTC", "application_name": "pnd dashboard", "connect_timeout": 3},
        )

    def read(self, query: str, **bound: Any) -> pl.DataFrame:
        """Rows of a query over `mart`, whose `:names` are bound to `bound`; times are in UTC.

        Raises:
            NotBuiltError: a table or column is not there, or may not be read.
            SourceError: what is bound fits no type of the database.
        TransientError: the query took longer than the role may.
            DatabaseError: the database does not answer.
        """
        try:
            with self._engine.connect() as connection:
                return pl.read_database(sa.text(query), connection, execute_options={"parameters": bound}, infer_schema_length=None)
        except PoolTimeoutError as error:
            raise TransientError("The database is busy: no connection became free in 5 s.") from error
        except DBAPIError as error:
            if isinstance(error.orig, _NOT_BUILT):
                raise NotBuiltError(f"The marts are not there yet, or older than this page. {BUILD_HINT}") from error
            if isinstance(error.orig, psycopg.errors.QueryCanceled):
                raise TransientError("The database took too long for this page's question.") from error
            if isinstance(error.orig, psycopg.DataError):
                raise SourceError("What was chosen, or stands in the address, cannot be looked up.") from error
            if isinstance(error.orig, psycopg.OperationalError):
                raise DatabaseError(f"The database at {self._where} does not answer. This page asks again by itself.") from error
            raise

    def close(self) -> None:
        """Gives all connections back."""
        self._engine.dispose()
