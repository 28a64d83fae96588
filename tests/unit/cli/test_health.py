"""`pnd health` and `pnd exec`: what containers run and are asked."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from pnd_dagster.cli import app
from pnd_dagster.settings import Settings, environment
from pnd_dagster.settings import settings as of_this_process
from pnd_dagster.storage import upsert
from pnd_dagster.tables import HEARTBEATS


def ask(settings: Settings, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    with monkeypatch.context() as patch:
        for name, value in environment(settings).items():
            patch.setenv(name, value)
        of_this_process.cache_clear()
        result = CliRunner().invoke(app, ["health", *arguments])
    of_this_process.cache_clear()
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("age", "is_healthy", "code", "says"),
    [(5, True, 0, "sign of life"), (600, True, 1, "sign of life 60"), (5, False, 1, "not healthy"), (None, True, 1, "never")],
)
def test_a_service_lives_if_it_said_so_lately(
    engine: sa.Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch, age: float | None, is_healthy: bool, code: int, says: str
) -> None:
    if age is not None:
        beat_at = datetime.now(UTC) - timedelta(seconds=age)
        upsert(engine, HEARTBEATS, pl.DataFrame({"name": ["deliver"], "beat_at": [beat_at], "is_healthy": [is_healthy]}))
    found, output = ask(settings, monkeypatch, "deliver")
    assert found == code
    assert says in " ".join(output.split())


def test_a_program_of_dagster_runs_with_the_variables_of_the_installation(settings: Settings, engine: sa.Engine) -> None:
    script = "import os; print(os.environ['DAGSTER_HOME'], os.environ['PND_DAGSTER_URL'].rpartition('/')[2])"
    command = [sys.executable, "-m", "pnd_dagster", "exec", Path(sys.executable).name, "-c", script]
    found = subprocess.run(command, env=environment(settings), capture_output=True, text=True, check=False)
    assert found.stdout.split() == [str(settings.home / "dagster"), settings.dagster_database], found.stderr
    unknown = subprocess.run([*command[:4], "no-such-program"], env=environment(settings), capture_output=True, text=True, check=False)
    assert (unknown.returncode, "no program no-such-program" in unknown.stderr) == (1, True)
