"""The deliverer: at least once, never two at a time, patient with hiccups, quiet where it shall be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pnd_dagster import tables
from pnd_dagster.alerts.alert import Alert, Stage, queue_alert
from pnd_dagster.alerts.mutes import mute, unmute
from pnd_dagster.alerts.outbox import SUPERSEDED, SWITCHED_OFF
from pnd_dagster.errors import SettingError, SourceError, TransientError
from pnd_dagster.services import deliver as service
from pnd_dagster.services.deliver import MAX_ATTEMPTS, Outcome, Pace, deliver, deliver_next
from pnd_dagster.settings import Settings

Rows = Callable[[], list[dict[str, Any]]]


class Receiver:
    """A channel that fails as it is told to and keeps what it accepted."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self.failures: list[Exception] = []

    def __call__(self, body: Mapping[str, Any]) -> str | None:
        if self.failures:
            raise self.failures.pop(0)
        self.received.append(body["title"])
        return None


@pytest.fixture
def queue(engine: sa.Engine, settings: Settings) -> Callable[..., None]:
    """Queues an alert."""

    def put(title: str, *, stage: Stage = "released", subject: str = "pump1", exchange: str | None = "poloniex", **more: Any) -> None:
        assert queue_alert(engine, settings, Alert(stage, subject, title, exchange, more.get("symbol"), title))

    return put


@pytest.fixture
def rows(engine: sa.Engine) -> Rows:
    """Reads what became of the alerts to the file."""

    def read() -> list[dict[str, Any]]:
        statement = sa.select(tables.ALERTS).where(tables.ALERTS.c.channel == "file").order_by(tables.ALERTS.c.created_at)
        with engine.connect() as connection:
            return [dict(row) for row in connection.execute(statement).mappings()]

    return read


def run(engine: sa.Engine, receiver: Receiver, *, cooldown: float = 60, pause: float = 0) -> list[Outcome]:
    """Delivers all that is due."""
    found: list[Outcome] = []
    while outcome := deliver_next(engine, "file", receiver, cooldown_seconds=cooldown, pause=lambda failures: pause):
        found.append(outcome)
    return found


def test_alerts_are_sent_in_their_order_and_once(engine: sa.Engine, queue: Callable[..., None], rows: Rows) -> None:
    receiver = Receiver()
    queue("one")
    queue("two")
    run(engine, receiver)
    run(engine, receiver)
    assert receiver.received == ["one", "two"]
    assert [(row["state"], row["attempts"]) for row in rows()] == [("sent", 1), ("sent", 1)]


def test_the_same_alert_is_queued_once(engine: sa.Engine, settings: Settings) -> None:
    alert = Alert("released", "pump1", "event1", None, "ABC", "Suspected")
    assert queue_alert(engine, settings, alert)
    assert not queue_alert(engine, settings, alert._replace(title="other words"))


def test_an_alert_is_queued_with_the_transaction_of_what_it_tells_of(engine: sa.Engine, settings: Settings, rows: Rows) -> None:
    with engine.connect() as connection:
        queue_alert(connection, settings, Alert("released", "pump1", "event1", None, "ABC", "Suspected"))
        connection.rollback()
    assert rows() == []


def test_what_json_cannot_hold_is_queued_all_the_same(engine: sa.Engine, settings: Settings, rows: Rows) -> None:
    evidence = {"z": float("nan"), "text": "a\x00\ud800"}
    assert queue_alert(engine, settings, Alert("released", "p", "e", None, None, "Suspected", (), evidence))
    assert rows()[0]["body"]["evidence"]["z"] == "nan"


def test_hiccups_are_tried_again_and_counted(engine: sa.Engine, queue: Callable[..., None], rows: Rows) -> None:
    receiver = Receiver()
    receiver.failures = [TransientError("busy"), RuntimeError("a fault of ours"), TransientError("busy")]
    queue("one")
    assert [outcome.state for outcome in run(engine, receiver)] == ["later", "later", "later", "sent"]
    assert receiver.received == ["one"]
    assert rows()[0]["attempts"] == 4


