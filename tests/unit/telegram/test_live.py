"""Live updates, and what is recovered after having been away."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import polars as pl
import pytest
import sqlalchemy as sa
from telethon import errors
from telethon.tl import types

from pnd_dagster import tables
from pnd_dagster.errors import DatabaseError
from pnd_dagster.storage import create_engine, read_frame
from pnd_dagster.telegram.channel_store import Cursor, PostgresChannelStore
from pnd_dagster.telegram.client import ChannelReference, TelethonReader
from pnd_dagster.telegram.history import start_reading
from pnd_dagster.telegram.live import channel_of, latest_pts, recover, updates_batch, watched

ROCKET = ChannelReference(7, "rocket")


def make_client(telegram):
    async def make():
        return telegram.FakeClient()

    return asyncio.run(make())


def recovered(engine, client, now, reference=ROCKET):
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0)

    async def run():
        reading = start_reading(TelethonReader(client), PostgresChannelStore(engine), source="live", clock=lambda: now, sleep=sleep)
        return await recover(reading, reference)

    return asyncio.run(run())


def messages(engine) -> pl.DataFrame:
    table = tables.TELEGRAM_MESSAGES
    chosen = (table.c.message_id, table.c.text, table.c.is_deleted, table.c.edited_at)
    return read_frame(engine, sa.select(*chosen, table.c.ingested_at)).sort("message_id", "ingested_at", "is_deleted").drop("ingested_at")


def test_new_messages_edits_and_deletions_become_revisions(engine, telegram):
    channel = telegram.FakeChannel(7, "Rocket Room", "rocket")
    now = telegram.NOW
    later = now + timedelta(seconds=30)
    forward = types.MessageFwdHeader(now, from_id=types.PeerChannel(99), channel_post=3)
    updates = [
        channel.post(1, "pump at 17:00", views=5, fwd_from=forward, reply_to=types.MessageReplyHeader(reply_to_msg_id=4)),
        channel.post(2, "buy \x00 MOON"),
        channel.edit(1, "pump at 18:00", later),
        channel.delete(2),
    ]
    store = PostgresChannelStore(engine)
    batch = updates_batch(updates, store, source="live", now=later)
    assert batch.messages.select("message_id", "text", "is_deleted", "edited_at", "occurred_at").rows() == [
        (1, "pump at 17:00", False, None, now),
        (2, "buy \ufffd MOON", False, None, now),
        (1, "pump at 18:00", False, later, now),
        (2, "", True, None, now),
    ]
    first = batch.messages.row(0, named=True)
    assert (first["forwarded_from_channel_id"], first["forwarded_from_message_id"], first["reply_to_message_id"]) == (99, 3, 4)
    assert latest_pts(updates) == {7: channel.pts}
    store.save(batch)
    store.save(updates_batch(updates, store, source="live", now=later + timedelta(hours=1)))
    assert messages(engine).height == 4


def test_a_deletion_names_the_time_of_the_message_and_of_unknown_ones_a_dead_letter_is_kept(engine, telegram):
    channel = telegram.FakeChannel(7, "Rocket Room", "rocket")
    store = PostgresChannelStore(engine)
    store.save(updates_batch([channel.post(1, "pump at 17:00")], store, source="live", now=telegram.NOW))
    batch = updates_batch([channel.delete(1, 40, 41)], store, source="live", now=telegram.NOW + timedelta(hours=1))
    assert batch.messages.select("message_id", "occurred_at", "is_deleted").rows() == [(1, telegram.NOW, True)]
    assert batch.dead_letters.select("reason", "payload").rows() == [("deletion of messages that were never read", "[40, 41]")]


def test_names_and_ids_of_people_are_left_behind(telegram):
    forward = types.MessageFwdHeader(telegram.NOW, from_id=types.PeerUser(778), from_name="Jane Doe", post_author="Jane D.")
    update = telegram.FakeChannel(7, "Rocket Room", None).post(1, "hi", from_id=types.PeerUser(777), fwd_from=forward, post_author="Jane")
    batch = updates_batch([update], None, source="live", now=telegram.NOW)
    assert batch.messages["is_from_member"].to_list() == [True]
    everything = "".join(frame.write_json() for frame in batch[:4])
    for trace in ("Jane", "777", "778"):
        assert trace not in everything


def test_updates_of_channels_that_are_not_watched_are_left_out(telegram):
    ours, other = telegram.FakeChannel(7, "Rocket Room", None).post(1, "x"), telegram.FakeChannel(8, "Family", None).post(1, "private")
    typing = types.UpdateChannelUserTyping(7, types.PeerUser(1), types.SendMessageTypingAction())
    assert watched([ours, other, typing], {7}) == [ours]
    assert channel_of(typing) is None


def test_the_first_start_takes_the_last_48_hours_and_remembers_the_count(engine, telegram):
    client = make_client(telegram)
    channel = client.channel(7, username="rocket")
    for number, hours in ((1, 100), (2, 47), (3, 0)):
        channel.post(number, f"message {number}", telegram.NOW - timedelta(hours=hours))
    recovery = recovered(engine, client, telegram.NOW)
    assert (recovery.message_count, recovery.error) == (2, None)
    assert messages(engine)["message_id"].to_list() == [2, 3]
    assert PostgresChannelStore(engine).cursor(7) == Cursor(7, None, None, False, channel.pts)


def test_what_happened_while_away_is_told_by_the_difference_however_old_it_is(engine, telegram):
    client = make_client(telegram)
    channel = client.channel(7, username="rocket")
    for number in range(1, 4):
        channel.post(number, f"message {number}", telegram.NOW)
    recovered(engine, client, telegram.NOW)
    away = telegram.NOW + timedelta(days=9)
    channel.post(4, "announced", telegram.NOW + timedelta(days=2))
    channel.edit(1, "postponed", telegram.NOW + timedelta(days=2))
    channel.delete(2)
    for number in range(5, 9):
        channel.post(number, f"message {number}", telegram.NOW + timedelta(days=3))
    client.failures["difference"] = [errors.FloodWaitError(None, 3), errors.PersistentTimestampOutdatedError(None)]
    recovery = recovered(engine, client, away)
    assert (recovery.message_count, recovery.was_away_too_long, recovery.error) == (7, False, None)
    assert messages(engine).rows() == [
        (1, "message 1", False, None),
        (1, "postponed", False, telegram.NOW + timedelta(days=2)),
        (2, "message 2", False, None),
        (2, "", True, None),
        (3, "message 3", False, None),
        (4, "announced", False, None),
        *((number, f"message {number}", False, None) for number in range(5, 9)),
    ]
    assert PostgresChannelStore(engine).cursor(7).pts == channel.pts
    before = messages(engine)
    assert recovered(engine, client, away).message_count == 0
    assert messages(engine).equals(before)


def test_after_too_long_the_history_is_read_on_and_the_last_48_hours_again(engine, telegram):
    client = make_client(telegram)
    channel = client.channel(7, username="rocket")
    channel.post(1, "old", telegram.NOW)
    store = PostgresChannelStore(engine)
    store.advance(Cursor(7, 1, 1, is_history_complete=True, pts=2), now=telegram.NOW)
    store.save(updates_batch(channel.updates, store, source="live", now=telegram.NOW))
    for number in range(2, 251):
        channel.post(number, f"message {number}", telegram.NOW + timedelta(hours=number))
    away = telegram.NOW + timedelta(hours=251)
    channel.is_difference_too_long = True
    recovery = recovered(engine, client, away)
    assert (recovery.was_away_too_long, recovery.error) == (True, None)
    assert messages(engine)["message_id"].to_list() == list(range(1, 251))
    assert store.cursor(7) == Cursor(7, 1, 250, True, channel.pts)


def test_a_recovery_that_breaks_off_finds_its_gap_again(engine, telegram):
    client = make_client(telegram)
    channel = client.channel(7, username="rocket")
    store = PostgresChannelStore(engine)
    store.advance(Cursor(7, 1, 1, is_history_complete=True, pts=1), now=telegram.NOW)
    for number in range(1, 6):
        channel.post(number, f"message {number}", telegram.NOW - timedelta(days=30 - number))
    channel.is_difference_too_long = True
    client.failures["iter_messages"] = [errors.RpcCallFailError(None)] * 5
    assert recovered(engine, client, telegram.NOW).error == "reading channel 7: RpcCallFailError"
    assert store.cursor(7).pts == 1
    assert recovered(engine, client, telegram.NOW).error is None
    assert messages(engine)["message_id"].to_list() == [2, 3, 4, 5]


def test_a_vanished_channel_is_marked(engine, telegram):
    client = make_client(telegram)
    client.channel(7, username="rocket").gone = errors.ChannelPrivateError(None)
    PostgresChannelStore(engine).save(updates_batch([client.channels[7].post(1, "x")], None, source="live", now=telegram.NOW))
    assert recovered(engine, client, telegram.NOW).is_vanished
    assert read_frame(engine, sa.select(tables.TELEGRAM_CHANNELS.c.is_vanished)).to_series().to_list() == [True]


def test_cursors_only_move_forward_whoever_moves_them(engine, telegram):
    store = PostgresChannelStore(engine)
    store.advance(Cursor(7, 100, 200, pts=50), now=telegram.NOW)
    store.advance(Cursor(7, 40, 150, is_history_complete=True), now=telegram.NOW)
    store.advance(Cursor(7, pts=60), now=telegram.NOW)
    assert store.cursor(7) == Cursor(7, 40, 200, True, 60)
    assert store.cursor(8) == Cursor(8)


def test_a_database_that_is_gone_is_a_database_error_whatever_is_asked_of_it(telegram):
    store = PostgresChannelStore(create_engine("postgresql://nobody@127.0.0.1:1/nothing"))
    batch = updates_batch([telegram.FakeChannel(7, "Rocket Room", None).post(1, "x")], store, source="live", now=telegram.NOW)
    for ask in (
        lambda: store.save(batch),
        lambda: store.advance(Cursor(7, 1, 1), now=telegram.NOW),
        lambda: store.cursor(7),
        store.references,
        lambda: store.posted(7, [1]),
        lambda: store.record_vanished(7),
    ):
        with pytest.raises(DatabaseError):
            ask()
