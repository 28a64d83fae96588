"""`dbt build` from our settings: what the graph, `pnd db marts` and tests run."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
from collections import deque
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from pnd_dagster.errors import DatabaseError, SourceError
from pnd_dagster.settings import Settings
from pnd_dagster.storage import locks
from pnd_dagster.storage.roles import ensure_bi_role
from pnd_dagster.warehouse.project import EXECUTABLE, PROJECT_DIR, environment

COLUMNS = {"name": pl.String, "kind": pl.String, "status": pl.String, "seconds": pl.Float64, "rows": pl.Int64, "message": pl.String}
FAILED = ("error", "fail", "runtime error")
WAIT_SECONDS = 600
_TOLD = ("LogModelResult", "LogSeedResult", "LogTestResult")
_END_SECONDS = 20


class Result(NamedTuple):
    """What became of one model, seed or test: its id in the manifest, kind, status (success, pass, warn, error, fail, ...)."""

    unique_id: str
    kind: str
    status: str
    seconds: float
    failures: int | None
    """Rows that a test found; None of what is no test."""


def stream(engine: sa.Engine, settings: Settings, *arguments: str) -> Generator[Result]:
    """Builds and tests the marts, one build of a database at a time, and sees to the role that reads them.

    A role that cannot be made is logged, and no reason to leave the marts old.

    Args:
        engine: the migrated database.
        settings: where it is.
        arguments: of `dbt build`, e.g. "--select", "fct_ranking".

    Yields:
        What is done, as it is done. Closing the iterator ends dbt.

    Raises:
        DatabaseError: a model failed, or a test; names it with the reason, after everything else was done that does not need it.
            Or others built for longer than `WAIT_SECONDS`.
        SourceError: dbt is missing, or refuses the project; quotes it.
    """
    try:
        ensure_bi_role(engine, settings)
    except DatabaseError as error:
        logging.getLogger(__name__).warning("%s", error)
    variables = environment(settings)
    command = [str(EXECUTABLE), "--no-use-colors", "--log-format", "json", "build", "--project-dir", str(PROJECT_DIR), *arguments]
    with _alone(engine):
        results = _results_file(variables)
        results.unlink(missing_ok=True)
        said: deque[str] = deque(maxlen=20)
        with _lines(command, variables) as lines:
            for line in lines:
                event = _event(line)
                said.append(event["info"].get("msg", "") if event else line)
                if event and event["info"]["name"] in _TOLD:
                    yield _result(event["data"])
        if not results.exists():
            raise SourceError(f"dbt: {' '.join(' '.join(said).split())[-800:] or 'it ended without a word'}")
        _raise_for(_read(results))


def build(engine: sa.Engine, settings: Settings, *arguments: str) -> pl.DataFrame:
    """The same as `stream`, at once.

    Returns:
        What was done, a row per model, seed and test: name, kind, status (success, pass, warn), seconds, rows (NULL if unknown), message.

    Raises:
        DatabaseError, SourceError: as `stream` does.
    """
    deque(stream(engine, settings, *arguments), maxlen=0)
    return _read(_results_file(environment(settings)))


@contextmanager
def _alone(engine: sa.Engine) -> Generator[None]:
    """Two builds at once would drop each other's tables: the second waits."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        try:
            connection.exec_driver_sql(f"SET lock_timeout = '{WAIT_SECONDS}s'")
            try:
                connection.execute(sa.select(sa.func.pg_advisory_lock(locks.MARTS)))
            except OperationalError as error:
                raise DatabaseError(f"the marts have been built by somebody else for {WAIT_SECONDS} s; try again later") from error
            yield
        finally:
            # The lock and the limit are the session's, which the pool would hand on.
            connection.invalidate()


@contextmanager
def _lines(command: Sequence[str], variables: Mapping[str, str]) -> Generator[Iterable[str]]:
    """What dbt writes, line by line; an interrupted dbt cancels its statements before it ends."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
    try:
        process = subprocess.Popen(command, env=os.environ | variables, **pipes)
    except OSError as error:
        raise SourceError(f"dbt: cannot run {command[0]}: {error}") from error
    with process:
        try:
            yield process.stdout or ()
        except BaseException:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            raise


def _event(line: str) -> dict[str, Any] | None:
    """An event of dbt's log; None for what others write to its output."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and {"info", "data"} <= event.keys() else None


def _result(data: Mapping[str, Any]) -> Result:
    node = data["node_info"]
    return Result(node["unique_id"], node["resource_type"], node["node_status"], data["execution_time"], data.get("num_failures"))


def _results_file(variables: Mapping[str, str]) -> Path:
    return Path(variables["DBT_TARGET_PATH"]) / "run_results.json"


def _read(results: Path) -> pl.DataFrame:
    return pl.DataFrame([_row(result) for result in json.loads(results.read_text())["results"]], schema=COLUMNS)


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


def _raise_for(built: pl.DataFrame) -> None:
    failed = built.filter(pl.col("status").is_in(FAILED))
    if not failed.is_empty():
        first = failed.row(0, named=True)
        more = f" (and {failed.height - 1} more)" if failed.height > 1 else ""
        raise DatabaseError(f"dbt: {first['kind']} {first['name']}: {' '.join((first['message'] or first['status']).split())[:500]}{more}")