def test_what_is_refused_for_good_is_not_tried_again(engine: sa.Engine, queue: Callable[..., None], rows: Rows) -> None:
    receiver = Receiver()
    receiver.failures = [SourceError("HTTP 401")]
    queue("one")
    run(engine, receiver)
    assert receiver.received == []
    assert (rows()[0]["state"], rows()[0]["last_error"]) == ("failed", "HTTP 401")


def test_trying_ends_with_the_reason(engine: sa.Engine, queue: Callable[..., None], rows: Rows) -> None:
    receiver = Receiver()
    receiver.failures = [TransientError("busy")] * (MAX_ATTEMPTS + 5)
    queue("one")
    assert len(run(engine, receiver)) == MAX_ATTEMPTS
    assert (rows()[0]["state"], rows()[0]["last_error"]) == ("failed", f"given up after {MAX_ATTEMPTS} attempts: busy")


def test_pauses_grow_to_minutes_and_are_jittered() -> None:
    pauses = [service._pause(failures) for failures in range(1, MAX_ATTEMPTS)]  # pyright: ignore[reportPrivateUsage]
    assert pauses[0] <= 1
    assert 100 < max(pauses) <= 300
    assert 20 * 60 < sum(pauses) < 60 * 60
    assert len({service._pause(8) for _ in range(5)}) > 1  # pyright: ignore[reportPrivateUsage]


def test_a_receiver_that_asks_to_wait_is_left_alone_by_all_that_waits(engine: sa.Engine, queue: Callable[..., None], rows: Rows) -> None:
    receiver = Receiver()
    receiver.failures = [TransientError("slow down", retry_after_seconds=120)]
    queue("one")
    queue("two", subject="pump2")
    assert [outcome.state for outcome in run(engine, receiver)] == ["later"]
    assert all(row["next_attempt_at"] > datetime.now(UTC) + timedelta(seconds=100) for row in rows())


def test_within_the_cool_down_the_next_of_a_stage_waits_and_the_newest_takes_its_place(
    engine: sa.Engine, queue: Callable[..., None], rows: Rows
) -> None:
    receiver = Receiver()
    queue("A leads", stage="target suspected")
    run(engine, receiver)
    queue("B leads", stage="target suspected")
    queue("C leads", stage="target suspected")
    run(engine, receiver)
    assert receiver.received == ["A leads"]
    assert [(row["state"], row["last_error"]) for row in rows()[1:]] == [("muted", SUPERSEDED), ("pending", None)]
    run(engine, receiver, cooldown=0)
    assert receiver.received == ["A leads", "C leads"]


def test_other_stages_subjects_exchanges_and_coins_do_not_wait_for_each_other(engine: sa.Engine, queue: Callable[..., None]) -> None:
    receiver = Receiver()
    queue("candidates", stage="candidates")
    queue("leads", stage="target suspected")
    queue("leads elsewhere", stage="target suspected", exchange="kucoin")
    queue("another pump", stage="target suspected", subject="pump2")
    queue("A was named", symbol="A")
    queue("B was named", symbol="B")
    run(engine, receiver)
    assert len(receiver.received) == 6


@pytest.mark.parametrize("scope", ["all", "stage:released", "exchange:Poloniex", "symbol:abc", "channel:file", "pump:pump1"])
def test_what_is_muted_is_kept_with_the_reason_and_not_sent(engine: sa.Engine, queue: Callable[..., None], rows: Rows, scope: str) -> None:
    receiver = Receiver()
    mute(engine, scope, timedelta(hours=1), "maintenance")
    queue("one", symbol="ABC")
    queue("two", symbol="XYZ", stage="over", subject="pump2", exchange="kucoin")
    run(engine, receiver)
    muted = rows()[0]
    assert muted["state"] == "muted"
    assert "maintenance" in muted["last_error"]
    assert receiver.received == ([] if scope in ("all", "channel:file") else ["two"])


