"""The backtest's assets: stored, shown beside the paper, marked where made up, and judged by their checks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from assets import rankings
from pnd_dagster.backtest import pools, report
from pnd_dagster.backtest.backtest import Plan
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.settings import Settings
from pnd_dagster.simulator.pump_history import write_pump_history
from pnd_dagster.storage import read_frame
from pnd_dagster.tables import RANKING_BACKTEST, RANKING_BACKTEST_EVENTS

BACKTEST_CHECKS = [check for check in rankings.CHECKS if check.check_key.asset_key in (rankings.BACKTEST, rankings.BACKTEST_EVENTS)]
Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Materialises assets of the group on the empty database."""
    assert settings.database_url
    monkeypatch.setenv("PND_DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setattr(pools, "DECOYS_PER_EVENT", 4)
    monkeypatch.setattr(report, "MADE_UP", Plan(offsets=(20, 60), pool=12, draws=4))
    monkeypatch.setattr(report, "MADE_UP_EVENTS", 5)

    def run(asset: dg.AssetsDefinition, **config: object) -> dg.ExecuteInProcessResult:
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        ops = {"ops": {asset.op.name: {"config": config}}} if config else {}
        return dg.materialize(
            [asset, *BACKTEST_CHECKS], resources={"database": DatabaseResource()}, run_config=quiet | ops, raise_on_error=False
        )

    return run


def shown(result: dg.ExecuteInProcessResult, key: dg.AssetKey) -> dict[str, object]:
    (event,) = [event for event in result.get_asset_materialization_events() if event.asset_key == key]
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_without_files_the_backtest_runs_on_made_up_pumps_and_says_so(run: Run, engine: sa.Engine) -> None:
    result = run(rankings.ranking_backtest)
    assert result.success
    assert {check.check_name: check.passed for check in result.get_asset_check_evaluations()} == {
        "matches_declared_schema": True,
        "chance_is_chance": True,
        "default_is_not_below_volume": True,
    }
    rows = read_frame(engine, sa.select(RANKING_BACKTEST))
    assert rows["is_synthetic"].all()
    assert set(rows["source"]) == {"both", "trades", "books"}
    assert set(rows["offset_seconds"]) == {20, 60}
    per_event = read_frame(engine, sa.select(RANKING_BACKTEST_EVENTS))
    assert per_event.height == 5 * rows.height
    metadata = shown(result, rankings.BACKTEST)
    assert "synthetic" in str(metadata["data"])
    assert "detection" not in metadata
    assert "never skill" in str(metadata["markets"])
    for plot in ("rank_distribution", "relative_scores"):
        assert "data:image/png;base64," in str(metadata[plot])
    again = shown(run(rankings.ranking_backtest), rankings.BACKTEST)
    assert (again["inserted"], again["deleted"]) == (0, 0), "the same data replaces itself"


def test_files_of_real_pumps_are_named_and_measured_from_the_onset_too(
    run: Run, engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trades, _, events = write_pump_history(tmp_path, events=3, strength=1.0)
    monkeypatch.setenv("PND_BACKTEST_TRADES", str(trades))
    monkeypatch.setenv("PND_BACKTEST_EVENTS", str(events))
    monkeypatch.setattr(report, "FILES", Plan(offsets=(20,), pool=6, draws=2, has_ablations=True))
    result = run(rankings.ranking_backtest)
    assert result.success
    rows = read_frame(engine, sa.select(RANKING_BACKTEST))
    assert set(rows["data"]) == {"trades", "trades, from onset"}
    assert not rows["is_synthetic"].any()
    assert {"only_volume", "only_60s", "without_clock"} <= set(rows["rule"])
    metadata = shown(result, rankings.BACKTEST)
    assert "real trades" in str(metadata["markets"])
    assert [record.data["part"] for record in metadata["detection"].records] == ["chosen on", "judged on", "all"]
    assert "volume_z" in str(metadata["detection_thresholds"])
    assert "had seen both" in str(metadata["detection_caveat"])


def test_one_file_without_the_other_fails_with_a_line_to_act_on(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PND_BACKTEST_TRADES", str(tmp_path / "trades.parquet"))
    result = run(rankings.ranking_backtest)
    (failed,) = result.filter_events(lambda event: event.is_step_failure)
    assert "PND_BACKTEST_TRADES and PND_BACKTEST_EVENTS belong together" in str(failed.step_failure_data.user_failure_data)


def test_the_signal_curve_is_stored_as_synthetic(run: Run, engine: sa.Engine) -> None:
    result = run(rankings.ranking_signal_curve, coins=52, events=2)
    assert result.success
    rows = read_frame(engine, sa.select(RANKING_BACKTEST))
    assert rows["is_synthetic"].all()
    assert set(rows["pool"]) == {"51 coins", "52 coins"}
    assert rows["data"].n_unique() == 6
    assert "data:image/png;base64," in str(shown(result, rankings.ranking_signal_curve.key)["curve"])
