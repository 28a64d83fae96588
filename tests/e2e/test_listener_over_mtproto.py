"""The listener with the real Telethon client and the real tables, against a Telegram that fails now and then: nothing is lost."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import polars as pl
import sqlalchemy as sa
from pydantic import SecretStr

from pnd_dagster import tables
from pnd_dagster.services.listen import Duties, Pace, listen
from pnd_dagster.settings import Settings
from pnd_dagster.simulator.telegram.channels import ChannelInfo
from pnd_dagster.simulator.telegram.ledger import text_hash
from pnd_dagster.simulator.telegram.server import SimulatedTelegram
from pnd_dagster.simulator.telegram.sessions import make_sessions
from pnd_dagster.storage import read_frame, upsert
from pnd_dagster.telegram.channel_store import PostgresChannelStore
from pnd_dagster.telegram.history import start_reading
from pnd_dagster.telegram.media import MediaFolder
from pnd_dagster.telegram.sessions import open_reader

FAST = Pace(heartbeat_seconds=0.2, sweep_seconds=1.0, poll_seconds=0.2, longest_backoff_seconds=0.2)
CHANNELS = (
    ChannelInfo(1001, "Rocket Room", "rocket_room"),
    ChannelInfo(1002, "Quiet Corner", "quiet_corner"),
    ChannelInfo(1003, "Open Door", "open_door", is_joined=False),
)
FAULTS = ("drop", "door", "silent", "flood", "trouble", "gap")
STEPS_PER_FAULT = 8

Condition = Callable[[], bool]


class Play:
    """Random posts, edits, deletions and faults, and what must be in the database afterwards."""

    def __init__(self, telegram: SimulatedTelegram, seed: int) -> None:
        self.telegram, self.rng = telegram, random.Random(seed)
        self._edited_at: dict[tuple[int, int], int] = {}

    async def run(self) -> None:
        self.faults = self.rng.sample(FAULTS, len(FAULTS)) + self.rng.sample(FAULTS, len(FAULTS))
        for step in range(len(self.faults) * STEPS_PER_FAULT):
            for _ in range(self.rng.randrange(6)):
                self._act(self.rng.choice(CHANNELS).channel_id)
            if step % STEPS_PER_FAULT == 0:
                self._fail(self.faults[step // STEPS_PER_FAULT])
            await asyncio.sleep(0.05)

    def _act(self, channel_id: int) -> None:
        telegram, rng = self.telegram, self.rng
        present = list(telegram.channels[channel_id].messages)
        match rng.choices(["post", "photo", "edit", "delete"], [6, 1, 2, 1])[0]:
            case "edit" if present:
                message_id, second = rng.choice(present[-20:]), int(time.time())
                # Edit dates are whole seconds: of two edits in one nobody could tell the later.
                if self._edited_at.get((channel_id, message_id)) != second:
                    self._edited_at[channel_id, message_id] = second
                    telegram.edit(channel_id, message_id, f"the pump is at {rng.randrange(10**9)}")
            case "delete" if present:
                telegram.delete(channel_id, *rng.sample(present[-20:], min(2, len(present))))
            case "photo":
                telegram.post(channel_id, f"the coin is on the picture {rng.randrange(10**9)}", image=rng.randbytes(5000))
            case _:
                telegram.post(channel_id, f"message {rng.randrange(10**9)}")

    def _fail(self, fault: str) -> None:
        match fault:
            case "drop":
                self.telegram.drop_connections()
            case "door":
                self.telegram.close_door(self.rng.uniform(0.1, 0.6))
            case "silent":
                self.telegram.go_silent(self.rng.uniform(0.1, 0.6))
            case "flood":
                self.telegram.fail("FLOOD_WAIT_1", method="updates.getChannelDifference")
            case "trouble":
                self.telegram.fail("PERSISTENT_TIMESTAMP_OUTDATED", method="updates.getChannelDifference")
            case _:
                self.telegram.lose_updates(2)


Script = Callable[[SimulatedTelegram, Callable[[Condition], Awaitable[None]]], Awaitable[None]]


def run_listener(engine: sa.Engine, settings: Settings, script: Script) -> SimulatedTelegram:
    """Runs the listener on a simulated Telegram while a script acts. Returns the server, of which nothing unknown was asked."""
    configured = settings.model_copy(update={"telegram_api_id": 1, "telegram_api_hash": SecretStr("any text")})
    store = PostgresChannelStore(engine)
    duties = Duties(lambda batch: None, lambda: 0, lambda frame: upsert(engine, tables.HEARTBEATS, frame))
    with engine.begin() as connection:
        for info in CHANNELS:
            row = {"channel_id": info.channel_id, "username": info.username, "found_via": "tgstat", "status": "validated"}
            connection.execute(sa.insert(tables.TELEGRAM_CHANNELS).values(**row, is_vanished=False, discovered_at=sa.func.now()))

    async def main() -> SimulatedTelegram:
        async with SimulatedTelegram(CHANNELS) as telegram:
            for info in CHANNELS:
                telegram.post(info.channel_id, "there before")
            make_sessions(configured.telegram_session_file, telegram.port)
            media = MediaFolder(configured.media_dir, 1_000_000)
            reading = start_reading(open_reader(configured), store, source="live", media=media)
            stop = asyncio.Event()
            listening = asyncio.create_task(listen(reading, duties, stop, pace=FAST))

            async def until(condition: Condition) -> None:
                async with asyncio.timeout(20):
                    while not await asyncio.to_thread(condition):
                        if listening.done():
                            listening.result()
                        await asyncio.sleep(0.05)

            try:
                await until(lambda: all(store.cursor(info.channel_id).pts is not None for info in CHANNELS))
                await script(telegram, until)
            finally:
                stop.set()
                await asyncio.wait_for(listening, 10)
            return telegram

    telegram = asyncio.run(main())
    assert telegram.unknown == []
    return telegram


def test_every_post_edit_and_deletion_is_in_the_database_whatever_happens_to_the_connection(engine: sa.Engine, settings: Settings) -> None:
    async def script(telegram: SimulatedTelegram, until: Callable[[Condition], Awaitable[None]]) -> None:
        await Play(telegram, seed=2).run()
        telegram.heal()
        await until(lambda: _stored(engine) == telegram.ledger.present())
        await until(lambda: _photo_count(engine) == _expected_photos(telegram))

    telegram = run_listener(engine, settings, script)
    assert len(telegram.ledger.entries) > 100
    # Nothing that was never posted, and no message twice.
    posted = {(entry.channel_id, entry.message_id, entry.text_hash) for entry in telegram.ledger.entries if entry.kind != "delete"}
    rows = _messages(engine).filter(~pl.col("is_deleted"))
    revisions = [(channel_id, message_id, text_hash(text)) for channel_id, message_id, text in rows.select(_TEXT).iter_rows()]
    assert set(revisions) <= posted
    assert len(revisions) == len(set(revisions))


def test_what_was_missed_while_the_connection_was_lost_comes_without_waiting_for_the_next_post(
    engine: sa.Engine, settings: Settings
) -> None:
    async def script(telegram: SimulatedTelegram, until: Callable[[Condition], Awaitable[None]]) -> None:
        telegram.close_door(0.3)
        telegram.post(1001, "the pump is at 17:00")
        telegram.edit(1002, 1, "the pump is at 18:00")
        await until(lambda: _stored(engine) == telegram.ledger.present())

    run_listener(engine, settings, script)


_TEXT = ("channel_id", "message_id", "text")


def _messages(engine: sa.Engine) -> pl.DataFrame:
    table = tables.TELEGRAM_MESSAGES
    chosen = (
        table.c[name]
        for name in ("channel_id", "message_id", "revision_id", "edited_at", "is_deleted", "text", "media_file", "ingested_at")
    )
    return read_frame(engine, sa.select(*chosen))


def _stored(engine: sa.Engine) -> dict[tuple[int, int], str]:
    """What the database says is present: the latest revision of each message that is not deleted."""
    rows = _messages(engine)
    gone = rows.filter("is_deleted").select("channel_id", "message_id").unique()
    newest = (
        rows.filter(~pl.col("is_deleted"))
        .join(gone, on=["channel_id", "message_id"], how="anti")
        .sort(pl.col("edited_at").fill_null(pl.datetime(1970, 1, 1, time_zone="UTC")), "ingested_at")
        .group_by("channel_id", "message_id", maintain_order=True)
        .last()
    )
    return {(channel_id, message_id): text_hash(text) for channel_id, message_id, text in newest.select(_TEXT).iter_rows()}


def _photo_count(engine: sa.Engine) -> int:
    """Messages that are there and whose photo was stored."""
    rows = _messages(engine)
    gone = rows.filter("is_deleted").select("channel_id", "message_id").unique()
    with_photo = rows.filter(pl.col("media_file").is_not_null()).select("channel_id", "message_id").unique()
    return with_photo.join(gone, on=["channel_id", "message_id"], how="anti").height


def _expected_photos(telegram: SimulatedTelegram) -> int:
    return sum(message.media is not None for channel in telegram.channels.values() for message in channel.messages.values())
