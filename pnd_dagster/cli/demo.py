"""`pnd demo`: the main job end to end, on simulated channels or, where sources are configured, on the real ones."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import polars as pl
import sqlalchemy as sa
import typer

from pnd_dagster.cli.console import print_table, say
from pnd_dagster.cli.orchestration import first_day, run_main_job_with_progress, ui
from pnd_dagster.settings import Settings, settings
from pnd_dagster.storage import connect, database_url, embedded, read_frame
from pnd_dagster.tables import PUMP_EVENTS
from pnd_dagster.telegram.sessions import session_file

DAYS = 60
SEED = 7
SAME_RELEASE = timedelta(hours=2)


def demo(
    exit_: Annotated[bool, typer.Option("--exit", help="End instead of serving the Dagster UI.")] = False,
) -> None:
    """Import messages, run the whole graph through Dagster, show the events found, serve the UI."""
    real = has_real_sources(settings())
    configured = settings() if real else _simulated(settings())
    now = datetime.now(UTC)
    first = f"{now - timedelta(days=DAYS):%Y-%m-%d}"
    if real:
        say(f"sources: {_sources(configured)}")
        if configured.archives:
            first = first_day()  # an archive may go back to the beginning
    succeeded = run_main_job_with_progress(configured, first, f"{now:%Y-%m-%d}")
    engine = connect(configured)
    print_table(_events(engine).tail(25), "Pump events found, the newest 25 (UTC)")
    if not real:
        _compare(configured.home / "simulated" / "truth.parquet", _events(engine))
    if not succeeded:
        raise typer.Exit(1)
    if exit_:
        engine.dispose()
        if not real:
            embedded.stop(configured.home)
        return
    os.environ["PND_HOME"] = str(configured.home)
    os.environ["PND_ARCHIVES"] = ":".join(map(str, configured.archives))
    if not real:
        # Said outright: a PND_DATABASE_URL in .env must not lead the demo's Dagster to the user's database.
        os.environ["PND_DATABASE_URL"] = database_url(configured)
        settings.cache_clear()
    ui()


def has_real_sources(configured: Settings) -> bool:
    """Whether archives are named, or a Telegram session exists."""
    return bool(configured.archives) or session_file(configured, "history").exists()


def _sources(configured: Settings) -> str:
    archives = [path.name for path in configured.archives]
    return ", ".join([*archives, *(["Telegram"] if session_file(configured, "history").exists() else [])])


def _simulated(configured: Settings) -> Settings:
    """Settings of the demo's own installation, apart from the user's: its home, its database, its archive."""
    from pnd_dagster.simulator.telegram_channels import simulate_channels, write_simulation

    home = configured.home / "demo"
    folder = home / "simulated"
    say("no sources are configured: simulating channels (all text is made up, scores on it say nothing about skill)")
    end_at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    if not (folder / "truth.parquet").exists():
        # Made once: a second demo imports the same messages and changes nothing.
        simulation = simulate_channels(seed=SEED, end_at=end_at, days=DAYS)
        write_simulation(simulation, folder)
        say(f"{simulation.messages.height} messages of {simulation.channels.height} channels, {simulation.events.height} pumps")
    return configured.model_copy(update={"home": home, "database_url": None, "archives": [folder / "archive.parquet"]})


def _events(engine: sa.Engine) -> pl.DataFrame:
    event = PUMP_EVENTS.c
    columns = (event.released_at, event.exchange, event.symbol, event.quote, event.channel_count.label("channels"), event.confidence)
    return read_frame(engine, sa.select(*columns).order_by(event.released_at))


def _compare(truth_file: Path, events: pl.DataFrame) -> None:
    released = pl.read_parquet(truth_file).filter(pl.col("released_at").is_not_null())
    pairs = released.join(events, on="symbol", suffix="_found").filter(
        (pl.col("released_at_found") - pl.col("released_at")).abs() <= SAME_RELEASE
    )
    found = pairs["event_number"].n_unique()
    with_exchange = pairs.filter(pl.col("exchange") == pl.col("exchange_found"))["event_number"].n_unique()
    in_images = released.filter(pl.col("is_image_reveal")).height
    say(
        f"of {released.height} simulated pumps that were released ({in_images} of them only as a picture, which is not read yet) "
        f"{found} were found, {with_exchange} with the right exchange; {events.height} events in all"
    )
