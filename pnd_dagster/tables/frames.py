"""Polars frames of the declared tables: schema, and a check that a frame fits before it is written."""

from __future__ import annotations

from functools import cache
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from pnd_dagster.errors import SchemaError

UTC_DATETIME = pl.Datetime("us", "UTC")


def polars_type(type_: Any) -> pl.DataType:
    """Polars type of a declared column type.

    Raises:
        TypeError: no type is declared for it.
    """
    # Order matters: SmallInteger and BigInteger are kinds of Integer, REAL of Float.
    match type_:
        case pg.ARRAY():
            return pl.List(polars_type(type_.item_type))
        case pg.JSONB():
            return pl.String()
        case sa.BigInteger():
            return pl.Int64()
        case sa.SmallInteger():
            return pl.Int16()
        case sa.Integer():
            return pl.Int32()
        case sa.REAL():
            return pl.Float32()
        case sa.Float():
            return pl.Float64()
        case sa.Boolean():
            return pl.Boolean()
        case sa.TIMESTAMP():
            return UTC_DATETIME
        case sa.Date():
            return pl.Date()
        case sa.Text():
            return pl.String()
        case _:
            raise TypeError(f"no Polars type declared for {type_!r}")


@cache
def polars_schema(table: sa.Table) -> pl.Schema:
    """Column names and Polars types of `table`, in declared order. JSONB columns are JSON text."""
    return pl.Schema({column.name: polars_type(column.type) for column in table.columns})


def primary_key(table: sa.Table) -> list[str]:
    """Names of the primary key columns."""
    return [column.name for column in table.primary_key.columns]


def conform(frame: pl.DataFrame, table: sa.Table) -> pl.DataFrame:
    """`frame` with exactly the columns and types of `table`; nullable columns that are missing become NULL.

    Raises:
        SchemaError: a required column is missing or holds NULL, a column is unknown, or a value does not fit its type.
    """
    schema = polars_schema(table)
    name = f"{table.schema}.{table.name}"
    if unknown := [column for column in frame.columns if column not in schema]:
        raise SchemaError(f"{name}: unknown columns {', '.join(unknown)}")
    required = [column.name for column in table.columns if not column.nullable]
    if missing := [column for column in required if column not in frame.columns]:
        raise SchemaError(f"{name}: missing columns {', '.join(missing)}")
    columns: list[pl.Series] = []
    for column, dtype in schema.items():
        if column not in frame.columns:
            columns.append(pl.Series(column, [None] * frame.height, dtype=dtype))
            continue
        try:
            columns.append(frame[column].cast(dtype))
        except pl.exceptions.PolarsError as error:
            raise SchemaError(f"{name}.{column}: {frame[column].dtype} does not fit {dtype}: {str(error).splitlines()[0]}") from error
    conformed = pl.DataFrame(columns)
    if empty := [column for column in required if conformed[column].null_count()]:
        raise SchemaError(f"{name}: NULL in required columns {', '.join(empty)}")
    return conformed
