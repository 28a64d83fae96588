"""`pnd demo`: the main job and all services, on a simulated world or, where sources are configured, on the real one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Generator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from typing import Annotated

import polars as pl
import sqlalchemy as sa
import typer

from pnd_dagster.cli.console import fail, print_table, progress, say
from pnd_dagster.cli.orchestration import first_day, run_main_job_with_progress, run_marts_with_progress
from pnd_dagster.cli.simulated_world import CHANGES_PER_SECOND, COINS, DAYS, SEED, SimulatedWorld, simulated_world
from pnd_dagster.cli.up import PND, log_folder
from pnd_dagster.settings import Settings, environment, settings
from pnd_dagster.storage import connect, read_frame
from pnd_dagster.tables import PUMP_EVENTS
from pnd_dagster.telegram.sessions import session_file

SAME_RELEASE = timedelta(hours=2)
COLLECT_SECONDS = 40
# What `pnd up` is given to end all it started.
ENDING_SECONDS = 90.0


def demo(
    exit_: Annotated[bool, typer.Option("--exit", help="End instead of serving the Dagster UI.")] = False,
) -> None:
    """Import messages, run the whole graph, then everything live: a pump is announced, watched, ranked, released, and told of."""
    # Ended either way, also in the background, it ends what it started.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    _refuse_taken_port(settings())
    if has_real_sources(settings()):
        configured = settings()
        say(f"sources: {_sources(configured)}")
        succeeded = _show_real(configured, exit_)
    else:
        say("no sources are configured: simulating channels, exchanges and vendors (all is made up, scores on it say nothing about skill)")
        with simulated_world(settings()) as world:
            succeeded = _show_simulated(world, exit_)
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


def _refuse_taken_port(configured: Settings) -> None:
    """Said before minutes of work, not after."""
    from pnd_dagster.automation.instance import refuse_taken_port

    refuse_taken_port("PND_UI_PORT", configured.ui_port)
    refuse_taken_port("PND_DASHBOARD_PORT", configured.dashboard_port)


def _show_real(configured: Settings, exit_: bool) -> bool:
    """Runs the main job, collects, serves; False if a step failed."""
    first = first_day() if configured.archives else _first_of(DAYS)
    succeeded, engine = _run_main_job(configured, first)
    print_table(_events(engine).tail(25), "Pump events found, the newest 25 (UTC)")
    with _everything_up(configured) as up:
        started_at = datetime.now(UTC)
        with progress() as bar:
            for _ in bar.track(range(COLLECT_SECONDS), description="collecting order books and trades"):
                time.sleep(1)
        _show_buckets(engine, started_at)
        engine.dispose()
        if not exit_:
            _serve(configured, up)
    return succeeded


def _show_simulated(world: SimulatedWorld, exit_: bool) -> bool:
    """Runs the main job, seeds history, plays a pump live, serves; False if a step or a part of the pump's story failed."""
    from pnd_dagster.cli.demo_story import play_story, show_alerts
    from pnd_dagster.cli.history_seed import seed_history

    configured = world.settings
    with _drawing_history() as history:
        succeeded, engine = _run_main_job(configured, _first_of(DAYS))
        print_table(_events(engine).tail(25), "Pump events found, the newest 25 (UTC)")
        _compare(world.truth, _events(engine))
        seeded = seed_history(engine, history.result(), datetime.now(UTC))
        say(f"three days of history were made up for {seeded} markets, so that the ranking has something to compare with")
    started_at = datetime.now(UTC)
    with _everything_up(configured) as up:
        pump_id = play_story(configured, engine, world)
        _show_buckets(engine, started_at)
        show_alerts(engine, started_at)
        engine.dispose()
        succeeded &= run_marts_with_progress(configured)
        if pump_id is not None:
            subprocess.run([*PND, "explain", pump_id], check=False)
            say(f"`pnd replay {pump_id}` plays it again")
        if not exit_:
            _serve(configured, up)
    return succeeded and pump_id is not None


def _run_main_job(configured: Settings, first: str) -> tuple[bool, sa.Engine]:
    """Runs the main job up to today; whether it succeeded, and an engine on its database."""
    # Said outright to all that follows: a PND_DATABASE_URL in .env must not lead a demo to the user's database.
    os.environ |= environment(configured)
    settings.cache_clear()
    succeeded = run_main_job_with_progress(configured, first, f"{datetime.now(UTC):%Y-%m-%d}")
    return succeeded, connect(configured)


@contextmanager
def _drawing_history() -> Generator[Future[pl.DataFrame]]:
    """The simulated markets' history, drawn beside the main job."""
    from pnd_dagster.cli.history_seed import draw_history

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield pool.submit(draw_history, COINS, CHANGES_PER_SECOND, SEED)


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
def _everything_up(configured: Settings) -> Generator[subprocess.Popen[bytes]]:
    """`pnd up` while the context lasts."""
    from pnd_dagster.services.supervise import end_group, launch

    logs = log_folder(configured)
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / "up.log").open("wb") as output:
        process = launch([*PND, "up"], output.fileno())
    try:
        yield process
    finally:
        end_group(process, ENDING_SECONDS)


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


def _serve(configured: Settings, up: subprocess.Popen[bytes]) -> None:
    """The Dagster UI until Ctrl-C, while everything goes on."""
    say(f"Dagster UI: http://127.0.0.1:{configured.ui_port}; dashboards: http://127.0.0.1:{configured.dashboard_port}")
    say(f"logs in {log_folder(configured)}; Ctrl-C ends all")
    try:
        up.wait()
        fail(f"`pnd up` ended by itself; see {log_folder(configured) / 'up.log'}")
    except KeyboardInterrupt:
        say("ending")
