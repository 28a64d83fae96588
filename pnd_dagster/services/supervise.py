"""`pnd up`: long-running commands on one host, each a child process that is restarted on its own.

A child is told to end when its supervisor is gone, however that went, and whatever it leaves behind is ended with it: each is the leader
of a session of its own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

LARGEST_LOG = 5_000_000
_TAIL_BYTES = 4096
# What a child that ended leaves behind is given to end, too.
_SWEEP_SECONDS = 3.0
# Becomes the command, after asking the kernel for a SIGTERM at the supervisor's end; in between the supervisor may have gone already.
_LAUNCH = """
import os, signal, sys, ctypes
prctl = getattr(ctypes.CDLL(None), "prctl", None)
if prctl is not None:
    prctl(1, signal.SIGTERM)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""
STARTING, RUNNING, WAITING, LEFT, ENDED = "starting", "running", "restarting", "given up", "ended"
log = logging.getLogger(__name__)


class Service(NamedTuple):
    """A command to keep running.

    Attributes:
        name: what it is called, also of its log file.
        command: program and arguments.
        environment: variables beside those of the supervisor.
        is_base: the others need it: it is started before them and ended after them.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = {}
    is_base: bool = False


class ServiceStatus(NamedTuple):
    """How a service is.

    Attributes:
        name: of the service.
        state: starting, running, restarting, given up, ended.
        process_id: of the child, None while there is none.
        since: when it came into this state, Unix seconds.
        restarts: how often it was started again.
        last_line: the last line of its log.
    """

    name: str
    state: str
    process_id: int | None
    since: float
    restarts: int
    last_line: str


class Pace(NamedTuple):
    """How quickly a supervisor does what it does, in seconds.

    A child that lived for `settled` seconds is running; one that ends with exit code 1 before, `attempts` times in a row although its
    base is up, has an error that another start does not cure.
    """

    look: float = 0.5
    first_backoff: float = 1.0
    longest_backoff: float = 60.0
    settled: float = 20.0
    ending: float = 40.0
    attempts: int = 4


@dataclass
class _Child:
    service: Service
    log_file: Path
    process: subprocess.Popen[bytes] | None = None
    state: str = STARTING
    since: float = field(default_factory=time.time)
    started_at: float = 0.0
    due_at: float = 0.0
    failures: int = 0
    wrong: int = 0
    restarts: int = -1

    def status(self) -> ServiceStatus:
        pid = self.process.pid if self.process else None
        return ServiceStatus(self.service.name, self.state, pid, self.since, max(0, self.restarts), last_line(self.log_file))

    def become(self, state: str) -> None:
        if state != self.state:
            self.state, self.since = state, time.time()


def supervise(
    services: Sequence[Service],
    log_folder: Path,
    stop: threading.Event,
    *,
    is_base_up: Callable[[], bool] = lambda: True,
    on_status: Callable[[Sequence[ServiceStatus]], None] = lambda statuses: None,
    pace: Pace | None = None,
) -> None:
    """Keeps services running until `stop` is set, then ends them: first those that need the base, then the base itself.

    To be called in the main thread: the kernel takes the thread that starts a child for its parent.

    Args:
        services: what to run.
        log_folder: what each service prints goes to NAME.log in it, at most twice `LARGEST_LOG` bytes with what went before (NAME.log.1).
        stop: ends it.
        is_base_up: whether what all need (the database) can be used; a failure while it cannot is nobody's fault.
        on_status: told how they are, at every look.
        pace: how quickly; the usual one by default.
    """
    pace = pace or Pace()
    log_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    children = [_Child(service, log_folder / f"{service.name}.log") for service in sorted(services, key=lambda it: not it.is_base)]
    try:
        while not stop.is_set():
            for child in children:
                _look_after(child, pace, is_base_up)
                bound_log(child.log_file)
            on_status([child.status() for child in children])
            stop.wait(pace.look)
    finally:
        for is_base in (False, True):
            _end([child for child in children if child.service.is_base == is_base], pace.ending)
        on_status([child.status() for child in children])


def launch(command: Sequence[str], output: IO[bytes] | int, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Starts a command in a session of its own that gets SIGTERM when the calling thread's process ends, on Linux.

    Args:
        command: program and arguments.
        output: where both its outputs go.
        environment: variables beside those of this process.
    """
    return subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", _LAUNCH, str(os.getpid()), *command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
    )


def end_group(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Asks a process of `launch` to end, waits, and ends what is left of its session."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    _sweep(process)


def bound_log(path: Path, largest: int = LARGEST_LOG) -> None:
    """Copies a log that became too large to NAME.1 and empties it; whoever writes appends, and goes on at its start."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > largest:
            shutil.copyfile(path, path.with_name(f"{path.name}.1"))
            os.truncate(path, 0)


def last_line(path: Path) -> str:
    """The last line of a log that is not blank, without control characters; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    line = next((line for line in reversed(lines) if line.strip()), "")
    return "".join(letter for letter in line if letter.isprintable()).strip()


def _look_after(child: _Child, pace: Pace, is_base_up: Callable[[], bool]) -> None:
    if child.state == LEFT:
        return
    now = time.monotonic()
    if child.process is None:
        if now >= child.due_at:
            _start(child)
        return
    lived = now - child.started_at
    code = child.process.poll()
    if code is None:
        if lived > pace.settled:
            child.become(RUNNING)
            child.failures = child.wrong = 0
        return
    _sweep(child.process)
    child.process = None
    child.failures = 1 if lived > pace.settled else child.failures + 1
    # Our commands end with 1 and a line that says what to do; only the database may be to blame for it, too.
    child.wrong = child.wrong + 1 if code == 1 and lived <= pace.settled and is_base_up() else 0
    if child.wrong >= pace.attempts and not child.service.is_base:
        child.become(LEFT)
        log.error("%s: ended %d times at once and is left: %s", child.service.name, child.wrong, last_line(child.log_file))
        return
    pause = min(pace.first_backoff * 2 ** (child.failures - 1), pace.longest_backoff)
    child.due_at = time.monotonic() + pause
    child.become(WAITING)
    log.warning("%s: ended (%s), starting it again in %.0f s: %s", child.service.name, code, pause, last_line(child.log_file))


def _start(child: _Child) -> None:
    descriptor = os.open(child.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        child.process = launch(child.service.command, descriptor, child.service.environment)
    finally:
        os.close(descriptor)
    child.started_at = time.monotonic()
    child.restarts += 1
    child.become(STARTING)


def _end(children: Sequence[_Child], seconds: float) -> None:
    running = [(child, child.process) for child in children if child.process is not None]
    for _, process in running:
        process.terminate()
    deadline = time.monotonic() + seconds
    for child, process in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        if process.returncode is None:
            log.warning("%s: did not end within %.0f s and is killed", child.service.name, seconds)
        _sweep(process)
        child.process = None
    for child in children:
        if child.state != LEFT:
            child.become(ENDED)


def _sweep(process: subprocess.Popen[bytes]) -> None:
    """Ends what is left of a child's session, by force what does not end in time."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + _SWEEP_SECONDS
        while time.monotonic() < deadline:
            process.poll()
            os.killpg(process.pid, 0)
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