def test_a_mute_ends_by_itself_or_by_hand(engine: sa.Engine, queue: Callable[..., None]) -> None:
    receiver = Receiver()
    mute(engine, "all", timedelta(seconds=-1), None)
    queue("one")
    run(engine, receiver)
    mute(engine, "all", timedelta(hours=1), None)
    assert unmute(engine, "all")
    assert not unmute(engine, "all")
    queue("two")
    run(engine, receiver)
    assert receiver.received == ["one", "two"]


@pytest.mark.parametrize("scope", ["", "everything", "stage:done", "channel:pigeon", "symbol:", "pump"])
def test_a_scope_that_is_none_is_refused(engine: sa.Engine, scope: str) -> None:
    with pytest.raises(SettingError, match="expected"):
        mute(engine, scope, timedelta(hours=1), None)


def test_two_deliverers_never_send_the_same_at_once_nor_lose_any(engine: sa.Engine, queue: Callable[..., None], rows: Rows) -> None:
    receiver = Receiver()
    in_hand: set[str] = set()
    clashes: list[str] = []
    lock = threading.Lock()

    def send(body: Mapping[str, Any]) -> str | None:
        with lock:
            if body["alert_id"] in in_hand:
                clashes.append(body["title"])
            in_hand.add(body["alert_id"])
        time.sleep(0.01)
        receiver(body)
        return None

    for number in range(20):
        queue(str(number))

    def work() -> None:
        while deliver_next(engine, "file", send, cooldown_seconds=0) is not None:
            pass

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A deliverer that finds all locked has nothing to do; whoever held the last goes on.
    run(engine, receiver)
    assert sorted(receiver.received, key=int) == [str(number) for number in range(20)]
    assert clashes == []
    assert {row["attempts"] for row in rows()} == {1}


def test_a_newer_alert_does_not_overtake_one_that_is_being_sent(engine: sa.Engine, queue: Callable[..., None]) -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow(body: Mapping[str, Any]) -> str | None:
        started.set()
        go_on.wait(10)
        return None

    queue("A leads", stage="target suspected")
    thread = threading.Thread(target=deliver_next, args=(engine, "file", slow), kwargs={"cooldown_seconds": 60})
    thread.start()
    started.wait(10)
    queue("B leads", stage="target suspected")
    assert deliver_next(engine, "file", Receiver(), cooldown_seconds=60) is None
    go_on.set()
    thread.join()


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def test_the_service_delivers_on_every_channel_says_so_and_ends_when_told(
    engine: sa.Engine, settings: Settings, queue: Callable[..., None], rows: Rows
) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=deliver, args=(engine, settings, stop), kwargs={"pace": Pace(0.02, 0.05)})
    thread.start()
    queue("one")
    until(lambda: rows()[0]["state"] == "sent" and _beat(engine).get("details", {}).get("sent") == 2)
    assert _beat(engine)["is_healthy"]
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert not _beat(engine)["is_healthy"]
    assert "one" in (settings.home / "alerts.jsonl").read_text()


def test_alerts_of_a_channel_that_is_not_set_up_any_more_are_pointed_out(engine: sa.Engine, settings: Settings) -> None:
    with_hook = settings.model_copy(update={"alert_webhook_url": "https://example.org/hook"})
    queue_alert(engine, with_hook, Alert("released", "pump1", "event1", None, None, "Suspected"))
    stop = threading.Event()
    thread = threading.Thread(target=deliver, args=(engine, settings, stop), kwargs={"pace": Pace(0.02, 0.05)})
    thread.start()
    until(lambda: _beat(engine).get("details", {}).get("without_channel") == ["webhook"])
    stop.set()
    thread.join(10)


def test_a_channel_that_is_set_up_wrongly_is_refused_at_the_start(engine: sa.Engine, settings: Settings) -> None:
    wrong = settings.model_copy(update={"alert_webhook_url": "https://example.org/hook"})
    with pytest.raises(SettingError, match="PND_ALERT_WEBHOOK_SECRET"):
        deliver(engine, wrong, threading.Event())


def _beat(engine: sa.Engine) -> dict[str, Any]:
    with engine.connect() as connection:
        row = connection.execute(sa.select(tables.HEARTBEATS).where(tables.HEARTBEATS.c.name == "deliver")).mappings().first()
    return dict(row) if row else {}


