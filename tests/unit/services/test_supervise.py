"""Children of a supervisor: restarted alone, given up where that does not help, ended in order, never orphaned."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pnd_dagster.services.supervise import LEFT, RUNNING, WAITING, Pace, Service, ServiceStatus, bound_log, last_line, supervise

QUICK = Pace(look=0.02, first_backoff=0.02, longest_backoff=0.1, settled=0.3, ending=5.0, attempts=3)
FOREVER = ["sleep", "60"]
PATIENCE = 20.0


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def run_until(
    services: Sequence[Service],
    folder: Path,
    is_reached: Callable[[dict[str, ServiceStatus]], object],
    *,
    is_base_up: Callable[[], bool] = lambda: True,
    pace: Pace = QUICK,
) -> dict[str, ServiceStatus]:
    """Supervises until the statuses are as wanted; gives those at that moment."""
    stop, reached = threading.Event(), dict[str, ServiceStatus]()
    deadline = time.monotonic() + PATIENCE

    def look(statuses: Sequence[ServiceStatus]) -> None:
        by_name = {status.name: status for status in statuses}
        if not stop.is_set() and is_reached(by_name):
            reached.update(by_name)
            stop.set()
        if time.monotonic() > deadline:
            stop.set()

    supervise(services, folder, stop, is_base_up=is_base_up, on_status=look, pace=pace)
    assert reached, "it never came to that"
    return reached


def is_alive(process_id: int) -> bool:
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for(is_true: Callable[[], object]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not is_true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(is_true())


def test_a_child_that_is_killed_is_started_again_and_the_others_are_left_alone(tmp_path: Path) -> None:
    first: dict[str, int] = {}

    def killed_and_back(statuses: dict[str, ServiceStatus]) -> bool:
        if not first and all(status.state == RUNNING for status in statuses.values()):
            first.update({name: status.process_id or 0 for name, status in statuses.items()})
            os.kill(first["a"], signal.SIGKILL)
        return statuses["a"].restarts == 1 and statuses["a"].state == RUNNING

    at_end = run_until([Service("a", FOREVER), Service("b", FOREVER)], tmp_path, killed_and_back)
    assert at_end["b"].process_id == first["b"]
    assert at_end["b"].restarts == 0
    assert not any(is_alive(status.process_id or 0) for status in at_end.values())


def test_a_child_with_an_error_that_stays_is_given_up_with_its_last_line(tmp_path: Path) -> None:
    wrong = Service("wrong", shell("echo 'error: PND_X: set it' >&2; exit 1"))
    at_end = run_until([wrong, Service("good", FOREVER)], tmp_path, lambda statuses: statuses["wrong"].state == LEFT)
    assert at_end["wrong"].last_line == "error: PND_X: set it"
    assert at_end["wrong"].restarts == QUICK.attempts - 1


def test_a_child_is_never_given_up_while_the_database_is_away_or_when_it_crashes(tmp_path: Path) -> None:
    away = Service("away", shell("exit 1"))
    at_end = run_until([away], tmp_path, lambda statuses: statuses["away"].restarts > QUICK.attempts + 2, is_base_up=lambda: False)
    assert at_end["away"].state != LEFT
    crashed = Service("crashed", shell("kill -9 $$"))
    at_end = run_until([crashed], tmp_path, lambda statuses: statuses["crashed"].restarts > QUICK.attempts + 2)
    assert at_end["crashed"].state != LEFT


def test_pauses_between_starts_grow_up_to_a_bound(tmp_path: Path) -> None:
    starts: list[float] = []

    def counted(statuses: dict[str, ServiceStatus]) -> bool:
        if statuses["crashing"].restarts == len(starts):
            starts.append(time.monotonic())
        return len(starts) == 5

    pace = QUICK._replace(first_backoff=0.1, longest_backoff=0.4)
    run_until([Service("crashing", shell("exit 7"))], tmp_path, counted, pace=pace)
    pauses = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert pauses[0] < pauses[1] < pauses[2]
    assert all(0.1 <= pause < 3 for pause in pauses)


def test_the_base_starts_first_and_ends_last(tmp_path: Path) -> None:
    diary = tmp_path / "diary"

    def diarist(name: str, seconds: float) -> Service:
        script = (
            f"trap 'sleep {seconds}; echo {name} ended >> {diary}; exit 0' TERM; echo {name} began >> {diary}; while :; do sleep 0.02; done"
        )
        return Service(name, shell(script), is_base=name == "base")

    both_began = lambda statuses: diary.exists() and diary.read_text().count("began") == 2  # noqa: E731
    run_until([diarist("service", 0.3), diarist("base", 0)], tmp_path, both_began)
    lines = diary.read_text().splitlines()
    assert lines[2:] == ["service ended", "base ended"]


def test_a_child_that_does_not_end_is_killed_in_time_with_all_it_started(tmp_path: Path) -> None:
    stubborn = Service("stubborn", shell("trap '' TERM; sleep 60 & echo $!; while :; do sleep 0.02; done"))
    began = time.monotonic()
    at_end = run_until([stubborn], tmp_path, lambda statuses: statuses["stubborn"].last_line, pace=QUICK._replace(ending=0.3))
    assert time.monotonic() - began < 10
    assert not is_alive(at_end["stubborn"].process_id or 0)
    assert wait_for(lambda: not is_alive(int(at_end["stubborn"].last_line)))


def test_what_a_dead_child_left_behind_is_gone_before_the_next_start(tmp_path: Path) -> None:
    leaving = Service("leaving", shell("sleep 60 & echo $!; exit 3"))
    at_end = run_until([leaving], tmp_path, lambda statuses: statuses["leaving"].state == WAITING)
    assert not is_alive(int(at_end["leaving"].last_line))


def test_no_child_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import threading; from pathlib import Path; from pnd_dagster.services.supervise import *\n"
        f"supervise([Service('child', ['/bin/sh', '-c', 'echo $$; exec sleep 60'])], Path({str(tmp_path)!r}), threading.Event())"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", code])
    try:
        assert wait_for(lambda: last_line(tmp_path / "child.log"))
        child = int(last_line(tmp_path / "child.log"))
        assert is_alive(child)
    finally:
        supervisor.kill()
        supervisor.wait()
    assert wait_for(lambda: not is_alive(child))


def test_logs_are_bounded_private_and_go_on_at_their_start(tmp_path: Path) -> None:
    run_until([Service("chatty", shell("echo hello; exec sleep 60"))], tmp_path, lambda statuses: statuses["chatty"].last_line == "hello")
    path = tmp_path / "chatty.log"
    assert path.stat().st_mode & 0o077 == 0
    with path.open("ab") as file:
        file.write(b"x" * 100)
        file.flush()
        bound_log(path, largest=50)
        file.write(b"next\n")
    assert path.read_bytes() == b"next\n"
    assert (tmp_path / "chatty.log.1").stat().st_size == 106


def test_a_last_line_shows_no_control_characters(tmp_path: Path) -> None:
    (tmp_path / "odd.log").write_bytes(b"first\n\x1b[31mred\x07 \xe2\x80\xaetext\n\n")
    assert last_line(tmp_path / "odd.log") == "[31mred text"
    assert last_line(tmp_path / "missing.log") == ""
