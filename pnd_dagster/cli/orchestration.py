"""`pnd run`, `pnd ui`, `pnd exec`: the graph from the terminal, Dagster's pages and programs."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import polars as pl
import typer

from pnd_dagster.cli.console import fail, print_table, progress, say
from pnd_dagster.errors import SettingError
from pnd_dagster.settings import Settings, settings
from pnd_dagster.storage import connect, count_rows
from pnd_dagster.tables import (
    CANDIDATE_COINS,
    COIN_LINKS,
    COINCODEX_DAILY,
    COINMARKETCAP_SNAPSHOTS,
    DEAD_LETTERS,
    INSTRUMENTS,
    LUNARCRUSH_SNAPSHOTS,
    MESSAGE_LABELS,
    OHLCV_DAILY,
    PUMP_ANNOUNCEMENTS,
    PUMP_EVENTS,
    SCHEDULED_PUMPS,
    TELEGRAM_CHANNELS,
    TELEGRAM_MESSAGES,
)

if TYPE_CHECKING:
    from pnd_dagster.automation.runs import OnEvent, RunOutcome

REPORTED = (
    *(TELEGRAM_CHANNELS, TELEGRAM_MESSAGES, MESSAGE_LABELS, PUMP_ANNOUNCEMENTS, SCHEDULED_PUMPS, PUMP_EVENTS),
    *(INSTRUMENTS, LUNARCRUSH_SNAPSHOTS, COINMARKETCAP_SNAPSHOTS, COIN_LINKS, OHLCV_DAILY, COINCODEX_DAILY, CANDIDATE_COINS),
    DEAD_LETTERS,
)
Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"])]


def run(from_: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day.")] = None, to: Day = None) -> None:
    """Run the main job for a span of days: messages to events, markets to candidates, marts. The Dagster UI shows the runs."""
    from pnd_dagster.automation.partitions import DAILY

    keys = DAILY.get_partition_keys()
    first = from_.strftime("%Y-%m-%d") if from_ else keys[0]
    last = to.strftime("%Y-%m-%d") if to else datetime.now(UTC).strftime("%Y-%m-%d")
    if not keys[0] <= first <= last <= keys[-1]:
        raise SettingError(f"--from, --to: need {keys[0]} <= {first} <= {last} <= {keys[-1]}")
    succeeded = run_main_job_with_progress(settings(), first, last)
    engine = connect(settings())
    counts = {f"{table.schema}.{table.name}": count_rows(engine, table) for table in REPORTED}
    print_table(pl.DataFrame({"table": list(counts), "rows": list(counts.values())}), f"After the days {first} to {last}")
    if not succeeded:
        raise typer.Exit(1)


def first_day() -> str:
    """The first day the graph has a partition for."""
    from pnd_dagster.automation.partitions import DAILY

    return DAILY.get_partition_keys()[0]


def run_main_job_with_progress(configured: Settings, first: str, last: str) -> bool:
    """Runs the main job, shows its steps, says what failed. True if all steps succeeded."""
    from pnd_dagster.automation.runs import run_main_job

    return _with_progress("main job", lambda on_event: run_main_job(configured, first, last, on_event=on_event))


def run_marts_with_progress(configured: Settings) -> bool:
    """Builds the marts anew, the last part of the main job."""
    from pnd_dagster.automation.runs import run_marts

    return _with_progress("marts", lambda on_event: run_marts(configured, on_event=on_event))


def _with_progress(title: str, run: Callable[[OnEvent], RunOutcome]) -> bool:
    # dbt's own lines are in its log, in PND_HOME/dbt.
    with progress() as bar, contextlib.redirect_stdout(io.StringIO()):
        task = bar.add_task(title, total=None)
        outcome = run(lambda step, word: bar.update(task, description=f"{step} {word}"))
    for step, reason in outcome.failed_steps.items():
        fail(f"{step}: {reason}")
    for check in outcome.failed_checks:
        say(f"[yellow]check failed:[/] {check}")
    return not outcome.failed_steps


def ui() -> None:
    """Serve the Dagster UI, its daemon and the graph on 127.0.0.1 until Ctrl-C."""
    from pnd_dagster.automation.instance import prepare, serve_command

    command = serve_command(settings())
    environment = os.environ | prepare(settings())
    say(f"Dagster UI: http://127.0.0.1:{settings().ui_port} (it takes half a minute to come up; Ctrl-C ends it)")
    os.execvpe(command[0], command, environment)  # noqa: S606


def exec_(context: typer.Context) -> None:
    """Run a program with this installation's variables for Dagster, e.g. `pnd exec dagster asset list -m pnd_dagster.definitions`."""
    from pnd_dagster.automation.instance import prepare

    if not context.args or context.args[0] in ("-h", "--help"):
        typer.echo(context.get_help())
        return
    program, *arguments = context.args
    beside_python = Path(sys.executable).with_name(program)
    found = str(beside_python) if beside_python.exists() else shutil.which(program)
    if found is None:
        raise SettingError(f"there is no program {program}")
    os.execvpe(found, [found, *arguments], os.environ | prepare(settings()))  # noqa: S606
