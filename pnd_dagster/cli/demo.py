"""`pnd demo`: the main job and the collectors, on a simulated world or, where sources are configured, on the real one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated

import polars as pl
import sqlalchemy as sa
import typer

from pnd_dagster.cli.console import print_table, progress, say
from pnd_dagster.cli.orchestration import first_day, run_main_job_with_progress
from pnd_dagster.cli.simulated_world import DAYS, SimulatedWorld, simulated_world
from pnd_dagster.settings import Settings, environment, settings
from pnd_dagster.storage import connect, read_frame
from pnd_dagster.tables import PUMP_EVENTS
from pnd_dagster.telegram.sessions import session_file

SAME_RELEASE = timedelta(hours=2)
COLLECT_SECONDS = 40
# What collectors are given to write what they hold.
ENDING_SECONDS = 40


def demo(
    exit_: Annotated[bool, typer.Option("--exit", help="End instead of serving the Dagster UI.")] = False,
) -> None:
    """Import messages, run the whole graph through Dagster, collect order books and trades, show what was found, serve the UI."""
    # Ended either way, also in the background, it ends what it started.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    if has_real_sources(settings()):
        configured = settings()
        say(f"sources: {_sources(configured)}")
        succeeded = _show(configured, exit_, first=first_day() if configured.archives else _first_of(DAYS))
    else:
        say("no sources are configured: simulating channels, exchanges and vendors (all is made up, scores on it say nothing about skill)")
        with simulated_world(settings()) as world:
            succeeded = _show(world.settings, exit_, first=_first_of(DAYS), world=world)
    if not succeeded:
        raise typer.Exit(1)


def has_real_sources(configured: Settings) -> bool:
    """Whether archives are named, or a Telegram session exists."""
    return bool(configured.archives) or session_file(configured, "history").exists()


def _sources(configured: Settings) -> str:
    archives = [path.name for path in configured.archives]
    return ", ".join([*archives, *(["Telegram"] if session_file(configured, "history").exists() else []), *configured.exchanges])


def _first_of(days: int) -> str:
    """The day so many days ago; an archive may go back further."""
    return f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%d}"


def _show(configured: Settings, exit_: bool, *, first: str, world: SimulatedWorld | None = None) -> bool:
    """Runs the main job, collects, serves; False if a step failed."""
    # Said outright to all that follows: a PND_DATABASE_URL in .env must not lead a demo to the user's database.
    os.environ |= environment(configured)
    settings.cache_clear()
    succeeded = run_main_job_with_progress(configured, first, f"{datetime.now(UTC):%Y-%m-%d}")
    engine = connect(configured)
    print_table(_events(engine).tail(25), "Pump events found, the newest 25 (UTC)")
    if world is not None:
        _compare(world.truth, _events(engine))
    with _collecting():
        started_at = datetime.now(UTC)
        with progress() as bar:
            for _ in bar.track(range(COLLECT_SECONDS), description="collecting order books and trades"):
                time.sleep(1)
        _show_buckets(engine, started_at)
        engine.dispose()
        if not exit_:
            _serve(configured)
    return succeeded


def _events(engine: sa.Engine) -> pl.DataFrame:
    event = PUMP_EVENTS.c
    columns = (event.released_at, event.exchange, event.symbol, event.quote, event.channel_count.label("channels"), event.confidence)
    return read_frame(engine, sa.select(*columns).order_by(event.released_at))


def _compare(truth: pl.DataFrame, events: pl.DataFrame) -> None:
    released = truth.filter(pl.col("released_at").is_not_null())
    pairs = released.join(events, on="symbol", suffix="_found").filter(
        (pl.col("released_at_found") - pl.col("released_at")).abs() <= SAME_RELEASE
    )
    found = pairs["event_number"].n_unique()
    with_exchange = pairs.filter(pl.col("exchange") == pl.col("exchange_found"))["event_number"].n_unique()
    in_images = released.filter(pl.col("is_image_reveal")).height
    say(
        f"of {released.height} simulated pumps that were released ({in_images} of them only as a picture) "
        f"{found} were found, {with_exchange} with the right exchange; {events.height} events in all"
    )


@contextmanager
def _collecting() -> Generator[None]:
    """Collectors of all exchanges, in processes of their own, while the context lasts."""
    command = [sys.executable, "-m", "pnd_dagster", "collect", "--exchange", "all"]
    collectors = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        _end(collectors)


def _show_buckets(engine: sa.Engine, since: datetime) -> None:
    from pnd_dagster.market.summaries import buckets_per_hour

    now = datetime.now(UTC)
    hours = buckets_per_hour(engine, (since, now + timedelta(seconds=1)))
    totals = hours.group_by("exchange").agg(
        pl.col("watched").max(),
        pl.col("buckets").sum(),
        pl.col("book_rows").sum().alias("books"),
        pl.col("trade_rows").sum().alias("trades"),
        pl.col("lag_p50_seconds").max().alias("lag p50, s"),
        pl.col("lag_p99_seconds").max().alias("p99, s"),
    )
    print_table(totals.sort("exchange"), f"Order books and trades in metrics every 5 s, collected in {(now - since).total_seconds():.0f} s")


def _serve(configured: Settings) -> None:
    """The Dagster UI until Ctrl-C, while the collectors go on."""
    from pnd_dagster.automation.instance import prepare, serve_command

    command = serve_command(configured)
    say(f"Dagster UI: http://127.0.0.1:{configured.ui_port} (it takes half a minute to come up; Ctrl-C ends it, and the collectors)")
    server = subprocess.Popen(command, env=os.environ | prepare(configured))
    try:
        server.wait()
    except KeyboardInterrupt:
        say("ending")
    finally:
        _end(server)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
