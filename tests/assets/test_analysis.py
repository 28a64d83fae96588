"""The analysis assets: one per table or figure, materialised on a small database."""

from __future__ import annotations

import dagster as dg
import pytest
import sqlalchemy as sa

from assets import analysis
from pnd_dagster.analysis.catalogue import ANALYSES
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.settings import Settings
from tests.unit.analysis.world import fill

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def installed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    assert settings.database_url
    monkeypatch.setenv("PND_DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("PND_HOME", str(settings.home))
    return settings


def materialise(*names: str) -> dict[str, dict[str, object]]:
    chosen = [asset for asset in analysis.ASSETS if asset.key.path[-1] in names]
    result = dg.materialize(chosen, resources={"database": DatabaseResource()}, run_config=QUIET)
    assert result.success
    events = result.get_asset_materialization_events()
    return {
        event.asset_key.path[-1]: {name: value.value for name, value in event.materialization.metadata.items()}
        for event in events
        if event.asset_key
    }


def test_there_is_an_asset_for_every_analysis_and_it_names_what_it_reads() -> None:
    keys = {asset.key.to_user_string(): asset for asset in analysis.ASSETS}
    assert set(keys) == {f"analysis/{one.name}" for one in ANALYSES}
    spikes = keys["analysis/price_spikes"]
    assert dg.AssetKey(["core", "trade_metrics"]) in spikes.dependency_keys


def test_tables_figures_notes_and_files_are_in_the_metadata(installed: Settings, engine: sa.Engine) -> None:
    fill(engine)
    shown = materialise("price_spikes", "most_pumped_coins")
    spikes = shown["price_spikes"]
    assert "kucoin: peak / baseline, mean | 3 |" in str(spikes["paper"])
    assert "10.85" in str(spikes["paper"])
    assert "data:image/png;base64," in str(spikes["figure_paths"])
    assert "no metrics around their release" in str(spikes["notes"])
    assert "figures-5-6.summary.parquet" in str(spikes["files"])
    assert (installed.home / "analysis" / "figures-5-6.paths.png").read_bytes().startswith(b"\x89PNG")
    coins = str(shown["most_pumped_coins"]["coins"])
    assert "<b>" not in coins
    assert "&lt;b&gt;Coin\\|X&lt;/b&gt;" in coins


def test_one_file_of_trades_without_the_other_fails_with_a_line_to_act_on(
    installed: Settings, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PND_BACKTEST_TRADES", str(installed.home / "trades.parquet"))
    result = dg.materialize(analysis.ASSETS[:1], resources={"database": DatabaseResource()}, run_config=QUIET, raise_on_error=False)
    (failed,) = result.filter_events(lambda event: event.is_step_failure)
    assert "belong together" in str(failed.step_failure_data.user_failure_data)
