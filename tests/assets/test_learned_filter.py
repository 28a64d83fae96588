"""The learned filter's assets: on an empty platform, without the extra, and on a made-up market in the database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa

from assets import learned_filter
from pnd_dagster.candidates import clustering
from pnd_dagster.candidates.learned import features, measures, report
from pnd_dagster.candidates.learned.series import Form
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.settings import Settings
from pnd_dagster.storage import upsert
from pnd_dagster.tables import OHLCV_DAILY, PUMP_EVENTS

FIRST = date(2024, 1, 1)
Run = Callable[[], dg.ExecuteInProcessResult]


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Materialises the assets, on differenced series and the features of Table X only, which take seconds."""
    assert settings.database_url
    monkeypatch.setenv("PND_DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("PND_HOME", str(settings.home))
    monkeypatch.setattr(features, "calculators", features.table_x_calculators)
    monkeypatch.setattr(report, "VARIANTS", ("table X",))
    monkeypatch.setattr(report, "Form", [Form.CHANGES])
    monkeypatch.setattr(measures, "RESAMPLES", 20)
    monkeypatch.setattr(clustering, "COUNTS", range(2, 4))
    monkeypatch.setattr(clustering, "INITS", 1)
    chosen = [learned_filter.learned_filter, learned_filter.clusters_of_coins]
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    return lambda: dg.materialize(chosen, resources={"database": DatabaseResource()}, run_config=quiet)


def shown(result: dg.ExecuteInProcessResult, key: dg.AssetKey) -> dict[str, object]:
    (event,) = [event for event in result.get_asset_materialization_events() if event.asset_key == key]
    return {name: value.value for name, value in event.materialization.metadata.items()}


def fill(engine: sa.Engine) -> None:
    """30 coins of one exchange, 90 days, 22 pumps."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "exchange": "kucoin",
            "symbol": f"C{coin:02}/USDT" if coin else "BTC/USDT",
            "day": FIRST + timedelta(days=day),
            **dict.fromkeys(("open", "high", "low", "close"), float(rng.uniform(1, 2))),
            "volume": float(rng.uniform(10, 20)),
            "source": "ohlcv",
            "is_complete": True,
            "ingested_at": datetime(2024, 6, 1, tzinfo=UTC),
        }
        for coin in range(30)
        for day in range(90)
    ]
    upsert(engine, OHLCV_DAILY, pl.DataFrame(rows))
    events = [
        {
            "event_id": str(number),
            "paper_event_key": "key",
            "exchange": "kucoin",
            "symbol": f"C{number % 25 + 1:02}",
            "released_at": datetime(2024, 2, 15, 17, tzinfo=UTC) + timedelta(days=number),
            "last_released_at": datetime(2024, 2, 15, 17, tzinfo=UTC) + timedelta(days=number),
            "confidence": 1.0,
            "channel_ids": [1],
            "channel_count": 1,
            "evidence_count": 1,
            "announcement_ids": [],
            "aliases": [],
        }
        for number in range(22)
    ]
    schema = {"announcement_ids": pl.List(pl.String), "aliases": pl.List(pl.String)}
    upsert(engine, PUMP_EVENTS, pl.DataFrame(events, schema_overrides=schema))


def test_an_empty_platform_is_no_error_and_says_what_to_run(run: Run) -> None:
    result = run()
    assert result.success
    for key in (learned_filter.FILTER, learned_filter.FEATURES, learned_filter.CLUSTERS):
        assert "core.pump_events is empty" in str(shown(result, key)), key


def test_without_the_extra_it_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "find_spec", lambda name: None if name == "tsfresh" else find_spec(name))
    result = run()
    assert result.success
    for key in (learned_filter.FILTER, learned_filter.FEATURES, learned_filter.CLUSTERS):
        assert "pip install 'pnd-dagster[train]'" in str(shown(result, key)["missing"]), key


def test_tables_and_figures_are_shown_and_written(run: Run, engine: sa.Engine, settings: Settings) -> None:
    fill(engine)
    result = run()
    assert result.success
    metadata = shown(result, learned_filter.FILTER)
    assert "643 pumped" in str(metadata["paper"])
    assert "22 pumped and 44 other samples" in str(metadata["notes_changes"])
    table = str(metadata["figures"])
    assert "| weighted\\_f1 |" in table
    assert table.count("price\\_optimal") == 3, "a row per protocol"
    for name in (
        "figure_14_confusion_matrices",
        "figure_15_precision_recall",
        "figure_16_f1_by_threshold",
        "figure_17_pr_auc_by_threshold",
    ):
        assert "data:image/png;base64,iVBORw0KGgo" in str(metadata[f"{name}_this_installation_any_other_coin_changes"])
    folder: Path = settings.home / "analysis"
    figures = pl.read_parquet(folder / "learned_filter.parquet")
    assert set(figures["protocol"]) == {"random", "by coin", "forward"}
    assert figures["base_rate"].is_between(0.3, 0.37).all()
    assert "table_xi" in shown(result, learned_filter.CLUSTERS)
    assert (folder / "figure_18_clusters_this_installation.png").exists()
    assert (folder / "table_xi_coin_clusters.parquet").exists()
