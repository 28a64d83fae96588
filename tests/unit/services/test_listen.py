"""The listener: commits first, handles second, recovers, reconnects and stops cleanly."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import threading
import time
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import sqlalchemy as sa
from telethon import errors

from pnd_dagster import tables
from pnd_dagster.errors import DatabaseError, SettingError
from pnd_dagster.services import listen as service
from pnd_dagster.services.listen import Duties, Pace, listen, run_until_told
from pnd_dagster.storage import read_frame, upsert
from pnd_dagster.telegram.channel_store import PostgresChannelStore
from pnd_dagster.telegram.client import TelethonReader
from pnd_dagster.telegram.history import start_reading
from pnd_dagster.telegram.media import MediaFolder

FAST = Pace(heartbeat_seconds=0.05, sweep_seconds=0.1, poll_seconds=0.05, longest_backoff_seconds=0.05)


class Scene:
    """A listener on a fake Telegram and the real tables, with a notebook of what was handled."""

    def __init__(self, engine, telegram, *, media=None, channels=(7,)):
        self.engine, self.telegram, self.media = engine, telegram, media
        self.store = PostgresChannelStore(engine)
        self.handled: list[pl.DataFrame] = []
        self.stored_when_handled: list[int] = []
        self.sweeps = 0
        self.handle_error: Exception | None = None
        with engine.begin() as connection:
            for channel_id in channels:
                row = {"channel_id": channel_id, "found_via": "tgstat", "status": "validated", "is_vanished": False}
                connection.execute(sa.insert(tables.TELEGRAM_CHANNELS).values(**row, discovered_at=telegram.NOW))

    def handle(self, batch):
        self.stored_when_handled.append(self.messages().height)
        if self.handle_error:
            raise self.handle_error
        self.handled.append(batch.messages)

    def sweep(self) -> int:
        self.sweeps += 1
        return 1

    def beat(self, frame):
        upsert(self.engine, tables.HEARTBEATS, frame)

    def messages(self) -> pl.DataFrame:
        table = tables.TELEGRAM_MESSAGES
        chosen = (table.c.channel_id, table.c.message_id, table.c.text, table.c.is_deleted, table.c.media_file)
        return read_frame(self.engine, sa.select(*chosen)).sort("channel_id", "message_id", "is_deleted", "text")

    def heartbeat(self) -> dict:
        table = tables.HEARTBEATS
        with self.engine.begin() as connection:
            return dict(connection.execute(sa.select(table)).mappings().one())

    def play(self, script, *, is_joined=True):
        """Runs the listener while `script(client, until)` acts; `until` waits for a condition."""

        async def run():
            client = self.telegram.FakeClient()
            client.channel(7, username="rocket", is_joined=is_joined).post(1, "before", self.telegram.NOW)
            reading = start_reading(
                TelethonReader(client), self.store, source="live", media=self.media, clock=lambda: self.telegram.NOW + timedelta(seconds=5)
            )
            stop = asyncio.Event()
            listening = asyncio.create_task(listen(reading, Duties(self.handle, self.sweep, self.beat), stop, pace=FAST))

            async def until(condition):
                deadline = time.monotonic() + 10
                while not await asyncio.to_thread(condition):
                    assert not listening.done() or listening.result(), "the listener ended"
                    assert time.monotonic() < deadline, "it never came to that"
                    await asyncio.sleep(0.01)

            try:
                await until(lambda: self.store.cursor(7).pts == 2)
                await script(client, until)
            finally:
                stop.set()
                await asyncio.wait_for(listening, 10)
            return client

        return asyncio.run(run())


def test_a_message_is_committed_before_it_is_handled(engine, telegram):
    scene = Scene(engine, telegram)

    async def script(client, until):
        channel = client.channels[7]
        await client.push(channel.post(2, "pump at 17:00", telegram.NOW))
        await client.push(channel.edit(2, "pump at 18:00", telegram.NOW))
        await client.push(channel.delete(2))
        await until(lambda: sum(frame.height for frame in scene.handled) == 3)
        await until(lambda: scene.store.cursor(7).pts == channel.pts)

    scene.play(script)
    assert scene.messages().select("message_id", "text", "is_deleted").rows() == [
        (1, "before", False),
        (2, "pump at 17:00", False),
        (2, "pump at 18:00", False),
        (2, "", True),
    ]
    assert scene.stored_when_handled[0] >= 2
    assert scene.stored_when_handled[-1] == 4
    beat = scene.heartbeat()
    assert beat["name"] == "listen"
    assert beat["lag_seconds"] == 5.0
    assert beat["details"]["messages"] == 3
    assert not beat["is_healthy"]


def test_a_failing_handler_loses_nothing_and_the_sweeper_comes_by(engine, telegram):
    scene = Scene(engine, telegram)
    scene.handle_error = RuntimeError("the model choked on: secret text")

    async def script(client, until):
        await client.push(client.channels[7].post(2, "pump at 17:00", telegram.NOW))
        await until(lambda: scene.messages().height == 2)
        sweeps = scene.sweeps
        await until(lambda: scene.sweeps > sweeps)
        await until(lambda: scene.heartbeat()["details"]["unhandled"] == 1)

    scene.play(script)
    details = scene.heartbeat()["details"]
    assert details["last_error"] == "RuntimeError"
    assert "secret" not in json.dumps(details)


def test_messages_of_other_chats_of_the_account_are_never_stored(engine, telegram):
    scene = Scene(engine, telegram)

    async def script(client, until):
        await client.push(client.channel(8, "Family").post(1, "private", telegram.NOW))
        await client.push(client.channels[7].post(2, "pump", telegram.NOW))
        await until(lambda: scene.messages().height == 2)

    scene.play(script)
    assert scene.messages()["channel_id"].unique().to_list() == [7]


def test_what_was_missed_between_two_connections_is_recovered(engine, telegram):
    scene = Scene(engine, telegram)

    async def script(client, until):
        client.failures["connect"] = [ConnectionError("no route"), errors.RpcCallFailError(None)]
        client.channels[7].post(2, "missed", telegram.NOW)
        client.lose_connection()
        await until(lambda: scene.messages()["text"].to_list() == ["before", "missed"])
        await client.push(client.channels[7].post(3, "live again", telegram.NOW))
        await until(lambda: scene.messages().height == 3)

    client = scene.play(script)
    assert client.connections == 4
    assert scene.heartbeat()["details"]["connections"] == 2


def test_a_channel_we_have_not_joined_is_asked_for_its_news(engine, telegram):
    scene = Scene(engine, telegram)

    async def script(client, until):
        client.channels[7].post(2, "nobody pushes this", telegram.NOW)
        sweeps = scene.sweeps
        await until(lambda: scene.messages().height == 2)
        await until(lambda: scene.sweeps > sweeps)

    scene.play(script, is_joined=False)


def test_a_channel_validated_meanwhile_is_taken_up(engine, telegram):
    scene = Scene(engine, telegram)

    async def script(client, until):
        client.channel(9, "New Moon", username="newmoon").post(1, "first", telegram.NOW)
        with engine.begin() as connection:
            row = {"channel_id": 9, "found_via": "tgstat", "status": "validated", "is_vanished": False, "discovered_at": telegram.NOW}
            connection.execute(sa.insert(tables.TELEGRAM_CHANNELS).values(**row))
        await until(lambda: scene.messages()["channel_id"].to_list() == [7, 9])
        await client.push(client.channels[9].post(2, "second", telegram.NOW))
        await until(lambda: scene.messages().height == 3)

    scene.play(script)


def test_while_the_database_is_away_messages_wait_and_are_committed_when_it_is_back(engine, telegram):
    scene = Scene(engine, telegram)
    is_away = threading.Event()
    save = scene.store.save

    def save_if_possible(batch):
        if is_away.is_set():
            raise DatabaseError("Postgres refused: the system is shutting down")
        save(batch)

    scene.store.save = save_if_possible

    async def script(client, until):
        is_away.set()
        for number in range(2, 6):
            await client.push(client.channels[7].post(number, f"message {number}", telegram.NOW))
        await until(lambda: (scene.heartbeat()["details"]["last_error"] or "").startswith("Postgres refused"))
        assert scene.messages().height == 1
        is_away.clear()
        await until(lambda: scene.messages().height == 5)

    scene.play(script)


def test_photos_come_after_the_text_and_are_handled_again_with_their_file(engine, telegram, tmp_path):
    scene = Scene(engine, telegram, media=MediaFolder(tmp_path, 1000))

    async def script(client, until):
        client.photos[55] = b"jpeg"
        await client.push(client.channels[7].post(2, "the coin is", telegram.NOW, media=telegram.photo_media(55, 900)))
        await until(lambda: len(scene.handled) == 2)

    scene.play(script)
    assert [frame["media_file"].to_list() for frame in scene.handled] == [[None], ["7/2_55.jpg"]]
    assert scene.messages()["media_file"].to_list() == [None, "7/2_55.jpg"]
    assert (tmp_path / "7/2_55.jpg").read_bytes() == b"jpeg"


def test_what_was_received_is_committed_before_the_listener_ends(engine, telegram):
    scene = Scene(engine, telegram)

    async def script(client, until):
        for number in range(2, 500):
            await client.push(client.channels[7].post(number, f"message {number}", telegram.NOW))

    scene.play(script)
    assert scene.messages().height == 499


def test_a_session_that_is_revoked_ends_the_listener_with_a_clear_error(engine, telegram):
    scene = Scene(engine, telegram)

    async def script(client, until):
        client.failures["get_entity 7"] = [errors.SessionRevokedError(None)]
        client.lose_connection()
        await until(lambda: False)

    with pytest.raises(SettingError, match="run `pnd login`"):
        scene.play(script)


@pytest.mark.parametrize("seed", [1, 2])
def test_through_lost_connections_every_message_edit_and_deletion_arrives_once(engine, telegram, seed):
    scene = Scene(engine, telegram)
    chance = random.Random(seed)
    table = tables.TELEGRAM_MESSAGES
    ledger: dict[int, str] = {}

    def present() -> dict[int, str]:
        chosen = (table.c.message_id, table.c.text, table.c.edited_at, table.c.is_deleted)
        revisions = read_frame(engine, sa.select(*chosen)).sort("edited_at", nulls_last=False)
        gone = revisions.filter("is_deleted")["message_id"].to_list()
        latest = revisions.filter(~pl.col("is_deleted")).group_by("message_id", maintain_order=True).last()
        return {number: text for number, text in latest.select("message_id", "text").iter_rows() if number not in gone}

    async def script(client, until):
        channel, is_up = client.channels[7], True
        ledger[1] = "before"
        for step in range(2, 80):
            at = telegram.NOW + timedelta(seconds=step / 100)
            old = chance.choice(sorted(ledger))
            match chance.choice(["post", "post", "post", "edit", "delete", "cut"]):
                case "post":
                    update, ledger[step] = channel.post(step, f"message {step}", telegram.NOW), f"message {step}"
                case "edit":
                    update, ledger[old] = channel.edit(old, f"edited in step {step}", at), f"edited in step {step}"
                case "delete" if len(ledger) > 2:
                    update = channel.delete(old)
                    del ledger[old]
                case _:
                    update, is_up = None, False
                    client.failures["connect"] = [ConnectionError("no route")]
                    client.lose_connection()
            if not is_up:
                # What happens while the line is down is never pushed.
                is_up = chance.random() < 0.3
                if is_up:
                    connections = client.connections
                    await until(lambda before=connections: client.connections > before and not client.disconnected.done())
            elif update is not None:
                await client.push(update)
        client.lose_connection()
        await until(lambda: present() == ledger)

    scene.play(script)
    revisions = read_frame(engine, sa.select(table.c.message_id, table.c.revision_id))
    assert revisions.is_unique().all()


class QuietReader:
    """A reader of an account without channels; `told` notes what is asked of it."""

    def __init__(self, on_connect):
        self.on_connect, self.told = on_connect, []

    def subscribe(self, handler):
        self.told.append("subscribe")

    async def connect(self):
        self.told.append("connect")
        self.on_connect()

    async def disconnect(self):
        self.told.append("disconnect")

    async def wait_until_disconnected(self):
        await asyncio.Event().wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_service_ends_cleanly_when_it_is_told_to(engine, number):
    reader = QuietReader(lambda: os.kill(os.getpid(), number))
    beats: list[pl.DataFrame] = []
    run_until_told(
        lambda: start_reading(reader, PostgresChannelStore(engine), source="live"), Duties(lambda batch: None, lambda: 0, beats.append)
    )
    assert reader.told == ["subscribe", "connect", "disconnect"]
    assert beats[-1]["is_healthy"].to_list() == [False]


def test_the_service_listens_with_the_session_and_the_database_of_the_settings(engine, settings, telegram, monkeypatch):
    row = {"channel_id": 7, "found_via": "tgstat", "status": "validated", "is_vanished": False, "discovered_at": telegram.NOW}
    with engine.begin() as connection:
        connection.execute(sa.insert(tables.TELEGRAM_CHANNELS).values(**row))
    opened: list[str] = []

    def open_reader(settings, purpose):
        opened.append(purpose)
        client = telegram.FakeClient()
        client.channel(7, username="rocket").post(1, "hello", datetime.now(UTC))
        return TelethonReader(client)

    def sweep() -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return 1

    monkeypatch.setattr(service, "open_reader", open_reader)
    service.run(engine, settings, handle=lambda batch: None, sweep=sweep)
    assert opened == ["listen"]
    stored = read_frame(engine, sa.select(tables.TELEGRAM_MESSAGES.c.text, tables.TELEGRAM_MESSAGES.c.source))
    assert stored.rows() == [("hello", "live")]
    assert read_frame(engine, sa.select(tables.HEARTBEATS.c.name, tables.HEARTBEATS.c.is_healthy)).rows() == [("listen", False)]
