"""The Dagster UI comes up through `pnd ui`, serves the graph, and draws it in a real browser."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

PND = Path(sys.executable).with_name("pnd")
ASSETS = {"raw/telegram_channels", "raw/telegram_messages", "core/message_labels", "core/scheduled_pumps", "core/pump_events"}
ASSETS |= {"core/instruments", "raw/ohlcv_daily", "core/candidate_coins", "core/order_book_metrics", "core/metric_rollups"}


@pytest.fixture(scope="module")
def ui(own_home: Path) -> Iterator[str]:
    """Address of a UI on an installation of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"PND_HOME": str(own_home), "PND_UI_PORT": str(port)}
    server = subprocess.Popen([PND, "ui"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(180):
            try:
                if requests.get(f"{address}/server_info", timeout=5).ok:
                    break
            except requests.RequestException:
                assert server.poll() is None, "pnd ui ended"
                time.sleep(1)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGINT)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def ask(address: str, query: str) -> dict:
    answer = requests.post(f"{address}/graphql", json={"query": query}, timeout=60)
    answer.raise_for_status()
    return answer.json()["data"]


def test_the_ui_serves_the_graph_from_postgres_and_its_daemon_runs(ui: str) -> None:
    nodes = ask(ui, "{ assetNodes { assetKey { path } description hasAssetChecks } instance { info daemonHealth { id } } }")
    assert {"/".join(node["assetKey"]["path"]) for node in nodes["assetNodes"]} >= ASSETS
    assert "PostgresEventLogStorage" in nodes["instance"]["info"]
    for _ in range(60):
        health = ask(ui, "{ instance { daemonHealth { allDaemonStatuses { daemonType healthy required } } } }")
        daemons = {d["daemonType"]: d["healthy"] for d in health["instance"]["daemonHealth"]["allDaemonStatuses"] if d["required"]}
        if all(daemons.values()):
            break
        time.sleep(1)
    assert daemons["SENSOR"]
    assert daemons["SCHEDULER"]
    assert daemons["QUEUED_RUN_COORDINATOR"]


def test_the_lineage_page_draws_the_groups_in_a_browser(ui: str, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    flags += ["--disable-sync", "--no-first-run", "--window-size=1600,900", "--virtual-time-budget=30000", f"--user-data-dir={tmp_path}"]
    page = subprocess.run([chromium, *flags, "--dump-dom", f"{ui}/asset-groups"], capture_output=True, text=True, timeout=180, check=True)
    for group in ("telegram", "messages", "events", "market", "snapshots", "candidates"):
        assert f">{group}<" in page.stdout
