"""The declared tables as dbt sources. `python -m pnd_dagster.tables.dbt_sources > dbt/models/sources.yml` brings them up to date."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from pnd_dagster.tables import METADATA, SCHEMAS

# When a table's newest row was written, or the newest time it tells of.
LOADED_AT = {
    "raw.telegram_channels": "discovered_at",
    "raw.telegram_messages": "ingested_at",
    "raw.telegram_message_stats": "observed_at",
    "raw.telegram_cursors": "updated_at",
    "raw.dead_letters": "occurred_at",
    "raw.llm_replies": "requested_at",
    "raw.ohlcv_daily": "ingested_at",
    "raw.ohlcv_gaps": "asked_at",
    "raw.lunarcrush_snapshots": "snapshot_at",
    "raw.coinmarketcap_snapshots": "snapshot_at",
    "raw.coincodex_daily": "ingested_at",
    "raw.vendor_quotas": "last_request_at",
    "core.message_labels": "labelled_at",
    "core.pump_announcements": "announced_at",
    "core.scheduled_pumps": "first_announced_at",
    "core.pump_releases": "released_at",
    "core.pump_events": "released_at",
    "core.heartbeats": "beat_at",
    "core.bucket_commits": "bucket_end_at",
    "core.coin_links": "linked_at",
    "core.llm_extractions": "extracted_at",
    "core.image_readings": "read_at",
    "out.watches": "started_at",
    "out.ranking_ticks": "bucket_end_at",
    "out.watch_results": "evaluated_at",
    "out.detected_pumps": "detected_at",
    "out.alerts": "created_at",
    "out.ranking_backtest": "computed_at",
    "out.pump_outcomes": "computed_at",
    "out.channel_links": "computed_at",
    "out.channel_groups": "computed_at",
    "out.channel_honesty": "computed_at",
    "out.coin_vulnerability": "computed_at",
    "out.coin_flags": "computed_at",
}

# What live services write all the time: minutes after which `dbt source freshness` warns, and after which it fails.
FRESHNESS = {
    "raw.telegram_messages": (24 * 60, 72 * 60),
    "core.message_labels": (24 * 60, 72 * 60),
    "core.heartbeats": (5, 60),
    "core.bucket_commits": (5, 60),
}


def sources() -> str:
    """The YAML of all declared tables, by schema: what they are, their columns with types and units, and how fresh they have to be."""
    lines = [
        "# Made from the declared tables by `python -m pnd_dagster.tables.dbt_sources`: change them there.",
        "version: 2",
        "",
        "sources:",
    ]
    for schema in SCHEMAS:
        lines += [f"  - name: {schema}", f"    schema: {schema}", "    tables:"]
        for table in METADATA.tables.values():
            if table.schema == schema:
                lines += _table(table)
    return "\n".join(lines)


def _table(table: sa.Table) -> list[str]:
    name = f"{table.schema}.{table.name}"
    lines = [f"      - name: {table.name}", f"        description: {_quoted(f'{table.comment}.')}"]
    config = [f"          loaded_at_field: {LOADED_AT[name]}"] if name in LOADED_AT else []
    if name in FRESHNESS:
        warn, error = FRESHNESS[name]
        config.append(
            f"          freshness: {{warn_after: {{count: {warn}, period: minute}}, error_after: {{count: {error}, period: minute}}}}"
        )
    if table.dialect_options["postgresql"]["partition_by"]:
        config.append("          meta: {is_partitioned: true}")
    lines += ["        config:", *config] if config else []
    return [*lines, "        columns:", *map(_column, table.columns)]


def _column(column: sa.Column[Any]) -> str:
    unit = f" [{column.info['unit']}]" if "unit" in column.info else ""
    kind = str(column.type.compile(dialect=pg.dialect())).lower()
    return f"          - {{name: {column.name}, data_type: {_quoted(kind)}, description: {_quoted(f'{column.comment}{unit}')}}}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


if __name__ == "__main__":
    print(sources())  # noqa: T201
