"""Complete histories: resuming, rereading, flood waits, vanished channels, photos."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import polars as pl
import pytest
import sqlalchemy as sa
from telethon import errors

from pnd_dagster import tables
from pnd_dagster.errors import SettingError
from pnd_dagster.storage import read_frame
from pnd_dagster.telegram import history
from pnd_dagster.telegram.channel_store import Cursor, PostgresChannelStore
from pnd_dagster.telegram.client import ChannelReference, TelethonReader
from pnd_dagster.telegram.history import read_histories, start_reading
from pnd_dagster.telegram.media import MediaFolder

ROCKET = ChannelReference(7, "rocket")
MOON = ChannelReference(8, "moon")


def read(engine, client, *references, media=None, sleep=None, now):
    async def no_sleep(seconds: float) -> None:
        await asyncio.sleep(0)

    async def run():
        reading = start_reading(
            TelethonReader(client), PostgresChannelStore(engine), source="history", media=media, clock=lambda: now, sleep=sleep or no_sleep
        )
        return await read_histories(reading, references)

    return run()


def messages(engine) -> pl.DataFrame:
    table = tables.TELEGRAM_MESSAGES
    return read_frame(engine, sa.select(table)).sort("channel_id", "message_id", "ingested_at")


def dead_letter_reasons(engine) -> list[str]:
    return read_frame(engine, sa.select(tables.DEAD_LETTERS.c.reason)).to_series().to_list()


@pytest.fixture
def client(telegram):
    """A client with one channel of 350 messages, one every hour, the last of them now, one of them a service message."""

    async def make():
        return telegram.FakeClient()

    client = asyncio.run(make())
    channel = client.channel(7, username="rocket")
    for number in range(1, 351):
        channel.post(number, f"message {number}", telegram.NOW - timedelta(hours=350 - number), views=number)
    channel.service(351, telegram.NOW)
    return client


def test_a_history_is_read_whole_and_a_second_run_changes_nothing(engine, client, telegram):
    (outcome,) = asyncio.run(read(engine, client, ROCKET, now=telegram.NOW))
    stored = messages(engine)
    assert (outcome.message_count, outcome.deletion_count, outcome.is_complete) == (351, 0, True)
    assert stored["message_id"].to_list() == list(range(1, 352))
    assert stored.row(-1, named=True)["service_action"] == "MessageActionChatEditTitle"
    assert PostgresChannelStore(engine).cursor(7) == Cursor(7, 1, 351, is_history_complete=True)
    (again,) = asyncio.run(read(engine, client, ROCKET, now=telegram.NOW + timedelta(minutes=1)))
    assert (again.message_count, again.deletion_count) == (0, 0)
    assert messages(engine).equals(stored)


def test_what_telegram_says_of_a_channel_is_noted_and_a_humans_decision_stays(engine, client, telegram):
    with engine.begin() as connection:
        row = {"channel_id": 7, "found_via": "tgstat", "status": "validated", "is_vanished": True, "discovered_at": telegram.NOW}
        connection.execute(sa.insert(tables.TELEGRAM_CHANNELS).values(**row, status_reason="vanished"))
    asyncio.run(read(engine, client, ROCKET, now=telegram.NOW))
    columns = ("title", "username", "participants", "found_via", "status", "is_vanished", "status_reason")
    channel = read_frame(engine, sa.select(*(tables.TELEGRAM_CHANNELS.c[name] for name in columns)))
    assert channel.rows() == [("Rocket Room", "rocket", 1000, "tgstat", "validated", False, None)]


def test_a_channel_known_by_its_link_takes_over_what_was_decided_of_the_link(engine, client, telegram):
    link = ChannelReference(-99, link="https://t.me/rocket")
    with engine.begin() as connection:
        row = {"channel_id": -99, "link": link.link, "found_via": "link list", "status": "validated", "is_vanished": False}
        connection.execute(sa.insert(tables.TELEGRAM_CHANNELS).values(**row, discovered_at=telegram.NOW))
    (outcome,) = asyncio.run(read(engine, client, link, now=telegram.NOW))
    assert outcome.channel_id == 7
    assert PostgresChannelStore(engine).references() == [ChannelReference(7, "rocket", "https://t.me/rocket")]


def test_a_run_that_breaks_off_is_resumed_where_it_stopped(engine, client, telegram):
    client.failures["iter_messages 7"] = []
    pages = 0
    read_page = client._fail

    def break_after_two(method, channel_id):
        nonlocal pages
        pages += method == "iter_messages"
        if pages == 3:
            raise errors.AuthKeyUnregisteredError(None)
        read_page(method, channel_id)

    client._fail = break_after_two
    with pytest.raises(SettingError, match="run `pnd login`"):
        asyncio.run(read(engine, client, ROCKET, now=telegram.NOW))
    assert messages(engine)["message_id"].to_list() == list(range(152, 352))
    assert PostgresChannelStore(engine).cursor(7) == Cursor(7, 152, 351)

    client._fail = read_page
    client.channels[7].post(352, "posted meanwhile", telegram.NOW)
    (outcome,) = asyncio.run(read(engine, client, ROCKET, now=telegram.NOW))
    assert outcome.message_count == 152
    assert messages(engine)["message_id"].to_list() == list(range(1, 353))


def test_edits_and_deletions_of_the_last_48_hours_are_found_and_older_ones_left(engine, client, telegram):
    asyncio.run(read(engine, client, ROCKET, now=telegram.NOW))
    later = telegram.NOW + timedelta(minutes=30)
    channel = client.channels[7]
    channel.edit(349, "the pump is postponed", later)
    channel.delete(348, 350, 351)
    channel.delete(10)
    (outcome,) = asyncio.run(read(engine, client, ROCKET, now=later))
    assert outcome.deletion_count == 3
    revised = messages(engine).filter(pl.col("ingested_at") == later)
    assert revised.select("message_id", "text", "is_deleted", "edited_at").rows() == [
        (348, "", True, None),
        (349, "the pump is postponed", False, later),
        (350, "", True, None),
        (351, "", True, None),
    ]
    before = messages(engine)
    asyncio.run(read(engine, client, ROCKET, now=later + timedelta(minutes=5)))
    assert messages(engine).equals(before)


def test_a_reaction_makes_no_new_revision(engine, client, telegram):
    asyncio.run(read(engine, client, ROCKET, now=telegram.NOW))
    message = client.channels[7].messages[349]
    message.edit_date, message.edit_hide, message.views = telegram.NOW, True, 9999
    asyncio.run(read(engine, client, ROCKET, now=telegram.NOW + timedelta(minutes=1)))
    assert messages(engine).height == 351
    stats = tables.TELEGRAM_MESSAGE_STATS
    assert read_frame(engine, sa.select(stats.c.views).where(stats.c.message_id == 349)).item() == 9999


def test_a_channel_that_must_wait_holds_up_no_other(engine, client, telegram):
    moon = client.channel(8, "Moon Club", username="moon")
    moon.post(1, "hello", telegram.NOW)
    client.failures["iter_messages 7"] = [errors.FloodWaitError(None, 500), errors.FloodWaitError(None, 20)]
    slept: list[float] = []
    order: list[int] = []

    async def run():
        moon_is_done = asyncio.Event()

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            await asyncio.wait_for(moon_is_done.wait(), 10)

        reading = start_reading(
            TelethonReader(client), PostgresChannelStore(engine), source="history", clock=lambda: telegram.NOW, sleep=sleep
        )

        def note(outcome):
            order.append(outcome.channel_id)
            if outcome.channel_id == 8:
                moon_is_done.set()

        return await read_histories(reading, [ROCKET, MOON], on_channel=note)

    outcomes = asyncio.run(run())
    assert order == [8, 7]
    assert slept == [501.0, 21.0]
    assert [outcome.message_count for outcome in outcomes] == [351, 1]


def test_failures_of_the_moment_are_retried_and_those_that_last_are_told(engine, client, telegram):
    client.channel(8, "Moon Club", username="moon").post(1, "hello", telegram.NOW)
    client.failures["iter_messages 7"] = [ConnectionResetError()] * 2
    client.failures["iter_messages 8"] = [errors.RpcCallFailError(None)] * 50
    rocket, moon = asyncio.run(read(engine, client, ROCKET, MOON, now=telegram.NOW))
    assert (rocket.message_count, rocket.error) == (351, None)
    assert (moon.is_complete, moon.error) == (False, "reading channel 8: RpcCallFailError")


@pytest.mark.parametrize(
    "gone",
    [errors.ChannelPrivateError(None), errors.ChannelInvalidError(None), errors.UsernameNotOccupiedError(None)],
    ids=lambda one: type(one).__name__,
)
def test_a_channel_that_vanished_is_marked_and_the_others_go_on(engine, client, telegram, gone):
    client.channel(8, "Moon Club", username="moon").post(1, "hello", telegram.NOW)
    asyncio.run(read(engine, client, ROCKET, MOON, now=telegram.NOW))
    client.channels[8].gone = gone
    client.channels[7].post(352, "still here", telegram.NOW)
    rocket, moon = asyncio.run(read(engine, client, ROCKET, MOON, now=telegram.NOW))
    assert (rocket.message_count, moon.is_vanished) == (1, True)
    table = tables.TELEGRAM_CHANNELS
    assert read_frame(engine, sa.select(table.c.channel_id, table.c.is_vanished, table.c.status_reason)).sort("channel_id").rows() == [
        (7, False, None),
        (8, True, "vanished"),
    ]
    assert messages(engine).filter(pl.col("is_deleted")).is_empty()


def test_photos_are_downloaded_up_to_the_limit_and_named_in_their_rows(engine, client, telegram, tmp_path):
    channel = client.channels[7]
    channel.post(360, "the coin is", telegram.NOW, media=telegram.photo_media(55, 900))
    channel.post(361, "", telegram.NOW, media=telegram.photo_media(56, 5000))
    channel.post(362, "", telegram.NOW, media=telegram.photo_media(57, 900))
    channel.post(363, "", telegram.NOW, media=telegram.photo_media(58, 900))
    client.photos |= {55: b"j" * 900, 57: b"lies" * 1000, 58: b"ok"}
    client.failures["download"] = [errors.FloodWaitError(None, 5)]
    folder = MediaFolder(tmp_path / "media", 1000)
    asyncio.run(read(engine, client, ROCKET, now=telegram.NOW, media=folder))
    photos = messages(engine).filter(pl.col("message_id") >= 360)
    assert photos.select("message_id", "media_type", "media_file").rows() == [
        (360, "MessageMediaPhoto", "7/360_55.jpg"),
        (361, "MessageMediaPhoto", None),
        (362, "MessageMediaPhoto", None),
        (363, "MessageMediaPhoto", "7/363_58.jpg"),
    ]
    assert sorted(path.name for path in folder.path.rglob("*") if path.is_file()) == ["360_55.jpg", "363_58.jpg"]
    assert sorted(dead_letter_reasons(engine)) == ["photo is larger than 1000 bytes", "photo of message 362 is larger than 1000 bytes"]
    downloads = client.requests.count(("download", 0))
    asyncio.run(read(engine, client, ROCKET, now=telegram.NOW, media=folder))
    assert messages(engine).filter(pl.col("message_id") >= 360).equals(photos)
    # Only what failed is tried again.
    assert client.requests.count(("download", 0)) == downloads + 1


def test_the_histories_of_all_validated_channels_are_read_with_the_history_session(engine, settings, client, telegram, monkeypatch):
    asyncio.run(read(engine, client, ROCKET, now=telegram.NOW))
    with engine.begin() as connection:
        connection.execute(sa.update(tables.TELEGRAM_CHANNELS).values(status="validated"))
    client.channel(8, "Moon Club", username="moon").post(1, "never asked for", telegram.NOW)
    client.channels[7].post(352, "news", telegram.NOW)
    opened: list[str] = []
    monkeypatch.setattr(history, "open_reader", lambda settings, purpose: opened.append(purpose) or TelethonReader(client))
    told: list[int] = []
    outcomes = history.update_histories(engine, settings, on_channel=lambda outcome: told.append(outcome.channel_id))
    assert [(outcome.channel_id, outcome.message_count) for outcome in outcomes] == [(7, 1)]
    assert (opened, told) == (["history"], [7])
    assert client.disconnected.done()
