"""Day partitions: made ahead, dropped by retention, whoever else does so or reads meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import polars as pl
import psycopg
import pytest
import sqlalchemy as sa

from pnd_dagster.storage import read_frame, transaction
from pnd_dagster.storage.binary_copy import copy_binary
from pnd_dagster.storage.partitions import drop_before, make_ahead, make_days, partition_name
from pnd_dagster.storage.schema import drift
from pnd_dagster.tables import ORDER_BOOK_METRICS, TRADE_METRICS, conform

TABLES = (ORDER_BOOK_METRICS, TRADE_METRICS)
# Far from the days that other tests write.
DAY = date(2031, 5, 1)


@pytest.fixture(autouse=True)
def _no_partitions(engine: sa.Engine) -> Iterator[None]:
    drop_before(engine, TABLES, date.max)
    yield
    drop_before(engine, TABLES, date.max)


def row(day: date, hour: int = 0) -> pl.DataFrame:
    at = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    return pl.DataFrame({"instrument_id": [1], "bucket_end_at": [at], "trade_count": [1], "is_gap": [False]})


def write(target: sa.Engine | sa.Connection, *rows: pl.DataFrame) -> None:
    with transaction(target) as connection:
        copy_binary(connection, "core.trade_metrics", conform(pl.concat(rows), TRADE_METRICS))


def days_stored(engine: sa.Engine) -> list[datetime]:
    return read_frame(engine, sa.select(TRADE_METRICS.c.bucket_end_at).order_by(TRADE_METRICS.c.bucket_end_at))["bucket_end_at"].to_list()


def test_today_and_three_days_are_made_once(engine: sa.Engine) -> None:
    made = make_ahead(engine, TABLES, DAY)
    assert made[:2] == ["order_book_metrics_p20310501", "order_book_metrics_p20310502"]
    assert len(made) == 8
    assert make_ahead(engine, TABLES, DAY) == []
    assert len(make_ahead(engine, TABLES, DAY + timedelta(days=1))) == 2


def test_a_day_starts_and_ends_at_midnight_utc(engine: sa.Engine) -> None:
    make_days(engine, [TRADE_METRICS], [DAY, DAY + timedelta(days=1)])
    write(engine, row(DAY), row(DAY, 23), row(DAY + timedelta(days=1)))
    with engine.connect() as connection:
        stored = connection.exec_driver_sql(f"SELECT count(*) FROM core.{partition_name(TRADE_METRICS, DAY)}").scalar_one()
    assert stored == 2


def test_a_partition_refuses_the_same_key_twice_and_belongs_to_the_declared_schema(engine: sa.Engine) -> None:
    make_days(engine, TABLES, [DAY])
    write(engine, row(DAY))
    with pytest.raises(psycopg.errors.UniqueViolation):
        write(engine, row(DAY))
    assert drift(engine) == []


def test_only_days_before_the_kept_ones_are_dropped(engine: sa.Engine) -> None:
    days = [DAY + timedelta(days=offset) for offset in range(4)]
    make_days(engine, TABLES, days)
    write(engine, *map(row, days))
    assert len(drop_before(engine, TABLES, days[2])) == 4
    assert [at.date() for at in days_stored(engine)] == days[2:]
    assert drop_before(engine, TABLES, days[2]) == []


def test_what_another_collector_left_half_dropped_is_dropped(engine: sa.Engine) -> None:
    make_days(engine, TABLES, [DAY])
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE core.trade_metrics DETACH PARTITION core.trade_metrics_p20310501")
    assert sorted(drop_before(engine, TABLES, DAY + timedelta(days=1))) == ["order_book_metrics_p20310501", "trade_metrics_p20310501"]


def test_a_detached_day_that_is_wanted_again_keeps_its_rows(engine: sa.Engine) -> None:
    make_days(engine, TABLES, [DAY])
    write(engine, row(DAY))
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE core.trade_metrics DETACH PARTITION core.trade_metrics_p20310501")
    assert make_days(engine, TABLES, [DAY]) == ["trade_metrics_p20310501"]
    assert len(days_stored(engine)) == 1


def test_many_collectors_make_and_drop_at_once(engine: sa.Engine) -> None:
    make_days(engine, TABLES, [DAY - timedelta(days=offset) for offset in (1, 2)])
    with ThreadPoolExecutor(6) as pool:
        making = [pool.submit(make_ahead, engine, TABLES, DAY) for _ in range(3)]
        dropping = [pool.submit(drop_before, engine, TABLES, DAY) for _ in range(3)]
        assert sum(len(done.result(20)) for done in making) == 8
        assert sum(len(done.result(20)) for done in dropping) == 4


def test_writers_of_other_days_go_on_while_a_day_is_made(engine: sa.Engine) -> None:
    make_days(engine, TABLES, [DAY])
    with engine.begin() as writing:
        write(writing, row(DAY))
        with ThreadPoolExecutor(1) as pool:
            assert len(pool.submit(make_days, engine, TABLES, [DAY + timedelta(days=1)]).result(10)) == 2
