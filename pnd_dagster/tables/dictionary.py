"""The data dictionary: every table and column in words. `python -m pnd_dagster.tables.dictionary` prints it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pnd_dagster.tables import METADATA, SCHEMAS


def dictionary() -> str:
    """Markdown with a section per table, in the order of the schemas."""
    tables = sorted(METADATA.tables.values(), key=lambda table: SCHEMAS.index(str(table.schema)))
    return "\n".join(["# Data dictionary", "", "Derived from the declared tables; times are UTC.", "", *map(_section, tables)])


def _section(table: sa.Table) -> str:
    lines = [f"## {table.schema}.{table.name}", "", f"{table.comment}.", "", "| column | type | meaning |", "|---|---|---|"]
    return "\n".join([*lines, *map(_row, table.columns), ""])


def _row(column: sa.Column[Any]) -> str:
    kind = str(column.type).lower() + (", key" if column.primary_key else "" if column.nullable else ", required")
    unit = f" [{column.info['unit']}]" if "unit" in column.info else ""
    return f"| {column.name} | {kind} | {column.comment}{unit} |"


if __name__ == "__main__":
    print(dictionary())  # noqa: T201
