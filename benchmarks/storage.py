"""Speed of the history import against a bare COPY of the same rows into the same indexed table."""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.rows import row
from pnd_dagster.settings import load_settings
from pnd_dagster.simulator.telegram_channels import simulate_channels
from pnd_dagster.storage import connect, embedded
from pnd_dagster.storage.bulk import copy_rows
from pnd_dagster.tables import TELEGRAM_MESSAGES
from pnd_dagster.telegram.importing import import_file, read_file

ARCHIVE = Path(__file__).parents[1] / "../shared/data/telegram_messages.parquet"


def run() -> list[dict[str, Any]]:
    """Two rows: an archive imported first and again; the aim is a ratio of at least 1/3."""
    with tempfile.TemporaryDirectory(prefix="pnd-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        archive = ARCHIVE if ARCHIVE.exists() else _simulated(folder)
        settings = load_settings(home=folder / "home", database_url=None)
        engine = connect(settings)
        try:
            started = time.perf_counter()
            import_file(engine, archive, settings)
            first = time.perf_counter() - started
            started = time.perf_counter()
            import_file(engine, archive, settings)
            again = time.perf_counter() - started
            rows = pl.concat([batch.messages for batch in read_file(archive, settings)])
            with engine.begin() as connection:
                connection.exec_driver_sql("TRUNCATE raw.telegram_messages")
            with engine.begin() as connection:
                started = time.perf_counter()
                copy_rows(connection, f'"raw"."{TELEGRAM_MESSAGES.name}"', rows)
            bare = time.perf_counter() - started
        finally:
            engine.dispose()
            embedded.stop(settings.home)
    count = rows.height
    return [
        row("history import, messages to rows", "bare COPY into the same table", count, count / first, count / bare),
        row("the same import again", "bare COPY into the same table", count, count / again, count / bare),
    ]


def _simulated(folder: Path) -> Path:
    simulation = simulate_channels(seed=1, end_at=datetime(2026, 1, 1, tzinfo=UTC), days=365, channel_count=13)
    simulation.messages.write_parquet(folder / "archive.parquet")
    return folder / "archive.parquet"
