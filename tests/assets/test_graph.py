"""The whole graph runs on a real database: results, idempotence, checks that block, errors that say what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from pnd_dagster.definitions import build_defs
from pnd_dagster.settings import Settings
from pnd_dagster.simulator.telegram_channels import simulate_channels, write_simulation
from pnd_dagster.storage import read_frame
from pnd_dagster.tables import (
    DEAD_LETTERS,
    MESSAGE_LABELS,
    PUMP_ANNOUNCEMENTS,
    PUMP_EVENTS,
    PUMP_RELEASES,
    SCHEDULED_PUMPS,
    TELEGRAM_CHANNELS,
    TELEGRAM_MESSAGES,
)

END = datetime(2026, 3, 20, tzinfo=UTC)
DAYS = 6
SPAN = {ASSET_PARTITION_RANGE_START_TAG: f"{END - timedelta(days=DAYS):%F}", ASSET_PARTITION_RANGE_END_TAG: f"{END:%F}"}
BUILT = (TELEGRAM_CHANNELS, TELEGRAM_MESSAGES, MESSAGE_LABELS, PUMP_ANNOUNCEMENTS, SCHEDULED_PUMPS, PUMP_RELEASES, PUMP_EVENTS)

Run = Callable[..., list[dg.ExecuteInProcessResult]]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    write_simulation(simulate_channels(seed=3, end_at=END, days=DAYS), folder)
    return folder / "archive.parquet"


@pytest.fixture(scope="module")
def jobs() -> dict[str, dg.JobDefinition]:
    """The main jobs: from messages to labels, from there to events."""
    defs = build_defs()
    return {name: defs.resolve_job_def(name) for name in ("messages", "pump_events")}


@pytest.fixture
def run(settings: Settings, jobs: dict[str, dg.JobDefinition], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs the main jobs, or the first of them only, over the simulated days."""
    assert settings.database_url
    monkeypatch.setenv("PND_DATABASE_URL", settings.database_url.get_secret_value())
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dg.DagsterInstance.ephemeral() as instance:

        def run(*archives: Path, only_messages: bool = False) -> list[dg.ExecuteInProcessResult]:
            monkeypatch.setenv("PND_ARCHIVES", ":".join(map(str, archives)))
            return [
                jobs[name].execute_in_process(instance=instance, run_config=quiet, tags=tags, raise_on_error=False)
                for name, tags in (("messages", SPAN), ("pump_events", {}))
                if name == "messages" or not only_messages
            ]

        yield run


def contents(engine: sa.Engine) -> dict[str, pl.DataFrame]:
    times = {"ingested_at", "labelled_at", "discovered_at", "labels_through_at"}
    frames: dict[str, pl.DataFrame] = {}
    for table in BUILT:
        columns = [column for column in table.columns if column.name not in times]
        frames[table.name] = read_frame(engine, sa.select(*columns).order_by(*table.primary_key.columns))
    return frames


def failures(results: list[dg.ExecuteInProcessResult]) -> str:
    return " ".join(
        str(event.step_failure_data.error_display_string) for result in results for event in result.all_events if event.is_step_failure
    )


def checks(results: list[dg.ExecuteInProcessResult]) -> list[dg.AssetCheckEvaluation]:
    return [check for result in results for check in result.get_asset_check_evaluations()]


def test_messages_become_labels_announcements_and_events_and_a_second_run_changes_nothing(
    engine: sa.Engine, run: Run, archive: Path
) -> None:
    results = run(archive)
    assert all(result.success for result in results)
    assert all(check.passed for check in checks(results) if check.blocking)
    tables = contents(engine)
    assert tables["telegram_messages"].height == pl.read_parquet(archive).height
    texts = tables["telegram_messages"].filter(pl.col("kind") == "message").height
    assert tables["message_labels"].height == texts
    assert tables["pump_events"].height > 0
    assert tables["pump_announcements"].height > 0
    assert set(tables["pump_releases"]["event_id"]) == set(tables["pump_events"]["event_id"])
    assert set(tables["scheduled_pumps"].explode("announcement_ids")["announcement_ids"]) <= set(
        tables["pump_announcements"]["announcement_id"]
    )
    assert_counted_and_plotted(results, archive)
    run(archive)
    after = contents(engine)
    for name, frame in tables.items():
        assert frame.equals(after[name]), name


def assert_counted_and_plotted(results: list[dg.ExecuteInProcessResult], archive: Path) -> None:
    """Every partition says how many rows it has, and the last run shows its plot."""
    days, events = results
    materialisations = {
        event.partition: event.step_materialization_data.materialization.metadata
        for event in days.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(["raw", "telegram_messages"])
    }
    assert len(materialisations) == DAYS + 1
    for day, count in pl.read_parquet(archive).group_by(pl.col("date").dt.date()).len().iter_rows():
        assert materialisations[day.isoformat()]["dagster/partition_row_count"].value == count
    shown = events.asset_materializations_for_node("events")[-1].metadata
    assert str(shown["events_per_exchange_and_month"].value).startswith("![Pump events per exchange and month")


def test_a_table_that_was_changed_by_hand_stops_what_is_downstream(engine: sa.Engine, run: Run, archive: Path) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE raw.telegram_messages ADD COLUMN by_hand text")
    try:
        results = run(archive, only_messages=True)
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE raw.telegram_messages DROP COLUMN by_hand")
    failed = [check for check in checks(results) if not check.passed]
    assert any("by_hand" in str(check.metadata["differences"].value) for check in failed)
    assert contents(engine)["message_labels"].is_empty()


def test_a_broken_archive_stops_with_its_name_and_nothing_is_lost(engine: sa.Engine, run: Run, archive: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(archive.read_bytes()[:1000])
    results = run(archive, broken, only_messages=True)
    assert not results[0].success
    assert "broken.parquet" in failures(results)
    assert contents(engine)["telegram_messages"].height == pl.read_parquet(archive).height


def test_a_refused_row_is_kept_with_its_reason_and_the_rest_goes_on(engine: sa.Engine, run: Run, archive: Path, tmp_path: Path) -> None:
    rows = pl.read_parquet(archive)
    spoiled = tmp_path / "spoiled.parquet"
    pl.concat([rows, rows.head(1).with_columns(message_id=pl.lit(-5, pl.Int64))]).write_parquet(spoiled)
    assert all(result.success for result in run(spoiled, only_messages=True))
    letters = read_frame(engine, sa.select(DEAD_LETTERS))
    assert letters.height == 1
    assert "message_id" in letters["reason"][0]
    assert contents(engine)["telegram_messages"].height == rows.height


def test_the_graph_runs_on_an_empty_platform_and_its_checks_say_that_nothing_is_there(engine: sa.Engine, run: Run) -> None:
    results = run()
    assert all(result.success for result in results)
    failed = {check.check_name for check in checks(results) if not check.passed}
    assert failed == {"meets_expectations"}
    assert all(frame.is_empty() for frame in contents(engine).values())
