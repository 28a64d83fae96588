"""The demo as a user starts it: the main job through Dagster, a table of events, and an end that stops what it started."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from pnd_dagster.storage import embedded

PND = Path(sys.executable).with_name("pnd")


def test_the_demo_runs_the_main_job_on_simulated_channels_and_stops_its_database(own_home: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PND_")} | {"PND_HOME": str(own_home)}
    done = subprocess.run([PND, "demo", "--exit"], capture_output=True, text=True, env=environment, cwd="/", check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = re.search(r"of (\d+) simulated pumps that were released .* (\d+) were found, (\d+) with the right exchange", done.stderr)
    assert found
    released, with_coin, with_exchange = map(int, found.groups())
    assert released >= 20
    assert with_coin >= with_exchange > released / 2
    assert "Pump events found" in done.stdout
    assert not embedded.is_running(own_home / "demo")
