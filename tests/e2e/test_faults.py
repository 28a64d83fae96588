"""What is interrupted is finished later, and what runs twice at once is stored once. A ledger of the source says what must be there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.errors import DatabaseError
from pnd_dagster.settings import Settings, load_settings
from pnd_dagster.simulator.telegram_channels import simulate_channels
from pnd_dagster.storage import connect, embedded, read_frame
from pnd_dagster.tables import TELEGRAM_MESSAGES
from pnd_dagster.telegram import archives
from pnd_dagster.telegram.importing import import_file

PND = Path(sys.executable).with_name("pnd")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A year of messages, so that an import takes long enough to be interrupted."""
    path = tmp_path_factory.mktemp("archive") / "year.parquet"
    simulate_channels(seed=2, end_at=datetime(2026, 1, 1, tzinfo=UTC), days=365, channel_count=13).messages.write_parquet(path)
    return path


@pytest.fixture
def own_server(own_home: Path) -> Settings:
    """An installation with a Postgres of its own, which a test may stop."""
    settings = load_settings(home=own_home)
    connect(settings)
    return settings


def assert_all_there_once(engine: sa.Engine, archive: Path) -> None:
    # Postgres cannot hold NUL; hostile texts have it.
    ledger = pl.read_parquet(archive).select("channel_id", "message_id", pl.col("text").str.replace_all("\0", "\ufffd", literal=True))
    stored = read_frame(engine, sa.select(TELEGRAM_MESSAGES.c.channel_id, TELEGRAM_MESSAGES.c.message_id, TELEGRAM_MESSAGES.c.text))
    lost = ledger.join(stored, on=["channel_id", "message_id"], how="anti").height
    doubled = stored.height - stored.select("channel_id", "message_id").n_unique()
    changed = ledger.join(stored, on=["channel_id", "message_id"], suffix="_stored").filter(pl.col("text") != pl.col("text_stored")).height
    assert (lost, doubled, changed) == (0, 0, 0)


def test_postgres_that_stops_during_an_import_is_named_and_the_next_import_completes_it(
    own_server: Settings, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "BATCH_ROWS", 5_000)
    engine = connect(own_server)
    with pytest.raises(DatabaseError):
        import_file(engine, archive, own_server, on_progress=lambda rows: embedded.stop(own_server.home) and None)
    restarted = connect(own_server)
    assert 0 < read_frame(restarted, sa.select(TELEGRAM_MESSAGES.c.message_id)).height < pl.read_parquet(archive).height
    import_file(restarted, archive, own_server)
    assert_all_there_once(restarted, archive)


def test_an_import_that_is_killed_is_completed_by_the_next(settings: Settings, engine: sa.Engine, archive: Path) -> None:
    assert settings.database_url
    environment = os.environ | {"PND_DATABASE_URL": settings.database_url.get_secret_value(), "PND_HOME": str(settings.home)}
    process = subprocess.Popen([PND, "import", archive], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    activity = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%incoming_telegram_messages%'"
    )
    for _ in range(1_000):
        with engine.connect() as connection:
            if connection.execute(activity.bindparams()).scalar_one() > 1:
                break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    import_file(engine, archive, settings)
    assert_all_there_once(engine, archive)


def test_two_imports_at_once_store_everything_once(
    settings: Settings, engine: sa.Engine, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "BATCH_ROWS", 3_000)
    with ThreadPoolExecutor(2) as pool:
        imports = [pool.submit(import_file, engine, archive, settings) for _ in range(2)]
        inserted = sum(done.result().written.inserted for done in imports)
    assert inserted == pl.read_parquet(archive).height
    assert_all_there_once(engine, archive)
