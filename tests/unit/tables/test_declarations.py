"""The declared tables are complete, and what derives from them agrees with them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster import tables
from pnd_dagster.errors import SchemaError
from pnd_dagster.tables.dictionary import dictionary

TABLES = sorted(tables.METADATA.tables.values(), key=str)
QUANTITY_SUFFIXES = {"_ratio": "ratio", "_seconds": "s", "_at": "UTC"}
# The paper's name; its formula multiplies a ratio by the mid price.
EXCEPTIONS = {"imbalance_ratio"}


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_every_table_has_a_key_a_comment_and_a_comment_on_every_column(table: sa.Table) -> None:
    assert tables.primary_key(table)
    assert table.comment
    assert [column.name for column in table.columns if not column.comment] == []


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_a_column_whose_name_says_a_unit_declares_it(table: sa.Table) -> None:
    for column in table.columns:
        for suffix, unit in QUANTITY_SUFFIXES.items():
            if column.name.endswith(suffix) and column.name not in EXCEPTIONS:
                assert column.info.get("unit") == unit, column


def test_the_data_dictionary_in_the_docs_is_current() -> None:
    written = Path(__file__).parents[3] / "docs" / "data-dictionary.md"
    assert written.read_text().strip() == dictionary().strip(), "run: python -m pnd_dagster.tables.dictionary > docs/data-dictionary.md"


def test_a_frame_gets_the_declared_columns_order_and_types() -> None:
    beat = pl.DataFrame({"is_healthy": [True], "name": ["listen"], "beat_at": [datetime(2024, 5, 1, tzinfo=UTC)], "lag_seconds": [2]})
    conformed = tables.conform(beat, tables.HEARTBEATS)
    assert conformed.schema == tables.polars_schema(tables.HEARTBEATS)
    assert conformed["details"].to_list() == [None]


def test_a_value_that_does_not_fit_its_type_is_refused_by_column() -> None:
    beat = pl.DataFrame({"name": ["listen"], "beat_at": ["yesterday"], "is_healthy": [True]})
    with pytest.raises(SchemaError, match=r"core\.heartbeats\.beat_at"):
        tables.conform(beat, tables.HEARTBEATS)
