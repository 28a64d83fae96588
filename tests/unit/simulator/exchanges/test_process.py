"""The simulated exchanges in a process of their own, and `pnd simulate`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pnd_dagster.cli import app
from pnd_dagster.errors import SettingError
from pnd_dagster.simulator.exchanges.process import serve_in_process

COMMAND = "from pnd_dagster.cli import main; main()"


def get(address: str) -> Any:
    """JSON of an address."""
    with urllib.request.urlopen(address, timeout=20) as answer:  # noqa: S310
        return json.load(answer)


def is_alive(process_id: int) -> bool:
    """Whether a process runs, and is no zombie."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_child_process_serves_exchanges_and_vendors_and_takes_commands_until_the_context_ends(tmp_path: Path) -> None:
    released_at = datetime.now(UTC) - timedelta(days=3)
    with serve_in_process(coins=40, rate=50, past_pumps=[("kucoin", "VIA", released_at)]) as served:
        assert get(f"{served.url}/kucoin/api/v1/timestamp")["data"]
        assert len(get(f"{served.url}/coincodex/apps/coincodex/cache/all_coins.json")) > 10
        candles = get(f"{served.url}/kucoin/api/v1/market/candles?symbol=VIA-USDT&type=1day")["data"]
        volumes = {datetime.fromtimestamp(int(row[0]), UTC).date(): float(row[6]) for row in candles[:14]}
        assert max(volumes, key=lambda day: volumes[day]) == released_at.date()
        served.control("write_ledger", folder=str(tmp_path / "ledger"))
        assert (tmp_path / "ledger" / "faults.parquet").exists()
        with pytest.raises(ValueError, match="no such market"):
            served.control("drop", exchange="xt", base="NONE")
        assert set(served.status()) == {"changes", "sent", "connections"}
        assert is_alive(served.process_id)
    assert not is_alive(served.process_id)


def test_the_child_ends_with_a_parent_that_is_killed() -> None:
    code = (
        "import sys, time\nfrom pnd_dagster.simulator.exchanges.process import serve_in_process\n"
        "with serve_in_process(coins=40, rate=1) as served:\n    print(served.process_id, flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.kill()
    until = time.monotonic() + 10
    while is_alive(child):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_pnd_simulate_prints_the_settings_serves_and_ends_by_ctrl_c() -> None:
    command = [sys.executable, "-c", COMMAND, "simulate", "--port", "0", "--coins", "40", "--rate", "50", "--pump", "kucoin:VIA:60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            lines = [running.stdout.readline().strip() for _ in range(6)]
            settings = dict(line.removeprefix("export ").split("=", 1) for line in lines)
            assert get(f"{settings['PND_EXCHANGE_URL']}/xt/v4/public/time")["mc"] == "SUCCESS"
            assert settings["PND_COINMARKETCAP_URL"] == settings["PND_EXCHANGE_URL"] + "/coinmarketcap"
            os.kill(running.pid, signal.SIGINT)
            assert running.wait(15) == 130
        finally:
            running.kill()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--pump", "kucoin:VIA"], "EXCHANGE:BASE:SECONDS"),
        (["--pump", "kucoin:NONE:60"], "there is no such market"),
        (["--pump", "kucoin:VIA:-1"], "EXCHANGE:BASE:SECONDS"),
    ],
)
def test_pnd_simulate_says_what_is_wrong_with_a_pump(arguments: list[str], words: str) -> None:
    failed = CliRunner().invoke(app, ["simulate", "--port", "0", "--coins", "40", *arguments]).exception
    assert isinstance(failed, SettingError)
    assert words in str(failed)
    assert "\n" not in str(failed)
