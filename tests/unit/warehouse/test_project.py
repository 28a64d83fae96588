"""What is generated for dbt is up to date, its manifest is made apart from the graph, and nothing of the contract goes undescribed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pnd_dagster.errors import SourceError
from pnd_dagster.settings import load_settings
from pnd_dagster.tables import METADATA
from pnd_dagster.tables.dbt_sources import FRESHNESS, LOADED_AT, sources
from pnd_dagster.warehouse import prepare as prepare_module
from pnd_dagster.warehouse import project
from pnd_dagster.warehouse.plain_marts import plain_marts
from pnd_dagster.warehouse.prepare import prepare
from pnd_dagster.warehouse.project import MANIFEST, PROJECT_DIR, environment, manifest_problem
from pnd_dagster.warehouse.seeds import seeds


@pytest.fixture(scope="session")
def manifest() -> dict[str, Any]:
    """The manifest of the project as it stands."""
    prepare()
    return json.loads(MANIFEST.read_text())


def test_the_sources_are_those_of_the_declared_tables() -> None:
    assert (PROJECT_DIR / "models" / "sources.yml").read_text() == f"{sources()}\n", "python -m pnd_dagster.tables.dbt_sources"


def test_the_sources_describe_every_column_and_name_only_columns_that_are() -> None:
    schemas = yaml.safe_load(sources())["sources"]
    described = {f"{schema['name']}.{table['name']}": table for schema in schemas for table in schema["tables"]}
    assert described.keys() == METADATA.tables.keys()
    for name, table in described.items():
        assert [column["name"] for column in table["columns"]] == list(METADATA.tables[name].columns.keys())
        assert table["description"], name
        assert all(column["description"] for column in table["columns"]), name
    assert all(column in METADATA.tables[table].columns for table, column in LOADED_AT.items())
    assert FRESHNESS.keys() <= LOADED_AT.keys()


def test_the_seeds_are_those_of_the_code() -> None:
    stored = {file.stem: file.read_text() for file in (PROJECT_DIR / "seeds").glob("*.csv")}
    assert stored == seeds(), "python -m pnd_dagster.warehouse.seeds"


def test_marts_that_show_a_table_as_it_is_follow_its_declaration() -> None:
    stored = {path: (PROJECT_DIR / path).read_text() for path in plain_marts()}
    assert stored == plain_marts(), "python -m pnd_dagster.warehouse.plain_marts"


def test_every_mart_keeps_a_contract_and_describes_every_column(manifest: dict[str, Any]) -> None:
    marts = [node for node in manifest["nodes"].values() if node["resource_type"] == "model" and node["schema"] == "mart"]
    assert {
        "dim_channel",
        "dim_coin",
        "dim_exchange",
        "fct_message_daily",
        "fct_pump_event",
        "fct_ranking",
        "fct_alert",
        "fct_coin_day",
    } <= {node["name"] for node in marts}
    for node in marts:
        assert node["config"]["contract"]["enforced"], node["name"]
        assert node["config"]["persist_docs"] == {"relation": True, "columns": True}
        assert node["description"].strip(), node["name"]
        for column in node["columns"].values():
            assert column["description"].strip(), (node["name"], column["name"])
            assert column["data_type"], (node["name"], column["name"])


def test_every_page_of_the_dashboard_says_what_it_reads(manifest: dict[str, Any]) -> None:
    pages = {"radar", "events", "outcomes", "channels", "coins", "models", "pipeline"}
    assert {exposure["name"] for exposure in manifest["exposures"].values()} == pages


def test_only_staging_reads_the_platforms_tables(manifest: dict[str, Any]) -> None:
    for node in manifest["nodes"].values():
        reads_sources = any(name.startswith("source.") for name in node.get("depends_on", {}).get("nodes", ()))
        assert not reads_sources or node["name"].startswith("stg_"), node["name"]


def test_the_project_is_no_package_that_would_shadow_dbt() -> None:
    assert not list(PROJECT_DIR.rglob("__init__.py"))


def test_a_changed_project_asks_for_a_new_manifest(manifest: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert manifest_problem() is None
    assert prepare() is False
    marked = tmp_path / "manifest.sha256"
    monkeypatch.setattr(project, "_SOURCE_HASH", marked)
    marked.write_text("of another one")
    assert "older than the dbt project" in str(manifest_problem())
    monkeypatch.setattr(project, "MANIFEST", tmp_path / "manifest.json")
    assert "left out of the graph" in str(manifest_problem())


def test_a_missing_dbt_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(prepare_module, "EXECUTABLE", tmp_path / "dbt")
    with pytest.raises(SourceError, match="dbt: cannot run"):
        prepare(force=True)


def test_dbt_gets_the_address_in_variables_and_the_password_where_its_logs_leave_it_out(tmp_path: Path) -> None:
    variables = environment(load_settings(database_url="postgresql://me:p%40ss@db.invalid:6000/name", home=tmp_path))
    wanted = {"PND_DBT_HOST": "db.invalid", "PND_DBT_PORT": "6000", "PND_DBT_USER": "me", "PND_DBT_DATABASE": "name"}
    assert wanted.items() <= variables.items()
    assert {name for name, value in variables.items() if "p@ss" in value} == {"DBT_ENV_SECRET_PND_PASSWORD"}
    assert variables["DBT_SEND_ANONYMOUS_USAGE_STATS"] == "false"


def test_what_else_the_address_asks_for_reaches_dbts_driver(tmp_path: Path) -> None:
    address = "postgresql://me@db.invalid/name?sslmode=verify-full&sslrootcert=/ca.pem&channel_binding=require"
    variables = environment(load_settings(database_url=address, home=tmp_path))
    wanted = {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/ca.pem", "PGCHANNELBINDING": "require"}
    assert wanted.items() <= variables.items()
