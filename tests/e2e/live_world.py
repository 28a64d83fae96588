"""A whole installation under `pnd up`, between simulated channels, simulated exchanges and a receiver of alerts."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.alerts.webhook import KEY, SIGNATURE, STAGE, TIMESTAMP, is_authentic
from pnd_dagster.cli.history_seed import draw_history, seed_history
from pnd_dagster.cli.readiness import missing_services
from pnd_dagster.cli.up import PND, log_folder
from pnd_dagster.errors import DatabaseError
from pnd_dagster.market.instruments import refresh_exchanges
from pnd_dagster.settings import Settings, environment, load_settings
from pnd_dagster.simulator.exchanges.process import ServedExchanges
from pnd_dagster.simulator.exchanges.process import serve_in_process as serve_exchanges
from pnd_dagster.simulator.telegram.channels import ChannelInfo
from pnd_dagster.simulator.telegram.process import ServedTelegram
from pnd_dagster.simulator.telegram.process import serve_in_process as serve_telegram
from pnd_dagster.storage import connect, embedded
from pnd_dagster.tables import LEASES, TELEGRAM_CHANNELS

SECRET = "what the receiver knows too"
COINS, RATE, SEED = 48, 150.0, 7
READY_SECONDS, ENDING_SECONDS = 180.0, 60.0
TAIL_LINES = 15
# As long as a sender waits for an answer.
HELD_SECONDS = 10.0


class Delivery(NamedTuple):
    """A request that the receiver got."""

    alert_id: str
    stage: str
    is_signed: bool
    body: dict[str, Any]


class Receiver:
    """Takes alerts by webhook; of one stage it may keep the sender waiting for an answer."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.is_holding = threading.Event()
        self._held_stage: str | None = None
        self._go_on = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.take(dict(self.headers), content)
                with contextlib.suppress(OSError):
                    self.send_response(204)
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/alerts"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def hold(self, stage: str) -> None:
        """The next alert of the stage is taken, and its sender left without an answer until `go_on`."""
        self._held_stage = stage

    def go_on(self) -> None:
        self._go_on.set()

    def take(self, headers: dict[str, str], content: bytes) -> None:
        is_signed = is_authentic(SECRET, headers[TIMESTAMP], headers[SIGNATURE], content)
        self.deliveries.append(Delivery(headers[KEY], headers[STAGE], is_signed, json.loads(content)))
        if headers[STAGE] == self._held_stage:
            self._held_stage = None
            self.is_holding.set()
            self._go_on.wait(HELD_SECONDS)

    def close(self) -> None:
        self._go_on.set()
        self._server.shutdown()
        self._server.server_close()


class SentLedger:
    """What the exchanges sent, as of when it is asked for."""

    def __init__(self, exchanges: ServedExchanges, folder: Path) -> None:
        self._exchanges, self._folder = exchanges, folder

    def books(self) -> pl.DataFrame:
        self._exchanges.control("write_ledger", folder=str(self._folder))
        return pl.read_parquet(self._folder / "books.parquet")

    def trades(self) -> pl.DataFrame:
        return pl.read_parquet(self._folder / "trades.parquet")


