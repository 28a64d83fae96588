"""The dbt project in the graph: its sources are the platform's tables, its tests are checks, and a run builds what is selected."""

from __future__ import annotations

import os

import dagster as dg
import pytest
import sqlalchemy as sa

from assets import warehouse
from pnd_dagster.definitions import build_defs
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.settings import Settings
from pnd_dagster.tables import METADATA
from pnd_dagster.warehouse.project import MANIFEST

pytestmark = pytest.mark.skipif(not MANIFEST.exists(), reason="python -m pnd_dagster.warehouse.prepare")


@pytest.fixture(scope="module")
def graph() -> dg.AssetGraph:
    return build_defs().resolve_asset_graph()


def test_staging_stands_on_the_platforms_tables_and_marts_on_staging(graph: dg.AssetGraph) -> None:
    assert graph.get(dg.AssetKey(["staging", "stg_message_revision"])).parent_keys == {dg.AssetKey(["raw", "telegram_messages"])}
    assert dg.AssetKey(["staging", "stg_event"]) in graph.get(dg.AssetKey(["mart", "fct_pump_event"])).parent_keys
    declared = {f"{key.path[0]}.{key.path[1]}" for key in graph.get_all_asset_keys() if key.path[0] in ("raw", "core", "out")}
    assert declared <= METADATA.tables.keys() | {"out.ranking_signal_curve"}


def test_dbts_tests_are_checks_of_the_marts(graph: dg.AssetGraph) -> None:
    names = {check.name for check in graph.get_check_keys_for_assets({dg.AssetKey(["mart", "fct_pump_event"])})}
    assert "unique_fct_pump_event_event_id" in names


def test_a_run_builds_what_is_selected_and_counts_its_rows(engine: sa.Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.database_url
    monkeypatch.setenv("PND_DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("PND_BI_PASSWORD", "read-only")
    monkeypatch.setenv("PND_HOME", str(settings.home))
    try:
        result = dg.materialize(
            [warehouse.marts],
            selection=dg.AssetSelection.assets(["staging", "labels"], ["staging", "stg_message_label"], ["mart", "fct_labeller_label"]),
            resources={"database": DatabaseResource()},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA IF EXISTS staging CASCADE; DROP SCHEMA IF EXISTS mart CASCADE")
    counted = {
        event.asset_key.path[-1]: event.materialization.metadata.get("dagster/row_count")
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    assert {name: count and count.value for name, count in counted.items()} == {
        "labels": 6,
        "stg_message_label": None,
        "fct_labeller_label": 0,
    }
    assert all(check.passed for check in result.get_asset_check_evaluations())
    assert "DBT_ENV_SECRET_PND_PASSWORD" not in os.environ
