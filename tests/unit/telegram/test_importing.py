"""What an import writes; what it refuses and how it resumes is tested with each form of file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.errors import SourceError
from pnd_dagster.settings import Settings
from pnd_dagster.simulator.telegram_channels import simulate_channels
from pnd_dagster.storage import read_frame
from pnd_dagster.tables import TELEGRAM_CHANNELS, TELEGRAM_MESSAGE_STATS, TELEGRAM_MESSAGES
from pnd_dagster.telegram import importing


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "messages.parquet"
    simulate_channels(seed=5, end_at=datetime(2026, 3, 1, tzinfo=UTC), days=10).messages.write_parquet(path)
    return path


def count(engine: sa.Engine, table: sa.Table) -> int:
    return read_frame(engine, sa.select(sa.func.count()).select_from(table)).item()


def test_an_archive_becomes_messages_counts_and_channels(engine: sa.Engine, settings: Settings, archive: Path) -> None:
    rows = pl.read_parquet(archive)
    seen: list[int] = []
    imported = importing.import_file(engine, archive, settings, on_progress=seen.append)
    assert imported.row_count == sum(seen) == imported.written.inserted == rows.height
    assert count(engine, TELEGRAM_MESSAGES) == rows.height
    assert count(engine, TELEGRAM_CHANNELS) == rows["channel_id"].n_unique()
    assert (
        count(engine, TELEGRAM_MESSAGE_STATS) == rows.filter(pl.any_horizontal(pl.col("views", "forwards", "replies").is_not_null())).height
    )


def test_only_the_messages_of_the_window_are_imported(engine: sa.Engine, settings: Settings, archive: Path) -> None:
    window = (datetime(2026, 2, 22, tzinfo=UTC), datetime(2026, 2, 24, tzinfo=UTC))
    importing.import_file(engine, archive, settings, window=window)
    expected = pl.read_parquet(archive).filter(pl.col("date") >= window[0], pl.col("date") < window[1]).height
    assert 0 < expected == count(engine, TELEGRAM_MESSAGES)


def test_a_missing_file_is_named(engine: sa.Engine, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.parquet: no such file"):
        importing.import_file(engine, tmp_path / "nowhere.parquet", settings)
