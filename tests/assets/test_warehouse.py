"""The dbt project in the graph: its sources are the platform's tables, its tests are checks, and a selection is what dbt is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from assets import warehouse
from pnd_dagster.definitions import build_defs
from pnd_dagster.errors import DatabaseError
from pnd_dagster.resources import dbt_graph
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.settings import Settings
from pnd_dagster.tables import METADATA
from pnd_dagster.warehouse.build import Result
from pnd_dagster.warehouse.project import MANIFEST

pytestmark = pytest.mark.skipif(not MANIFEST.exists(), reason="python -m pnd_dagster.resources.dbt_graph")


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


def test_the_graph_is_what_dagster_dbt_makes_of_the_manifest(graph: dg.AssetGraph) -> None:
    from dagster_dbt import DagsterDbtTranslator, dbt_assets

    class Translator(DagsterDbtTranslator):
        def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
            return dg.AssetKey([dbt_resource_props["schema"], dbt_resource_props["name"]])

        def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
            return None

        def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
            return str(dbt_resource_props["description"])

    @dbt_assets(manifest=MANIFEST, dagster_dbt_translator=Translator(), name="marts")
    def theirs() -> Iterator[Any]:
        yield

    def told(specs: Iterable[dg.AssetSpec]) -> dict[dg.AssetKey, tuple[object, ...]]:
        own = ("dagster_dbt/manifest", "dagster_dbt/dagster_dbt_translator", "dagster_dbt/project_id")
        return {
            spec.key: (
                {dep.asset_key: dep.metadata for dep in spec.deps},
                spec.description,
                {name: value for name, value in spec.metadata.items() if name not in own},
                spec.skippable,
                spec.code_version,
                spec.kinds,
                spec.tags,
            )
            for spec in specs
        }

    def checks(definition: dg.AssetsDefinition) -> dict[dg.AssetCheckKey, tuple[object, ...]]:
        return {
            check.key: ({dep.asset_key for dep in check.additional_deps}, check.metadata, check.blocking)
            for check in definition.check_specs
        }

    assert told(warehouse.marts.specs) == told(theirs.specs)
    assert checks(warehouse.marts) == checks(theirs)


def test_what_another_version_wrote_down_is_made_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written = tmp_path / "graph.json"
    written.write_text('{"made_of": ["another version"], "graph": "nobody can read this"}')
    monkeypatch.setattr(dbt_graph, "GRAPH", written)
    assert dbt_graph.prepare_graph()
    assert dbt_graph.read_graph().assets.keys() == warehouse.DBT.assets.keys()
    assert not dbt_graph.prepare_graph()


def test_a_selection_names_what_it_wants_and_everything_needs_no_name() -> None:
    marts, selection = warehouse.marts, warehouse.DBT.selection
    assert selection(marts.keys, marts.check_keys) == []
    key = dg.AssetKey(["mart", "dim_coin"])
    check = dg.AssetCheckKey(key, "unique_dim_coin_coin_id")
    only = ["--indirect-selection", "empty", "--select"]
    assert selection({key}, set()) == [*only, "pnd.marts.dim_coin"]
    assert selection({key}, {check}) == [*only, "pnd.marts.dim_coin", "pnd.marts.unique_dim_coin_coin_id"]
    assert selection(set(), {check}) == [*only, "pnd.marts.unique_dim_coin_coin_id"]


def test_a_failed_test_is_a_failed_check_what_was_built_is_kept_and_the_failure_names_the_model(
    engine: sa.Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = dg.AssetKey(["mart", "fct_watch"])
    unique = dg.AssetCheckKey(watch, "unique_fct_watch_watch_id")
    ids = {check.key: unique_id for unique_id, check in warehouse.DBT.checks.items()}

    def stream(engine: sa.Engine, settings: Settings, *selected: str) -> Iterator[Result]:
        assert selected[-2:] == ("pnd.marts.fct_watch", "pnd.marts.unique_fct_watch_watch_id")
        yield Result("model.pnd.fct_watch", "model", "success", 0.5, None)
        yield Result(ids[unique], "test", "fail", 0.1, 2)
        raise DatabaseError("dbt: test unique_fct_watch_watch_id: Got 2 results")

    assert settings.database_url
    monkeypatch.setenv("PND_DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setattr(warehouse, "stream", stream)
    result = dg.materialize(
        [warehouse.marts],
        selection=dg.AssetSelection.assets(watch).without_checks() | dg.AssetSelection.checks(unique),
        resources={"database": DatabaseResource()},
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )
    assert [event.asset_key for event in result.get_asset_materialization_events()] == [watch]
    (check,) = result.get_asset_check_evaluations()
    assert (check.passed, check.metadata["dagster_dbt/failed_row_count"].value) == (False, 2)
    assert "unique_fct_watch_watch_id: Got 2 results" in str(result.failure_data_for_node("marts"))
