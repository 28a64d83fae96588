"""The image's steps in a clean directory, and each container's command with what they made; no engine is needed.

Postgres and the exchanges are the embedded and the simulated ones; addresses and ports are replaced, nothing else.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from pnd_dagster.market.instruments import refresh_exchanges
from pnd_dagster.settings import load_settings
from pnd_dagster.simulator.exchanges.process import serve_in_process
from pnd_dagster.storage import connect, embedded

pytestmark = pytest.mark.skipif(
    "PND_TEST_SOAK" not in os.environ, reason="installs everything anew and starts a dozen processes: `make soak-image` runs it"
)

TOP = Path(__file__).parents[2]
FOLDERS = ("/opt/pnd", "/src", "/var/lib/pnd")
HEALTHY_SECONDS = 150.0


class Image:
    """What the Dockerfile's instructions make, under a folder in place of the root."""

    def __init__(self, root: Path) -> None:
        self.root, self.variables, self.folder = root, {"PATH": f"{root}/usr/bin:/usr/bin:/bin"}, root
        (root / "usr/bin").mkdir(parents=True)
        for name in ("python", "python3"):
            (root / "usr/bin" / name).symlink_to(Path(sys.base_prefix) / "bin" / "python3")

    def here(self, text: str) -> str:
        """A text of the Dockerfile or of the composition, for this root."""
        return re.sub("|".join(FOLDERS), lambda found: f"{self.root}{found[0]}", text)

    def build(self) -> None:
        """Follows every instruction; both stages share the root."""
        text = (TOP / "docker/Dockerfile").read_text().replace("\\\n", " ")
        for line in text.splitlines():
            word, _, rest = line.partition(" ")
            if word == "WORKDIR":
                self.folder = Path(self.here(rest))
                self.folder.mkdir(parents=True, exist_ok=True)
            elif word == "ENV":
                for pair in shlex.split(rest):
                    name, _, value = pair.partition("=")
                    self.variables[name] = self.here(value).replace("$PATH", self.variables["PATH"])
            elif word == "COPY" and "--from=" not in rest:
                self._copy(*rest.split())
            elif word == "RUN":
                subprocess.run(["sh", "-ec", self.here(rest)], cwd=self.folder, env=self._environment(), check=True)

    def _environment(self) -> dict[str, str]:
        # How this machine reaches its registry, and nothing of the checkout's own environment.
        ours = ("PND_", "DAGSTER_", "DBT_", "PYTHON", "VIRTUAL_ENV")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return kept | self.variables

    def _copy(self, *paths: str) -> None:
        *sources, target = paths
        into = self.folder / self.here(target)
        for source in sources:
            if (TOP / source).is_dir():
                shutil.copytree(TOP / source, into, ignore=_ignored)
            else:
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(TOP / source, into)

    def run(self, command: list[str], variables: dict[str, str], **options: Any) -> subprocess.Popen[bytes]:
        """Starts a container's command."""
        environment = self._environment() | variables
        program = shutil.which(command[0], path=environment["PATH"])
        assert program is not None, command
        return subprocess.Popen([program, *command[1:]], cwd=self.folder, env=environment, start_new_session=True, **options)


def _ignored(folder: str, names: list[str]) -> list[str]:
    lines = (TOP / "docker/Dockerfile.dockerignore").read_text().splitlines()
    patterns = [line for line in lines if not line.startswith("!") and line != "*"]
    within = Path(folder).relative_to(TOP)
    return [name for name in names if any(fnmatch.fnmatch(str(within / name), pattern.replace("**/", "*")) for pattern in patterns)]


@pytest.fixture
def image(tmp_path: Path) -> Image:
    made = Image(tmp_path / "root")
    made.build()
    return made


@pytest.fixture
def ended() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_every_container_gets_healthy_on_what_the_image_holds(
    image: Image, own_home: Path, tmp_path: Path, ended: list[subprocess.Popen[bytes]]
) -> None:
    database = embedded.start(own_home).url("pnd")
    with serve_in_process(coins=30, rate=300.0, seed=1) as exchanges:
        services = _on_this_host(image, database)
        # There is no Telegram to log in to.
        del services["postgres"], services["listen"]
        migrated = _start(image, services.pop("migrate"), tmp_path / "migrate", exchanges.url)
        assert migrated.wait(120) == 0, (tmp_path / "migrate").read_text()
        # As the job `coins` does every night.
        settings = load_settings(database_url=database, exchange_url=exchanges.url, home=own_home)
        refresh_exchanges(connect(settings), settings, datetime.now(UTC))
        for name, service in services.items():
            ended.append(_start(image, service, tmp_path / name, exchanges.url))
        waiting, until = dict(services), time.monotonic() + HEALTHY_SECONDS
        while waiting and time.monotonic() < until:
            for name, service in list(waiting.items()):
                test = _start(image, service | {"command": service["healthcheck"]["test"][1:]}, tmp_path / f"{name} health", exchanges.url)
                if test.wait(60) == 0:
                    del waiting[name]
        said = {name: (tmp_path / name).read_text()[-2000:] + (tmp_path / f"{name} health").read_text()[-500:] for name in waiting}
        assert not waiting, "\n\n".join(f"{name}: {text}" for name, text in said.items())


def _start(image: Image, service: dict[str, Any], log: Path, exchange_url: str) -> subprocess.Popen[bytes]:
    with log.open("ab") as into:
        return image.run(service["command"], service["environment"] | {"PND_EXCHANGE_URL": exchange_url}, stdout=into, stderr=into)


def _on_this_host(image: Image, database: str) -> dict[str, Any]:
    """The services, with addresses of this host in place of those between containers."""
    text = (TOP / "docker/compose.yaml").read_text()
    text = re.sub(r"postgresql://pnd:\$\{[^}]*\}@postgres:5432/pnd", database, text).replace("0.0.0.0", "127.0.0.1")  # noqa: S104
    with _free_ports(3) as ports:
        for port, free in zip((3000, 4000, 8050), ports, strict=True):
            text = re.sub(rf"\b{port}\b", str(free), text)
            workspace = image.root / "opt/pnd/workspace.yaml"
            workspace.write_text(workspace.read_text().replace("host: code", "host: 127.0.0.1").replace(f"port: {port}", f"port: {free}"))
    return yaml.safe_load(image.here(text))["services"]


@contextlib.contextmanager
def _free_ports(count: int) -> Generator[list[int]]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        yield [probe.getsockname()[1] for probe in probes]
