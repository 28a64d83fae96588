"""The demo's world: simulated channels, exchanges and vendors that know the same coins, and an installation of its own."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl
from pydantic import SecretStr

from pnd_dagster.cli.console import say
from pnd_dagster.settings import Settings
from pnd_dagster.storage import connect, database_url, embedded

DAYS = 60
SEED = 7
COINS = 250
CHANGES_PER_SECOND = 400.0


class SimulatedWorld(NamedTuple):
    """Settings that lead to the world, and the pumps that were played in it."""

    settings: Settings
    truth: pl.DataFrame


@contextmanager
def simulated_world(configured: Settings) -> Generator[SimulatedWorld]:
    """The world while the context lasts; its database is stopped afterwards. A second time the messages are the same."""
    from pnd_dagster.simulator.exchanges.process import serve_in_process
    from pnd_dagster.simulator.llm import LLM_KEY
    from pnd_dagster.simulator.vendors import VENDOR_KEY

    home = configured.home / "demo"
    folder = home / "simulated"
    own = configured.model_copy(update={"home": home, "database_url": None, "archives": [folder / "archive.parquet"]})
    truth = _channels(folder, own.media_dir)
    connect(own).dispose()
    try:
        with serve_in_process(coins=COINS, rate=CHANGES_PER_SECOND, seed=SEED, past_pumps=_past_pumps(truth)) as served:
            key = SecretStr(VENDOR_KEY)
            leading_there = {
                "database_url": SecretStr(database_url(own)),
                "exchange_url": served.url,
                "lunarcrush_url": f"{served.url}/lunarcrush",
                "lunarcrush_key": key,
                "coinmarketcap_url": f"{served.url}/coinmarketcap",
                "coinmarketcap_key": key,
                "coincodex_url": f"{served.url}/coincodex",
                "openai_url": f"{served.url}/v1",
                "openai_api_key": SecretStr(LLM_KEY),
            }
            yield SimulatedWorld(own.model_copy(update=leading_there), truth)
    finally:
        embedded.stop(home)


def _channels(folder: Path, media_dir: Path) -> pl.DataFrame:
    """Writes the channels' messages and their pictures, once; returns the pumps behind them."""
    from pnd_dagster.simulator.telegram_channels import simulate_channels, write_simulation

    end_at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    if not (folder / "truth.parquet").exists():
        simulation = simulate_channels(seed=SEED, end_at=end_at, days=DAYS)
        write_simulation(simulation, folder)
        shutil.copytree(folder / "images", media_dir, dirs_exist_ok=True)
        say(f"{simulation.messages.height} messages of {simulation.channels.height} channels, {simulation.events.height} pumps")
    return pl.read_parquet(folder / "truth.parquet")


def _past_pumps(truth: pl.DataFrame) -> list[tuple[str, str, datetime]]:
    """Exchange, coin and time of each release: the exchanges' candles show these pumps."""
    released = truth.filter(pl.col("released_at").is_not_null())
    return list(released.select("exchange", "symbol", "released_at").iter_rows())
