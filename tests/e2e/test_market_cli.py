"""The market's commands as a user meets them: a picture of a coin's day, and one-line errors that name the setting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
import sqlalchemy as sa
from PIL import Image

from pnd_dagster import tables
from pnd_dagster.settings import Settings
from tests.unit.market.rows import NOON, book, commit, instrument, store

PND = Path(sys.executable).with_name("pnd")
Pnd = Callable[..., subprocess.CompletedProcess[str]]


def environment(settings: Settings | None = None, **variables: str) -> dict[str, str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("PND_")} | variables
    if settings is None:
        return bare
    assert settings.database_url
    return bare | {"PND_DATABASE_URL": settings.database_url.get_secret_value(), "PND_HOME": str(settings.home)}


@pytest.fixture
def collected(settings: Settings, engine: sa.Engine) -> Settings:
    store(engine, tables.INSTRUMENTS, instrument(1, base="ZYNE"))
    store(engine, tables.BUCKET_COMMITS, commit(NOON))
    store(engine, tables.ORDER_BOOK_METRICS, book(1, NOON, mid_price=1.5, bid_ask_spread=0.1, order_book_pressure=0.4))
    return settings


def test_a_coins_day_becomes_a_picture(pnd: Pnd, collected: Settings, tmp_path: Path) -> None:
    picture = tmp_path / "zyne.png"
    done = pnd("plot", "ZYNE", "--output", picture, settings=collected)
    assert done.returncode == 0, done.stderr
    assert "ZYNE/USDT" in done.stderr
    with Image.open(picture) as image:
        assert min(image.size) > 300


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("plot", "ZYN"), "ZYNE"), (("plot", "ZYNE", "--day", "2026-05-02"), "2026-05-03")],
    ids=["an unknown coin: the nearest", "a day without rows: those there are"],
)
def test_a_plot_of_what_is_not_there_says_what_there_is(pnd: Pnd, collected: Settings, arguments: tuple[str, ...], words: str) -> None:
    done = pnd(*arguments, settings=collected)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        (("collect", "--exchange", "nowhere"), {}, "PND_EXCHANGES"),
        (("collect", "--shard", "3/2"), {}, "is no shard"),
        (("collect", "--exchange", "xt"), {"PND_EXCHANGE_URL": "", "PND_EXCHANGES": "XT.com"}, "PND_EXCHANGES"),
        (("collect",), {"PND_METRICS_RETENTION_DAYS": "1"}, "PND_METRICS_RETENTION_DAYS"),
        (("simulate", "--pump", "kucoin"), {}, "EXCHANGE:BASE:SECONDS"),
    ],
)
def test_a_wrong_argument_or_setting_is_one_line_that_names_it(
    pnd: Pnd, settings: Settings, arguments: tuple[str, ...], variables: dict[str, str], words: str
) -> None:
    done = pnd(*arguments, settings=settings, **variables)
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_simulate_prints_settings_that_lead_to_running_exchanges_and_vendors() -> None:
    command = [PND, "simulate", "--port", "0", "--coins", "40", "--rate", "10"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment(), cwd="/") as server:
        try:
            assert server.stdout
            printed: dict[str, str] = {}
            while "PND_COINMARKETCAP_KEY" not in printed:
                line = server.stdout.readline()
                assert line, "pnd simulate ended"
                name, _, value = line.removeprefix("export ").strip().partition("=")
                printed[name] = value
            assert set(printed) >= {"PND_EXCHANGE_URL", "PND_LUNARCRUSH_KEY", "PND_COINMARKETCAP_URL"}
            assert "usdt" in requests.get(f"{printed['PND_EXCHANGE_URL']}/xt/v4/public/symbol", timeout=10).text
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(20)
