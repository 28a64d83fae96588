"""Reads of declared tables as Polars frames: binary COPY through Arrow, no Python objects."""

from __future__ import annotations

import atexit
from collections import defaultdict, deque
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, cast

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from pnd_dagster.errors import DatabaseError
from pnd_dagster.tables.frames import polars_type

# Logging in costs more than most reads; so many connections per database stay open for the next ones.
_MOST_IDLE = 2
_idle: defaultdict[str, deque[Any]] = defaultdict(deque)


def read_frame(engine: sa.Engine, statement: sa.Select[Any]) -> pl.DataFrame:
    """The rows of a SELECT over declared columns.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """
    import adbc_driver_postgresql.dbapi as adbc  # with what it imports 0.4 s, which `pnd --help` need not wait for

    # Any paramstyle but psycopg's, which doubles every percent sign.
    dialect = pg.dialect(paramstyle="named")
    compiled = str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))  # pyright: ignore[reportUnknownArgumentType]
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        try:
            frame = _read(url, compiled)
        except adbc.OperationalError:
            # The server may have been restarted since an idle connection was used last: once more, on a new one.
            close_idle(url)
            frame = _read(url, compiled)
    except adbc.Error as error:
        raise DatabaseError(f"cannot read from {engine.url.render_as_string()}: {str(error).splitlines()[0]}") from error
    return frame.cast({name: dtype for name, dtype in _selected_schema(statement).items() if name in frame.columns})


def close_idle(url: str) -> None:
    """Closes the connections to a libpq address that no read is using."""
    while _idle[url]:
        with suppress(Exception):
            _idle[url].pop().close()


@atexit.register
def _close_all() -> None:
    for url in list(_idle):
        close_idle(url)


def _read(url: str, compiled: str) -> pl.DataFrame:
    with _connection(url) as connection, connection.cursor() as cursor:
        cursor.execute(compiled)
        frame = cast(pl.DataFrame, pl.from_arrow(cursor.fetch_arrow_table()))
        # jsonb arrives as an extension type over its text.
        return frame.with_columns(frame[name].ext.storage() for name, dtype in frame.schema.items() if isinstance(dtype, pl.BaseExtension))


@contextmanager
def _connection(url: str) -> Generator[Any]:
    """A connection of one's own; it is kept for others unless something failed."""
    import adbc_driver_postgresql.dbapi as adbc

    try:
        connection: Any = _idle[url].pop()
    except IndexError:
        connection = adbc.connect(url, autocommit=True)
        with connection.cursor() as cursor:
            cursor.execute("SET timezone = 'UTC'")
    try:
        yield connection
    except BaseException:
        with suppress(Exception):
            connection.close()
        raise
    if len(_idle[url]) < _MOST_IDLE:
        _idle[url].append(connection)
    else:
        connection.close()


def _selected_schema(statement: sa.Select[Any]) -> dict[str, pl.DataType]:
    schema: dict[str, pl.DataType] = {}
    for column in statement.selected_columns:
        try:
            schema[column.key or ""] = polars_type(column.type)
        except TypeError:
            continue  # an expression without a declared type keeps what Postgres says
    return schema