_PROCESS = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from pnd_dagster.alerts import senders
    from pnd_dagster.services import deliver
    from pnd_dagster.settings import load_settings
    from pnd_dagster.storage import create_engine

    url, folder = sys.argv[1], Path(sys.argv[2])

    def slow(body):
        (folder / "began").touch()
        time.sleep(float(sys.argv[3]))
        with (folder / "received").open("a") as file:
            file.write(body["title"] + "\\n")

    deliver.senders = lambda settings: {"file": slow}
    deliver.run_until_told(create_engine(url), load_settings(database_url=url, home=folder))
    """
)


def _process(database_url: str, folder: Path, seconds: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _PROCESS, database_url, str(folder), str(seconds)], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def test_sigterm_finishes_the_one_in_hand(
    engine: sa.Engine, database_url: str, queue: Callable[..., None], rows: Rows, tmp_path: Path
) -> None:
    queue("one")
    queue("two")
    process = _process(database_url, tmp_path, 0.5)
    try:
        until((tmp_path / "began").exists)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
    assert (tmp_path / "received").read_text() == "one\n"
    assert [row["state"] for row in rows()] == ["sent", "pending"]


def test_a_deliverer_that_is_killed_leaves_its_alert_to_the_next(
    engine: sa.Engine, database_url: str, queue: Callable[..., None], rows: Rows, tmp_path: Path
) -> None:
    queue("one")
    process = _process(database_url, tmp_path, 30)
    until((tmp_path / "began").exists)
    process.kill()
    process.wait()
    receiver = Receiver()
    until(lambda: bool(run(engine, receiver)))
    assert receiver.received == ["one"]
    assert rows()[0]["state"] == "sent"


def test_while_postgres_restarts_alerts_wait_and_are_delivered_after_it(own_home: Path) -> None:
    from pnd_dagster.settings import load_settings
    from pnd_dagster.storage import connect, embedded

    settings = load_settings(home=own_home)
    engine, stop = connect(settings), threading.Event()
    port = embedded.start(own_home).port
    thread = threading.Thread(target=deliver, args=(engine, settings, stop), kwargs={"pace": Pace(0.05, 0.05)})
    thread.start()
    try:
        until(lambda: bool(_beat(engine)))
        embedded.stop(own_home)
        time.sleep(0.3)
        embedded.start(own_home, port=port)
        queue_alert(engine, settings, Alert("released", "pump1", "event1", None, "ABC", "Suspected"))
        until((own_home / "alerts.jsonl").exists)
        until(lambda: _beat(engine)["is_healthy"])
    finally:
        stop.set()
        thread.join(30)
        engine.dispose()
    assert not thread.is_alive()


def test_what_waits_for_a_day_on_a_channel_that_is_switched_off_is_muted(engine: sa.Engine, settings: Settings) -> None:
    with_webhook = settings.model_copy(update={"alert_webhook_url": "https://example.org/hook"})
    for title in ("old", "new"):
        assert queue_alert(engine, with_webhook, Alert("released", "pump1", title, None, None, title))
    alert = tables.ALERTS.c
    is_old = sa.and_(alert.title == "old", alert.channel.in_(("webhook", "log")))
    with engine.begin() as connection:
        long_ago = datetime.now(UTC) - timedelta(days=1, minutes=1)
        connection.execute(sa.update(tables.ALERTS).where(is_old).values(created_at=long_ago))
    stop = threading.Event()
    stopping = threading.Timer(0.3, stop.set)
    stopping.start()
    deliver(engine, settings, stop, pace=Pace(poll_seconds=0.05, heartbeat_seconds=0.05))
    statement = sa.select(alert.title, alert.channel, alert.state, alert.last_error).where(alert.channel.in_(("webhook", "log")))
    with engine.connect() as connection:
        found = {(row[0], row[1]): (row[2], row[3]) for row in connection.execute(statement)}
    assert found[("old", "webhook")] == ("muted", SWITCHED_OFF)
    assert found[("new", "webhook")] == ("pending", None), "it may be switched on again"
    assert found[("old", "log")][0] == "sent"
