"""`pnd analysis`: writes tables, figures and a report, and names what it does not know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
import typer
from typer.testing import CliRunner

from pnd_dagster.cli.analysis import analysis
from pnd_dagster.errors import SettingError
from pnd_dagster.settings import Settings, environment
from pnd_dagster.settings import settings as of_this_process
from tests.unit.analysis.world import fill, tick_files


@pytest.fixture
def run(settings: Settings, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[CliRunner]:
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    of_this_process.cache_clear()
    yield CliRunner()
    of_this_process.cache_clear()


def app() -> typer.Typer:
    alone = typer.Typer()
    alone.command()(analysis)
    return alone


def test_tables_figures_and_a_report_are_written_and_named(run: CliRunner, engine: sa.Engine, tmp_path: Path) -> None:
    fill(engine)
    trades, log = tick_files(tmp_path)
    out = tmp_path / "out"
    arguments = ["price_spikes", "most_pumped_coins", "--out", str(out), "--trades", str(trades), "--events", str(log), "--json"]
    result = run.invoke(app(), arguments, catch_exceptions=False)
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert set(told) == {"price_spikes", "most_pumped_coins"}
    files = [Path(file) for one in told.values() for file in one["files"]]
    assert all(file.exists() for file in files)
    report = (out / "analysis.md").read_text()
    assert "some\\_trades: peak / baseline, mean | 2 |" in report
    assert "&lt;b&gt;" in report
    assert "<b>" not in report


def test_what_does_not_exist_or_belong_together_is_said(run: CliRunner, tmp_path: Path) -> None:
    for arguments, message in ((["wrong"], "no analysis wrong; there is data_sources"), (["--trades", str(tmp_path)], "belong together")):
        result = run.invoke(app(), arguments)
        assert isinstance(result.exception, SettingError)
        assert message in str(result.exception)
