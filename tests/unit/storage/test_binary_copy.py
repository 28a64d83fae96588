"""Binary COPY stores exactly what the frame holds."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pnd_dagster.storage.binary_copy import copy_binary, encode

SCHEMA = pl.Schema(
    {
        "small": pl.Int16(),
        "medium": pl.Int32(),
        "big": pl.Int64(),
        "single": pl.Float32(),
        "double": pl.Float64(),
        "truth": pl.Boolean(),
        "at": pl.Datetime("us", "UTC"),
    }
)
TABLE = (
    "CREATE TEMPORARY TABLE trial (small smallint, medium integer, big bigint, single real, double double precision, truth boolean, "
    "at timestamptz)"
)
ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-(2**15), 2**15 - 1),
        st.none() | st.integers(-(2**31), 2**31 - 1),
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.floats(width=32),
        st.none() | st.floats(),
        st.none() | st.booleans(),
        st.none() | st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
    ),
    max_size=20,
)


def stored(engine: sa.Engine, frame: pl.DataFrame) -> pl.DataFrame:
    with engine.begin() as connection:
        connection.exec_driver_sql(TABLE)
        copy_binary(connection, '"trial"', frame)
        rows = connection.exec_driver_sql("SELECT * FROM trial").all()
        connection.exec_driver_sql("DROP TABLE trial")
    return pl.DataFrame([tuple(row) for row in rows], schema=SCHEMA, orient="row")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_every_value_and_null_arrives_as_it_is(engine: sa.Engine, rows: list[tuple[object, ...]]) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    assert_frame_equal(stored(engine, frame), frame)


def test_nan_is_not_null(engine: sa.Engine) -> None:
    frame = pl.DataFrame({name: [None, None] for name in SCHEMA}, schema=SCHEMA).with_columns(double=pl.Series([math.nan, None]))
    assert math.isnan(stored(engine, frame)["double"].to_list()[0])


@pytest.mark.parametrize(("dtype", "declared"), [(pl.Float32(), "real[]"), (pl.Float64(), "double precision[]")])
def test_arrays_of_one_length_arrive_as_they_are_and_absent_ones_as_null(engine: sa.Engine, dtype: pl.DataType, declared: str) -> None:
    arrays = [[1.5, -2.25, math.nan], None, [0.0, math.inf, 3.0]]
    frame = pl.DataFrame({"key": [1, 2, None], "z": pl.Series(arrays, dtype=pl.Array(dtype, 3))})
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TEMPORARY TABLE trial (key bigint, z {declared}) ON COMMIT DROP")
        copy_binary(connection, '"trial"', frame)
        rows = connection.exec_driver_sql("SELECT key, z, array_dims(z) FROM trial").all()
    assert [key for key, _, _ in rows] == [1, 2, None]
    assert rows[0][1] == pytest.approx(arrays[0], nan_ok=True)
    assert [tuple(row[1:]) for row in rows[1:]] == [(None, None), (arrays[2], "[1:3]")]


def test_a_type_without_a_binary_form_is_named() -> None:
    with pytest.raises(TypeError, match="String"):
        encode(pl.DataFrame({"text": ["a"]}))
