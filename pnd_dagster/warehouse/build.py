"""`dbt build` from our settings: what `pnd db marts` and tests run. The graph runs the same through dagster-dbt."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from pnd_dagster.errors import DatabaseError, SourceError
from pnd_dagster.settings import Settings
from pnd_dagster.storage.roles import ensure_bi_role
from pnd_dagster.warehouse.project import EXECUTABLE, PROJECT_DIR, environment

COLUMNS = {"name": pl.String, "kind": pl.String, "status": pl.String, "seconds": pl.Float64, "rows": pl.Int64, "message": pl.String}


def build(engine: sa.Engine, settings: Settings, *arguments: str) -> pl.DataFrame:
    """Builds and tests the marts, and sees to the role that reads them.

    Args:
        engine: the migrated database.
        settings: where it is.
        arguments: of `dbt build`, e.g. "--select", "fct_ranking".

    Returns:
        What was done, a row per model, seed and test: name, kind, status (success, pass, warn), seconds, rows (NULL if unknown), message.

    Raises:
        DatabaseError: a model failed, or a test; names it with the reason. What it needs not was built.
        SourceError: dbt is missing, or refuses the project; quotes it.
    """
    ensure_bi_role(engine, settings)
    variables = environment(settings)
    results = Path(variables["DBT_TARGET_PATH"]) / "run_results.json"
    results.unlink(missing_ok=True)
    command = [str(EXECUTABLE), "--no-use-colors", "--quiet", "build", "--project-dir", str(PROJECT_DIR), *arguments]
    try:
        done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SourceError(f"dbt: cannot run {EXECUTABLE}: {error}") from error
    if not results.exists():
        raise SourceError(f"dbt: {' '.join(f'{done.stdout} {done.stderr}'.split())[-800:] or f'exit code {done.returncode}'}")
    built = pl.DataFrame([_row(result) for result in json.loads(results.read_text())["results"]], schema=COLUMNS)
    failed = built.filter(pl.col("status").is_in(["error", "fail", "runtime error"]))
    if not failed.is_empty():
        first = failed.row(0, named=True)
        more = f" (and {failed.height - 1} more)" if failed.height > 1 else ""
        raise DatabaseError(f"dbt: {first['kind']} {first['name']}: {' '.join((first['message'] or first['status']).split())[:500]}{more}")
    return built


def _row(result: dict[str, Any]) -> dict[str, Any]:
    kind, _, name = str(result["unique_id"]).split(".", 2)
    rows = (result.get("adapter_response") or {}).get("rows_affected")
    return {
        "name": name,
        "kind": kind,
        "status": result["status"],
        "seconds": result["execution_time"],
        "rows": rows if rows is not None and rows >= 0 else None,
        "message": result["message"],
    }
