"""Polars frames in Postgres' binary COPY format, encoded a column at a time.

For tables of numbers, times and truth values that are written every few seconds: Postgres need not parse text, and no Python object
is made per value. Format: https://www.postgresql.org/docs/current/sql-copy.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import polars as pl
import psycopg
import sqlalchemy as sa

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
# Postgres counts microseconds from the year 2000.
EPOCH_MICROSECONDS = 946_684_800_000_000
# The numbers by which Postgres knows the types of an array's elements.
_ELEMENT_OIDS: dict[pl.DataType, int] = {pl.Float32(): 700, pl.Float64(): 701}
_WIRE_TYPES: dict[pl.DataType, str] = {
    pl.Int16(): ">i2",
    pl.Int32(): ">i4",
    pl.Int64(): ">i8",
    pl.Float32(): ">f4",
    pl.Float64(): ">f8",
    pl.Boolean(): "u1",
    pl.Datetime("us", "UTC"): ">i8",
}


def encode(frame: pl.DataFrame) -> bytes:
    """A frame as the body of `COPY ... FROM STDIN (FORMAT binary)`; NULL stays NULL, NaN is NaN.

    Raises:
        TypeError: a column is neither integer, float, boolean, UTC time nor arrays of floats that are equally long.
    """
    wire_types = [_wire_type(dtype) for dtype in frame.dtypes]
    fields = [("fields", ">i2")]
    for place, wire_type in enumerate(wire_types):
        fields += [(f"length{place}", ">i4"), (f"value{place}", wire_type)]
    rows = np.zeros(frame.height, np.dtype(fields))
    rows["fields"] = frame.width
    nulls: list[tuple[int, Any]] = []
    for place, column in enumerate(frame.iter_columns()):
        rows[f"length{place}"] = np.dtype(wire_types[place]).itemsize
        if column.null_count():
            is_null = column.is_null().to_numpy()
            rows[f"length{place}"][is_null] = -1
            nulls.append((place, is_null))
        rows[f"value{place}"] = _numbers(column)
    raw = rows.view(np.uint8).reshape(frame.height, rows.dtype.itemsize)
    return HEADER + (raw[_is_sent(raw, wire_types, nulls)] if nulls else raw).tobytes() + TRAILER


def copy_binary(connection: sa.Connection, qualified_name: str, frame: pl.DataFrame) -> None:
    """Binary COPY of `frame` into a table named by quoted identifiers, in the connection's transaction.

    Raises:
        psycopg.Error: Postgres refused; not translated, since the caller tells refusals apart.
        TypeError: see `encode`.
    """
    driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    names = ", ".join(f'"{name}"' for name in frame.columns)
    with driver.cursor() as cursor, cursor.copy(f"COPY {qualified_name} ({names}) FROM STDIN (FORMAT binary)".encode()) as copy:
        copy.write(encode(frame))


def _is_sent(raw: Any, wire_types: Sequence[Any], nulls: Sequence[tuple[int, Any]]) -> Any:
    """Which bytes of the rows go over the wire: all but the values of NULLs."""
    is_sent = np.ones(raw.shape, np.bool_)
    widths = [np.dtype(wire_type).itemsize for wire_type in wire_types]
    # A row is the number of fields (2 bytes), then each field's length (4 bytes) and value.
    starts = 2 + np.cumsum([4, *(width + 4 for width in widths)])
    for place, is_null in nulls:
        is_sent[is_null, starts[place] : starts[place] + widths[place]] = False
    return is_sent


def _numbers(column: pl.Series) -> Any:
    if isinstance(column.dtype, pl.Datetime):
        return column.to_physical().fill_null(EPOCH_MICROSECONDS).to_numpy() - EPOCH_MICROSECONDS
    if isinstance(column.dtype, pl.Array):
        return _arrays(column, column.dtype)
    return column.fill_null(False if column.dtype == pl.Boolean() else 0).to_numpy()


def _arrays(column: pl.Series, dtype: pl.Array) -> Any:
    """Each array as five integers of heading (dimensions, has NULL, type, length, first index), then its elements after their lengths."""
    arrays: Any = np.zeros(len(column), _wire_type(dtype))
    element = _WIRE_TYPES[_inner(dtype)]
    arrays["heading"] = (1, 0, _ELEMENT_OIDS[_inner(dtype)], dtype.size, 1)
    arrays["elements"]["length"] = np.dtype(element).itemsize
    is_there = column.is_not_null().to_numpy()
    arrays["elements"]["value"][is_there] = column.drop_nulls().to_numpy()
    return arrays


def _wire_type(dtype: pl.DataType) -> Any:
    if isinstance(dtype, pl.Array) and _inner(dtype) in _ELEMENT_OIDS:
        return np.dtype([("heading", ">i4", 5), ("elements", [("length", ">i4"), ("value", _WIRE_TYPES[_inner(dtype)])], dtype.size)])
    try:
        return _WIRE_TYPES[dtype]
    except KeyError:
        raise TypeError(f"{dtype} has no binary form here") from None


def _inner(dtype: pl.Array) -> pl.DataType:
    return cast(pl.DataType, dtype.inner)
