from __future__ import annotations

import polars as pl
import pytest
import sqlalchemy as sa

from dashboards.marts import Marts, NotBuiltError
from pnd_dagster.errors import DatabaseError, SourceError, TransientError


def test_values_are_bound_and_times_come_in_utc(full: Marts) -> None:
    row = full.read("SELECT CAST(:at AS timestamptz) AS at, CAST(:text AS text) AS text", at="2026-01-31T17:00:00+02:00", text="'; --")
    assert str(row["at"][0]) == "2026-01-31 15:00:00+00:00"
    assert row["text"][0] == "'; --"


def test_a_column_has_its_type_also_where_nothing_is_known(empty: Marts) -> None:
    query = """SELECT CAST(NULL AS bigint) AS n, CAST(NULL AS double precision) AS x, CAST(NULL AS text) AS words, sum(1) AS total,
        CAST(NULL AS timestamptz) AS at, CAST(NULL AS date) AS day, CAST(NULL AS text[]) AS titles, sum(1.5) AS decimal"""
    types = [pl.Int64, pl.Float64, pl.String, pl.Int64, pl.Datetime("us", "UTC"), pl.Date, pl.List(pl.String), pl.Float64]
    assert empty.read(query).dtypes == types
    assert empty.read(f"SELECT * FROM ({query}) AS nothing WHERE false").dtypes == types


def test_a_page_could_write_nothing_even_with_a_role_that_may(full: Marts) -> None:
    with pytest.raises(sa.exc.DBAPIError, match="read-only"):
        full.read("DELETE FROM mart.fct_pump_event")


def test_a_role_that_is_refused_is_told_apart_from_a_server_that_is_away(full: Marts) -> None:
    refused = Marts(full._engine.url.set(password="another one"))
    with pytest.raises(DatabaseError, match="refuses the role: run `pnd db bi`"):
        refused.read("SELECT 1")


def test_a_page_that_got_no_connection_gave_none_away(full: Marts) -> None:
    for _ in range(30):
        with pytest.raises(SourceError):
            full.read("SELECT CAST('x' AS date)")
    assert full.read("SELECT 1 AS one")["one"][0] == 1


@pytest.mark.parametrize("query", ["SELECT 1 FROM mart.fct_pump_event", "SELECT 1 FROM mart.nothing"])
def test_what_is_not_built_says_so(missing: Marts, query: str) -> None:
    with pytest.raises(NotBuiltError, match="job `warehouse`"):
        missing.read(query)


def test_a_column_of_a_later_version_counts_as_not_built(full: Marts) -> None:
    with pytest.raises(NotBuiltError):
        full.read("SELECT of_tomorrow FROM mart.fct_pump_event")


def test_a_query_that_is_ended_is_a_notice_and_the_next_one_works(full: Marts) -> None:
    with pytest.raises(TransientError, match="took longer than 10 s"):
        full.read("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(5)")
    assert full.read("SELECT 1 AS one")["one"][0] == 1


def test_a_value_that_is_no_day_is_refused_in_words(full: Marts) -> None:
    with pytest.raises(SourceError, match="cannot be looked up"):
        full.read("SELECT CAST(:day AS date)", day="no day")


def test_a_database_that_is_away_is_named_without_its_password() -> None:
    marts = Marts(sa.make_url("postgresql://pnd_bi:secret@127.0.0.1:1/pnd"))
    with pytest.raises(DatabaseError, match=r"127\.0\.0\.1:1 does not answer") as caught:
        marts.read("SELECT 1")
    assert "secret" not in str(caught.value)
