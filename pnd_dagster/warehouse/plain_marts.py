"""Marts that show a declared table as it is: `python -m pnd_dagster.warehouse.plain_marts` brings them and their contract up to date."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from pnd_dagster.tables import CHANNEL_LINKS, COIN_FLAGS, COIN_VULNERABILITY, PUMP_OUTCOMES
from pnd_dagster.warehouse.project import PROJECT_DIR

PLAIN_MARTS = {
    "pump_outcome": PUMP_OUTCOMES,
    "channel_link": CHANNEL_LINKS,
    "coin_vulnerability": COIN_VULNERABILITY,
    "coin_flag": COIN_FLAGS,
}


def plain_marts() -> dict[str, str]:
    """The text of each file, by its path in the dbt project."""
    files: dict[str, str] = {}
    contracts = [
        "# Made by `python -m pnd_dagster.warehouse.plain_marts` of the declared tables: change them there.",
        "version: 2",
        "",
        "models:",
    ]
    for name, table in PLAIN_MARTS.items():
        columns = textwrap.fill(", ".join(table.columns.keys()), 130, initial_indent="    ", subsequent_indent="    ")
        source = f"{{{{ source('{table.schema}', '{table.name}') }}}}"
        files[f"models/staging/stg_{name}.sql"] = f"select\n{columns}\nfrom {source}\n"
        files[f"models/marts/fct_{name}.sql"] = (
            f"{{{{ config(materialized='view') }}}}\n\nselect\n{columns}\nfrom {{{{ ref('stg_{name}') }}}}\n"
        )
        contracts += [
            f"  - name: fct_{name}",
            f"    description: {json.dumps(f'{table.comment}. A view.', ensure_ascii=False)}",
            "    columns:",
        ]
        contracts += [_contract(column, table) for column in table.columns]
    return files | {"models/marts/conduct.yml": "\n".join([*contracts, ""])}


def _contract(column: sa.Column[Any], table: sa.Table) -> str:
    unit = f" [{column.info['unit']}]" if "unit" in column.info else ""
    kind = str(column.type.compile(dialect=pg.dialect())).lower()
    tests = ", data_tests: [unique, not_null]" if [column] == list(table.primary_key.columns) else ""
    description = json.dumps(f"{column.comment}{unit}", ensure_ascii=False)
    return f"      - {{name: {column.name}, data_type: {kind}, description: {description}{tests}}}"


if __name__ == "__main__":
    for path, text in plain_marts().items():
        (PROJECT_DIR / path).write_text(text)