class LiveWorld:
    """The installation and what it is surrounded by.

    Attributes:
        settings: lead to it.
        engine: its database; made anew by itself after Postgres was killed.
        telegram, exchanges, receiver: the other sides.
        up: the supervisor; its exit code once all is ended.
        left: command lines of what the supervisor left behind, then.
    """

    def __init__(
        self, settings: Settings, engine: sa.Engine, telegram: ServedTelegram, exchanges: ServedExchanges, receiver: Receiver
    ) -> None:
        self.settings, self.engine = settings, engine
        self.telegram, self.exchanges, self.receiver = telegram, exchanges, receiver
        self.up = _start_up(settings)
        self.left: list[bytes] = []
        self._began_at = time.monotonic()
        self.timeline: list[str] = []

    def note(self, what: str) -> None:
        """Remembers when something happened, to be printed with a failure."""
        self.timeline.append(f"{time.monotonic() - self._began_at:6.1f} s  {datetime.now(UTC):%H:%M:%S}  {what}")

    def wait_until(self, what: str, is_so: Callable[[], object], seconds: float, log: str) -> None:
        """Waits; a database that is away is no answer. Fails with the tail of a service's log."""
        until, trouble = time.monotonic() + seconds, ""
        while True:
            try:
                if is_so():
                    self.note(what)
                    return
            except (DatabaseError, sa.exc.DBAPIError) as error:
                trouble = f"; the database: {str(error).splitlines()[0]}"
            if time.monotonic() > until:
                told = "\n".join([f"not within {seconds:.0f} s: {what}{trouble}", *self.timeline, f"--- {log}.log", *self.log_tail(log)])
                pytest.fail(told, pytrace=False)
            time.sleep(0.2)

    def log_tail(self, name: str) -> list[str]:
        path = log_folder(self.settings) / f"{name}.log"
        return path.read_text(errors="replace").splitlines()[-TAIL_LINES:] if path.exists() else []

    def rows(self, statement: sa.Select[Any]) -> list[sa.Row[Any]]:
        with self.engine.connect() as connection:
            return list(connection.execute(statement).all())

    def post(self, channel_id: int, text: str) -> int:
        return self.telegram.control("post", channel_id=channel_id, text=text)

    def command_of(self, *words: str) -> list[int]:
        """Processes of the installation whose command line has these words one after the other."""
        wanted = "\0".join(words).encode()
        return [process_id for process_id, command in processes_of(self.settings.home).items() if wanted in command]

    def service(self, name: str) -> int:
        """The process of a service that `pnd up` runs; of several (one forks) the first."""
        found = self.command_of("-m", "pnd_dagster", name)
        assert found, f"{name} does not run"
        return min(found)

    def collector(self, exchange: str) -> int:
        """The process that collects an exchange."""
        children = Path(f"/proc/{self.service('collect')}/task/{self.service('collect')}/children").read_text().split()
        spawned = [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
        return spawned[self.settings.exchanges.index(exchange)]

    def lease(self, name: str) -> tuple[int, int]:
        """Epoch of a lease, and the process that holds it where its holder's name tells (0 otherwise)."""
        (row,) = self.rows(sa.select(LEASES.c.epoch, LEASES.c.holder).where(LEASES.c.name == name))
        parts = row.holder.split(":")
        return row.epoch, int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0

    def kill(self, what: str, process_id: int) -> None:
        self.note(f"SIGKILL: {what} ({process_id})")
        os.kill(process_id, signal.SIGKILL)

    def postmaster(self) -> int:
        """Postgres' first process."""
        return int((self.settings.home / "postgres" / "data" / "postmaster.pid").read_text().split("\n", 1)[0])

    def end(self) -> None:
        """Tells the supervisor to end, and ends by force what is left then."""
        self.note("all is told to end")
        self.up.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.up.wait(ENDING_SECONDS)
        found = processes_of(self.settings.home)
        self.left = [*found.values(), *([b"postgres"] if embedded.is_running(self.settings.home) else [])]
        for process_id in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGKILL)
        self.up.wait()
        embedded.stop(self.settings.home)
        self.note("all has ended")


@contextmanager
def live_world(home: Path, folder: Path, exchanges: Sequence[str], channels: Sequence[ChannelInfo]) -> Generator[LiveWorld]:
    """Everything at work; ended afterwards, by force what does not end by itself."""
    receiver = Receiver()
    sessions = folder / "telegram.session"
    with (
        contextlib.closing(receiver),
        serve_exchanges(coins=COINS, rate=RATE, seed=SEED) as served,
        serve_telegram(channels) as telegram,
    ):
        telegram.make_sessions(sessions)
        settings = load_settings(
            home=home,
            ui_port=_free_port(),
            dashboard_port=_free_port(),
            exchanges=",".join(exchanges),
            exchange_url=served.url,
            watch_lead_seconds=60,
            telegram_api_id=1,
            telegram_api_hash="any text",
            telegram_session_file=sessions,
            alert_webhook_url=receiver.url,
            alert_webhook_secret=SECRET,
        )
        # By the command, not by this process, whose servers need not survive a crash: of this one nothing that is committed may be lost.
        subprocess.run([*PND, "db", "start"], env=_variables(settings), cwd="/", check=True, capture_output=True)
        engine = connect(settings)
        _follow(engine, channels)
        now = datetime.now(UTC)
        refresh_exchanges(engine, settings, now)
        world = LiveWorld(settings, engine, telegram, served, receiver)
        try:
            seed_history(engine, draw_history(COINS, RATE, SEED), now)
            world.wait_until(f"all is at work on {home}", lambda: not missing_services(settings, engine), READY_SECONDS, "up")
            yield world
        finally:
            world.end()


def processes_of(home: Path) -> dict[int, bytes]:
    """Command line by process of all whose environment names an installation's folder, but this one."""
    found: dict[int, bytes] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"PND_HOME={home}".encode() in (folder / "environ").read_bytes().split(b"\0") and int(folder.name) != os.getpid():
                found[int(folder.name)] = (folder / "cmdline").read_bytes()
    return found


def _start_up(settings: Settings) -> subprocess.Popen[bytes]:
    folder = log_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "up.log").open("ab") as log:
        return subprocess.Popen([*PND, "up"], env=_variables(settings), stdout=log, stderr=log, cwd="/", start_new_session=True)


def _variables(settings: Settings) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PND_")} | environment(settings)


def _follow(engine: sa.Engine, channels: Sequence[ChannelInfo]) -> None:
    """As a human's `pnd channels validate` would."""
    now = datetime.now(UTC)
    common = {"found_via": "simulated", "status": "validated", "is_vanished": False, "discovered_at": now, "decided_at": now}
    rows = [{"channel_id": it.channel_id, "title": it.title, "username": it.username, **common} for it in channels]
    with engine.begin() as connection:
        connection.execute(sa.insert(TELEGRAM_CHANNELS), rows)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
