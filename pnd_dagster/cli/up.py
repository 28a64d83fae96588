"""`pnd up`: everything on this host, supervised."""

from __future__ import annotations

import fcntl
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from pnd_dagster.cli.console import ERR, say
from pnd_dagster.errors import DatabaseError, SettingError
from pnd_dagster.settings import Settings, settings
from pnd_dagster.storage import connect, database_url
from pnd_dagster.telegram.sessions import session_file

if TYPE_CHECKING:
    from pnd_dagster.services.supervise import Service, ServiceStatus

PND = (sys.executable, "-m", "pnd_dagster")
LOG_SECONDS = 30.0
_COLORS = {"running": "green", "starting": "blue", "ended": "dim"}
log = logging.getLogger(__name__)


def up() -> None:
    """Run everything on this host until Ctrl-C: database, Dagster, listener, collectors, alerts; each is restarted on its own."""
    from pnd_dagster.services.supervise import supervise
    from pnd_dagster.storage.engine import check_connection

    configured, stop = settings(), threading.Event()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with only_one(configured):
        # Once, so that the services do not all start and migrate it.
        connect(configured).dispose()
        url = database_url(configured)

        def is_base_up() -> bool:
            try:
                check_connection(url)
            except DatabaseError:
                return False
            return True

        services, left_out = services_of(configured)
        for reason in left_out:
            say(f"left out: {reason}")
        say(f"Dagster UI: http://127.0.0.1:{configured.ui_port}; dashboards: http://127.0.0.1:{configured.dashboard_port}")
        say(f"both take half a minute; logs in {log_folder(configured)}; Ctrl-C ends all")
        with _shown() as show:
            supervise(services, log_folder(configured), stop, is_base_up=is_base_up, on_status=show)
    say("all ended")


def services_of(configured: Settings) -> tuple[list[Service], list[str]]:
    """What runs with these settings, and what does not, with the reason. The database is up.

    Raises:
        SettingError: the port of the UI or of the dashboards is taken.
    """
    from pnd_dagster.automation.instance import prepare, refuse_taken_port, serve_command
    from pnd_dagster.services.supervise import Service

    refuse_taken_port("PND_DASHBOARD_PORT", configured.dashboard_port)
    services = [*base_services(configured), Service("dagster", serve_command(configured), prepare(configured))]
    services += [Service(name, [*PND, name]) for name in ("collect", "deliver", "detect", "dashboard")]
    left_out: list[str] = []
    if session_file(configured, "listen").exists() and configured.telegram_api_id is not None:
        services.append(Service("listen", [*PND, "listen"]))
    else:
        left_out.append("listen, for there is no Telegram session: set PND_TELEGRAM_API_ID and PND_TELEGRAM_API_HASH, then run `pnd login`")
    if not configured.exchanges:
        left_out.append("collect, detect: PND_EXCHANGES names none")
        services = [service for service in services if service.name not in ("collect", "detect")]
    return services, left_out


def base_services(configured: Settings) -> list[Service]:
    """The embedded server, where it is used."""
    from pnd_dagster.services.supervise import Service

    return [Service("postgres", [*PND, "db", "serve"], is_base=True)] if configured.database_url is None else []


def log_folder(configured: Settings) -> Path:
    """Where the services' logs are."""
    return configured.home / "logs"


@contextmanager
def only_one(configured: Settings) -> Generator[None]:
    """Holds this installation for one supervisor."""
    try:
        configured.home.mkdir(parents=True, exist_ok=True)
        lock = (configured.home / "up.lock").open("w")
    except OSError as error:
        raise SettingError(f"PND_HOME: cannot write to {configured.home}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingError(f"PND_HOME: another `pnd up` runs in {configured.home}") from None
        yield


@contextmanager
def _shown() -> Generator[Callable[[Sequence[ServiceStatus]], None]]:
    """Shows how the services are: a live table in a terminal, else a line when one changes, and now and then."""
    if not ERR.is_terminal:
        said: dict[str, tuple[str, float]] = {}

        def log_now_and_then(statuses: Sequence[ServiceStatus]) -> None:
            for status in statuses:
                state, at = said.get(status.name, ("", 0.0))
                if status.state != state or time.monotonic() - at >= LOG_SECONDS:
                    said[status.name] = (status.state, time.monotonic())
                    log.info("%s: %s, %d restarts; %s", status.name, status.state, status.restarts, status.last_line)

        yield log_now_and_then
        return

    from rich.live import Live
    from rich.logging import RichHandler

    logging.getLogger().handlers = [RichHandler(console=ERR, show_path=False)]
    with Live(console=ERR, refresh_per_second=2) as live:
        yield lambda statuses: live.update(_table(statuses))


def _table(statuses: Sequence[ServiceStatus]) -> Table:
    title = f"pnd up, {datetime.now(UTC):%H:%M:%S} UTC; Ctrl-C ends it"
    table = Table(title=title, title_justify="left", header_style="bold")
    for name in ("service", "state", "for", "process", "restarts"):
        table.add_column(name, justify="left" if name in ("service", "state") else "right", no_wrap=True)
    table.add_column("last said", no_wrap=True, overflow="ellipsis", ratio=1)
    for status in statuses:
        table.add_row(
            status.name,
            f"[{_COLORS.get(status.state, 'red')}]{status.state}[/]",
            f"{time.time() - status.since:,.0f} s",
            str(status.process_id or "-"),
            str(status.restarts),
            escape(status.last_line),
        )
    return table
