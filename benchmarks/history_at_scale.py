"""`python -m benchmarks.history_at_scale`: the history of an exchange's coins beside tens of millions of metric rows.

Three days of 1,100 coins with a book in every 5 s bucket: 57 million rows. Takes ten minutes and 15 GB, so `make bench` leaves it out.
"""

from __future__ import annotations

import tempfile
import time
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
from rich.console import Console

from benchmarks.market import COINS, HOURS, NOW, fill_rollups
from pnd_dagster.market.rollup_history import read_history
from pnd_dagster.settings import load_settings
from pnd_dagster.storage import connect, embedded
from pnd_dagster.storage.partitions import partition_name
from pnd_dagster.tables import ORDER_BOOK_METRICS

TABLE = f'"{ORDER_BOOK_METRICS.schema}"."{ORDER_BOOK_METRICS.name}"'


def main() -> None:
    """Fills the tables and prints how long the history takes, cold and warm."""
    out = Console()
    with tempfile.TemporaryDirectory(prefix="pnd-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        settings = load_settings(home=folder / "home", database_url=None)
        engine = connect(settings)
        try:
            fill_rollups(engine)
            started = time.perf_counter()
            rows = sum(_fill_day(engine, back) for back in range(HOURS // 24))
            out.print(f"{rows:,} rows of core.order_book_metrics in {time.perf_counter() - started:.0f} s")
            for attempt in range(4):
                started = time.perf_counter()
                coins = len(read_history(engine, "kucoin", NOW, HOURS).instrument_ids)
                out.print(f"history of {coins} coins, {HOURS} h: {time.perf_counter() - started:.2f} s{' (first)' if attempt == 0 else ''}")
        finally:
            engine.dispose()
            embedded.stop(settings.home)


def _fill_day(engine: sa.Engine, back: int) -> int:
    """One day's partition; indexed once it is full, which is faster."""
    day = (NOW - timedelta(days=back)).date()
    partition = f'"core"."{partition_name(ORDER_BOOK_METRICS, day)}"'
    columns = [column for column in ORDER_BOOK_METRICS.columns if column.name not in ("instrument_id", "bucket_end_at")]
    values = ", ".join("false" if column.name == "is_gap" else "20" if not column.nullable else "random()" for column in columns)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE {partition} (LIKE {TABLE} INCLUDING DEFAULTS)")
        connection.exec_driver_sql(
            f"INSERT INTO {partition} SELECT coin, bucket, {values} FROM generate_series('{day} 00:00+00'::timestamptz, "
            f"'{day} 23:59:55+00', interval '5 s') bucket, generate_series(1, {COINS}) coin"
        )
        connection.exec_driver_sql(
            f"ALTER TABLE {TABLE} ATTACH PARTITION {partition} FOR VALUES FROM ('{day} 00:00+00') TO ('{day + timedelta(days=1)} 00:00+00')"
        )
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {partition}").scalar_one())


if __name__ == "__main__":
    main()
