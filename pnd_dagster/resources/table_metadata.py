"""Metadata of declared tables: column schema for the definition, counts for the materialisation, frames as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl
import sqlalchemy as sa

from pnd_dagster.storage import Written, count_rows

PREVIEW_CHARACTERS = 120


def declared(table: sa.Table) -> dict[str, Any]:
    """Definition metadata: the table's name, its column schema with comments and units, its key."""
    return {
        "dagster/table_name": f"{table.schema}.{table.name}",
        "dagster/column_schema": dg.TableSchema(columns=[_column(column) for column in table.columns]),
        "key": ", ".join(column.name for column in table.primary_key.columns),
    }


def written(table: sa.Table, result: Written, engine: sa.Engine) -> dict[str, Any]:
    """Materialisation metadata: what was written, and the rows of the whole table."""
    return {
        "dagster/row_count": count_rows(engine, table),
        "inserted": result.inserted,
        "updated": result.updated,
        "unchanged": result.unchanged,
        "deleted": result.deleted,
    }


def errors(by_source: Mapping[str, str]) -> dict[str, Any]:
    """Materialisation metadata of sources that failed while others went on; nothing when none did."""
    return {"errors": preview(pl.DataFrame({"source": list(by_source), "reason": list(by_source.values())}), 50)} if by_source else {}


def preview(frame: pl.DataFrame, rows: int = 10) -> dg.MetadataValue:
    """The first rows as a table; text is shown as text, whatever it holds."""
    records = [dg.TableRecord({name: _cell(value) for name, value in row.items()}) for row in frame.head(rows).iter_rows(named=True)]
    return dg.MetadataValue.table(records=records, schema=dg.TableSchema([dg.TableColumn(name) for name in frame.columns]))


def _cell(value: object) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)[:PREVIEW_CHARACTERS]


def _column(column: sa.Column[Any]) -> dg.TableColumn:
    info: Mapping[str, Any] = column.info
    unit = f" [{info['unit']}]" if "unit" in info else ""
    return dg.TableColumn(
        name=column.name,
        type=str(column.type).lower(),
        description=f"{column.comment}{unit}",
        constraints=dg.TableColumnConstraints(nullable=bool(column.nullable), unique=False),
    )
