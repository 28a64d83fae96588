"""The demo's world: simulated channels, exchanges and vendors that know the same coins, and an installation of its own."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
from pydantic import SecretStr

from pnd_dagster.cli.console import say
from pnd_dagster.settings import Settings
from pnd_dagster.storage import connect, database_url, embedded

if TYPE_CHECKING:
    from pnd_dagster.simulator.exchanges.process import ServedExchanges
    from pnd_dagster.simulator.telegram.process import ServedTelegram

DAYS = 60
SEED = 7
COINS = 250
CHANGES_PER_SECOND = 400.0
# So that a pump that is announced and played within minutes has something to be watched for.
WATCH_LEAD_SECONDS = 60
CHANNEL_TITLE = "Lighthouse Live Pumps"


class SimulatedWorld(NamedTuple):
    """The world of a demo.

    Attributes:
        settings: lead to it.
        truth: the pumps that its archive of messages tells of.
        exchanges: the exchanges' process.
        telegram: Telegram's process.
        channel_id: the channel that posts live.
    """

    settings: Settings
    truth: pl.DataFrame
    exchanges: ServedExchanges
    telegram: ServedTelegram
    channel_id: int


@contextmanager
def simulated_world(configured: Settings) -> Generator[SimulatedWorld]:
    """The world while the context lasts; its database is stopped afterwards. A second time the messages are the same."""
    from pnd_dagster.simulator.exchanges.process import serve_in_process as serve_exchanges
    from pnd_dagster.simulator.llm import LLM_KEY
    from pnd_dagster.simulator.telegram.channels import ChannelInfo
    from pnd_dagster.simulator.telegram.process import serve_in_process as serve_telegram
    from pnd_dagster.simulator.vendors import VENDOR_KEY, VENDORS

    home = configured.home / "demo"
    folder = home / "simulated"
    own = configured.model_copy(update={"home": home, "database_url": None, "archives": [folder / "archive.parquet"]})
    truth = _channels(folder, own.media_dir)
    connect(own).dispose()
    # A channel of its own each time: what it posts is not kept by the Telegram of the next demo.
    channel_id = 1_000_000_000 + int(time.time()) % 1_000_000_000
    live = ChannelInfo(channel_id, CHANNEL_TITLE, f"lighthouse_{channel_id}")
    # Sessions lie outside of any repository, and this one is worth nothing afterwards.
    sessions = Path(tempfile.mkdtemp(prefix="pnd-demo-")) / "telegram.session"
    exchanges = serve_exchanges(coins=COINS, rate=CHANGES_PER_SECOND, seed=SEED, past_pumps=_past_pumps(truth))
    try:
        with exchanges as served, serve_telegram([live]) as channels:
            channels.make_sessions(sessions)
            leading_there = {
                "database_url": SecretStr(database_url(own)),
                "watch_lead_seconds": WATCH_LEAD_SECONDS,
                "telegram_api_id": 1,
                "telegram_api_hash": SecretStr("simulated"),
                "telegram_session_file": sessions,
                "exchange_url": served.url,
                **{f"{vendor}_url": f"{served.url}/{vendor}" for vendor in VENDORS},
                "lunarcrush_key": SecretStr(VENDOR_KEY),
                "coinmarketcap_key": SecretStr(VENDOR_KEY),
                "openai_url": f"{served.url}/v1",
                "openai_api_key": SecretStr(LLM_KEY),
            }
            yield SimulatedWorld(own.model_copy(update=leading_there), truth, served, channels, channel_id)
    finally:
        embedded.stop(home)
        shutil.rmtree(sessions.parent, ignore_errors=True)


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
