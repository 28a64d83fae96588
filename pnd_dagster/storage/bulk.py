"""Bulk writes of declared tables: COPY into a temporary table, then one idempotent statement."""

from __future__ import annotations

import io
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import polars as pl
import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from pnd_dagster.errors import DatabaseError
from pnd_dagster.tables import conform, primary_key

COPY_CHUNK_ROWS = 20_000


class Written(NamedTuple):
    """What a write did, in rows."""

    inserted: int
    updated: int
    unchanged: int
    deleted: int = 0

    def __add__(self, other: object) -> Written:
        if not isinstance(other, Written):
            return NotImplemented
        return Written(*(a + b for a, b in zip(self, other, strict=True)))


NOTHING_WRITTEN = Written(0, 0, 0)


def upsert(target: sa.Engine | sa.Connection, table: sa.Table, frame: pl.DataFrame) -> Written:
    """Writes `frame` into `table` by primary key; the last of several rows with one key counts. Run twice, nothing changes.

    What happens to a column of a row that exists is declared with it (`on_update`).

    Args:
        target: an engine (own transaction) or a connection (the caller's transaction).
        table: a declared table.
        frame: rows; nullable columns may be missing.

    Raises:
        SchemaError: the frame does not fit the table.
        DatabaseError: Postgres refused.
    """
    keys = primary_key(table)
    # In the order of the key: writers that meet wait for each other instead of deadlocking.
    rows = conform(frame, table).unique(subset=keys, keep="last", maintain_order=True).sort(keys)
    if rows.is_empty():
        return NOTHING_WRITTEN
    with transaction(target) as connection:
        incoming = _copy_to_temporary(connection, table, rows)
        columns = _names(rows.columns)
        counts = connection.exec_driver_sql(
            f"WITH written AS (INSERT INTO {_qualified(table)} AS target ({columns}) SELECT {columns} FROM {incoming} "
            f"ON CONFLICT ({_names(keys)}) {_on_conflict(table)} RETURNING xmax = 0 AS is_insert) "
            "SELECT count(*) FILTER (WHERE is_insert), count(*) FILTER (WHERE NOT is_insert) FROM written"
        ).one()
        connection.exec_driver_sql(f"DROP TABLE {incoming}")
    inserted, changed = int(counts[0]), int(counts[1])
    return Written(inserted, changed, rows.height - inserted - changed)


def replace_window(target: sa.Engine | sa.Connection, table: sa.Table, frame: pl.DataFrame, window: sa.ColumnElement[bool]) -> Written:
    """Makes the rows of `table` inside `window` equal to `frame`: the others are deleted, changed ones rewritten.

    Args:
        target: an engine (own transaction) or a connection (the caller's transaction).
        table: a declared table.
        frame: all rows of the window.
        window: condition on the table's columns, for example a channel or a span of time.

    Raises:
        SchemaError: the frame does not fit the table.
        DatabaseError: Postgres refused.
    """
    keys = primary_key(table)
    rows = conform(frame, table)
    with transaction(target) as connection:
        incoming = _copy_to_temporary(connection, table, rows.select(keys).unique())
        kept = sa.table(incoming.strip('"'), *(sa.column(key) for key in keys))
        is_kept = sa.exists().where(*(kept.c[key] == table.c[key] for key in keys))
        deleted = connection.execute(sa.delete(table).where(window, ~is_kept)).rowcount
        connection.exec_driver_sql(f"DROP TABLE {incoming}")
        written = upsert(connection, table, rows)
    return written._replace(deleted=deleted)


def count_rows(engine: sa.Engine, table: sa.Table) -> int:
    """Number of rows of a table."""
    with transaction(engine) as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def _on_conflict(table: sa.Table) -> str:
    """DO UPDATE that touches a row only when something changes: unconditional rewrites doubled a table of 559 thousand rows."""
    rules = {column.name: column.info.get("on_update") for column in table.columns if not column.primary_key}
    new = {
        name: f'coalesce(excluded."{name}", target."{name}")' if rule == "known" else f'excluded."{name}"'
        for name, rule in rules.items()
        if rule != "first"
    }
    compared = [name for name in new if rules[name] != "change"]
    if not compared:
        return "DO NOTHING"
    assignments = ", ".join(f'"{name}" = {value}' for name, value in new.items())
    before = ", ".join(f'target."{name}"' for name in compared)
    after = ", ".join(new[name] for name in compared)
    return f"DO UPDATE SET {assignments} WHERE ({before}) IS DISTINCT FROM ({after})"


def _copy_to_temporary(connection: sa.Connection, table: sa.Table, rows: pl.DataFrame) -> str:
    temporary = f'"incoming_{table.name}"'
    columns = _names(rows.columns)
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE {temporary} ON COMMIT DROP AS SELECT {columns} FROM {_qualified(table)} WITH NO DATA"
    )
    copy_rows(connection, temporary, rows)
    return temporary


def copy_rows(connection: sa.Connection, qualified_name: str, rows: pl.DataFrame) -> None:
    """COPY of `rows` into a table named by a quoted identifier, in the connection's transaction.

    Raises:
        DatabaseError: Postgres refused a value.
    """
    driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    statement = f"COPY {qualified_name} ({_names(rows.columns)}) FROM STDIN (FORMAT csv)"
    ready = rows.with_columns(_array_literal(name) for name, dtype in rows.schema.items() if isinstance(dtype, pl.List))
    try:
        with driver.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for chunk in ready.iter_slices(COPY_CHUNK_ROWS):
                buffer = io.BytesIO()
                # Quoted empty is '', unquoted empty is NULL.
                chunk.write_csv(buffer, include_header=False, quote_style="non_numeric", datetime_format="%Y-%m-%d %H:%M:%S%.6f%:z")
                copy.write(buffer.getbuffer())
    except psycopg.Error as error:
        raise DatabaseError(f"{qualified_name} refused a row: {str(error).splitlines()[0]}") from error


def _array_literal(name: str) -> pl.Expr:
    element = pl.element().cast(pl.String)
    quoted = pl.lit('"') + element.str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True) + pl.lit('"')
    items = pl.col(name).list.eval(pl.coalesce(quoted, pl.lit("NULL"))).list.join(",")
    return pl.when(pl.col(name).is_not_null()).then(pl.lit("{") + items + pl.lit("}")).alias(name)


@contextmanager
def transaction(target: sa.Engine | sa.Connection) -> Generator[sa.Connection]:
    """A transaction of `target`: its own on an engine, the caller's on a connection.

    Raises:
        DatabaseError: Postgres refused, or is gone; says why in one line.
    """
    try:
        if isinstance(target, sa.Engine):
            with target.begin() as connection:
                yield connection
        else:
            yield target
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise DatabaseError(f"Postgres refused: {reason}") from error


def _qualified(table: sa.Table) -> str:
    return f'"{table.schema}"."{table.name}"'


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)
