"""`pnd watch`: times as people write them, and the table they see."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa
from rich.console import Console
from typer.testing import CliRunner

from pnd_dagster.cli import app
from pnd_dagster.cli.watch import countdown, parse_time, ranking_table
from pnd_dagster.errors import SettingError
from pnd_dagster.ranking.ranking import Ranking
from pnd_dagster.ranking.rules import DEFAULT
from pnd_dagster.services.watch_market import RankedTick
from pnd_dagster.settings import Settings, environment
from pnd_dagster.storage import read_frame, upsert
from pnd_dagster.tables import INSTRUMENTS, WATCHES

NOW = datetime(2026, 3, 6, 16, 50, tzinfo=UTC)


def test_a_time_of_day_is_the_next_such_moment_and_the_start_of_a_pump_that_began_just_now() -> None:
    assert parse_time("17:00", NOW) == datetime(2026, 3, 6, 17, 0, tzinfo=UTC)
    assert parse_time("16:49", NOW) == datetime(2026, 3, 6, 16, 49, tzinfo=UTC)
    assert parse_time("9:30", NOW) == datetime(2026, 3, 7, 9, 30, tzinfo=UTC)


def test_an_iso_time_is_utc_unless_it_names_a_zone() -> None:
    assert parse_time("2026-03-06T17:00", NOW) == parse_time("2026-03-06T19:00+02:00", NOW) == datetime(2026, 3, 6, 17, 0, tzinfo=UTC)


@pytest.mark.parametrize("text", ["25:00", "soon", "2026-03-06T16:00Z", ""])
def test_a_time_that_is_none_or_past_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="--at"):
        parse_time(text, NOW)


def test_the_countdown_says_which_side_of_the_start_it_is() -> None:
    assert [countdown(seconds) for seconds in (65, 0, -120)] == ["T - 1:05", "T - 0:00", "T + 2:00"]


def ranked(scores: list[float], ranks: list[float]) -> RankedTick:
    z = np.full((3, len(DEFAULT.columns)), np.nan)
    z[1, DEFAULT.columns.index(DEFAULT.columns[0])] = 9.2
    ranking = Ranking(np.array([1, 2, 3]), np.array(scores), np.array(ranks), np.array([True, True, False]), z)
    return RankedTick("kucoin", NOW, 600.0, ranking, ["ABC/USDT", "[red]X/USDT", "NEW/USDT"], DEFAULT)


def test_the_table_shows_rank_its_change_score_and_the_reason_in_words() -> None:
    table = ranking_table(ranked([0.5, 1.2, 0.0], [2, 1, 3]), ranked([1.2, 0.5, 0.0], [1, 2, 3]), NOW + timedelta(seconds=1))
    console = Console(width=150, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123 - what rich wants
    console.print(table)
    lines = console.export_text().splitlines()

    assert "kucoin at 16:50:00 UTC, T - 10:00; 2 of 3 candidates known; rule default; 1.0 s behind" in lines[0]
    rows = [re.sub(r"[│┃\s]+", " ", line).strip() for line in lines if "USDT" in line]
    assert rows[0] == "1 +1 [red]X/USDT 1.20 volume over 1 min 9.2 deviations above the last three days"
    assert rows[1].startswith("2 -1 ABC/USDT 0.50 nothing stands out")
    assert rows[2] == "3 NEW/USDT 0.00 no history, or out of sight: neutral"


def test_it_says_what_it_needs() -> None:
    failed = CliRunner().invoke(app, ["watch", "--exchange", "kucoin"]).exception
    assert isinstance(failed, SettingError)
    assert "say which: --exchange NAME --at TIME, or --pump ID" in str(failed)


def test_interrupted_it_ends_cleanly(engine: sa.Engine, settings: Settings) -> None:
    listed = {
        **dict.fromkeys(("market_id", "base_symbol", "base_id"), "ABC"),
        **dict.fromkeys(("quote_symbol", "quote_id"), "USDT"),
        "instrument_id": 1,
        "exchange": "kucoin",
        "symbol": "ABC/USDT",
        "is_derivative": False,
        "valid_from": NOW,
    }
    upsert(engine, INSTRUMENTS, pl.DataFrame([listed]))
    at = f"{datetime.now(UTC) + timedelta(minutes=30):%Y-%m-%dT%H:%M}Z"
    command = [sys.executable, "-m", "pnd_dagster", "watch", "--exchange", "kucoin", "--at", at]
    with subprocess.Popen(command, env=os.environ | environment(settings), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "watching kucoin" in process.stderr.readline()
        until = datetime.now(UTC) + timedelta(seconds=30)
        while read_frame(engine, sa.select(WATCHES.c.state)).is_empty() and datetime.now(UTC) < until:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()

    assert process.returncode == 0
    assert "over: ended by hand; 0 rankings" in told
    assert read_frame(engine, sa.select(WATCHES.c.state, WATCHES.c.detail)).row(0) == ("over", "ended by hand")
