"""The boundary to Telethon: its exceptions become ours, and nothing but reads goes through."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path

import pytest
from telethon import errors

import pnd_dagster
from pnd_dagster.errors import SettingError, SourceError, TransientError
from pnd_dagster.telegram.client import ChannelGoneError, ChannelReference, TelegramReader, TelethonReader


def ask(telegram, question, *, prepare=lambda client: None):
    async def run():
        client = telegram.FakeClient()
        client.channel(7, username="rocket").post(1, "hello")
        prepare(client)
        reader = TelethonReader(client)
        return await question(reader)

    return asyncio.run(run())


def find(reader):
    return reader.find_channel(ChannelReference(7, "rocket"))


@pytest.mark.parametrize(
    ("raised", "expected", "told"),
    [
        (errors.FloodWaitError(None, 42), TransientError, "asks to wait 42 s"),
        (errors.FloodPremiumWaitError(None, 3), TransientError, "asks to wait 3 s"),
        (errors.ChannelPrivateError(None), ChannelGoneError, "ChannelPrivate"),
        (errors.ChannelInvalidError(None), ChannelGoneError, "ChannelInvalid"),
        (errors.UsernameNotOccupiedError(None), ChannelGoneError, "UsernameNotOccupied"),
        (errors.UsernameInvalidError(None), ChannelGoneError, "UsernameInvalid"),
        (errors.InviteHashExpiredError(None), ChannelGoneError, "InviteHashExpired"),
        (errors.AuthKeyUnregisteredError(None), SettingError, "run `pnd login`"),
        (errors.SessionRevokedError(None), SettingError, "run `pnd login`"),
        (errors.RpcCallFailError(None), TransientError, "RpcCallFail"),
        (errors.TimedOutError(None, "timeout"), TransientError, "TimedOut"),
        (ConnectionResetError("reset"), TransientError, "ConnectionReset"),
        (TimeoutError(), TransientError, "Timeout"),
        (errors.MsgIdInvalidError(None), SourceError, "MsgIdInvalid"),
    ],
)
def test_telethons_exceptions_become_ours(telegram, raised, expected, told):
    with pytest.raises(expected, match=told) as caught:
        ask(telegram, find, prepare=lambda client: client.failures["get_entity"].append(raised))
    assert type(caught.value) is expected
    seconds = caught.value.retry_after_seconds if isinstance(caught.value, TransientError) else None
    assert seconds == getattr(raised, "seconds", None)


def test_a_channel_is_found_by_its_id_without_asking_for_its_name(telegram):
    found = ask(telegram, find)
    assert (found.channel_id, found.title, found.username, found.participants, found.is_joined) == (7, "Rocket Room", "rocket", 1000, True)


def test_a_channel_that_was_never_seen_is_found_by_its_name(telegram):
    assert ask(telegram, find, prepare=lambda client: client.seen_ids.clear()).channel_id == 7


def test_a_channel_that_was_never_seen_and_has_no_name_is_a_clear_error(telegram):
    with pytest.raises(SourceError, match="channel 7: this account has never seen it; its username or link is needed"):
        ask(telegram, lambda reader: reader.find_channel(ChannelReference(7)), prepare=lambda client: client.seen_ids.clear())


def test_a_name_that_nobody_holds_or_that_another_channel_took_over_means_that_the_channel_is_gone(telegram):
    with pytest.raises(ChannelGoneError, match="No user has"):
        ask(telegram, lambda reader: reader.find_channel(ChannelReference(-1, link="https://t.me/nobody")))
    with pytest.raises(ChannelGoneError, match="its name rocket now belongs to channel 7"):
        ask(telegram, lambda reader: reader.find_channel(ChannelReference(8, "rocket")))


def test_an_invitation_to_a_channel_we_are_not_in_leads_nowhere(telegram):
    refused = ValueError("Cannot get entity from a channel (or group) that you are not part of. Join the group and retry")
    with pytest.raises(ChannelGoneError, match="not part of"):
        ask(
            telegram,
            lambda reader: reader.find_channel(ChannelReference(-1, link="https://t.me/+abc")),
            prepare=lambda client: client.failures["get_entity"].append(refused),
        )


def test_a_person_is_no_channel(telegram):
    from telethon.tl.types import ChannelForbidden, User

    def put(entity):
        def prepare(client):
            client.channels[7].entity = entity

        return prepare

    with pytest.raises(SourceError, match="is no channel but a User"):
        ask(telegram, find, prepare=put(User(7, first_name="Jane")))
    with pytest.raises(ChannelGoneError, match="closed to us"):
        ask(telegram, find, prepare=put(ChannelForbidden(7, 1, "Rocket Room")))


def test_a_session_without_login_is_told_at_connecting(telegram):
    def log_out(client):
        client.is_authorized = False

    with pytest.raises(SettingError, match="run `pnd login`"):
        ask(telegram, lambda reader: reader.connect(), prepare=log_out)


def test_a_photo_is_cut_off_at_the_limit(telegram):
    async def run():
        client = telegram.FakeClient()
        message = client.channel(7).post(1, "", media=telegram.photo_media(55, 10)).message
        client.photos[55] = b"x" * 5000
        reader = TelethonReader(client)
        assert await reader.photo(message, max_bytes=5000) == b"x" * 5000
        with pytest.raises(SourceError, match="photo of message 1 is larger than 3000 bytes"):
            await reader.photo(message, max_bytes=3000)
        client.photos[55] = b""
        with pytest.raises(SourceError, match="photo of message 1 is empty"):
            await reader.photo(message, max_bytes=3000)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({}, range(250, 150, -1)),
        ({"below": 120}, range(119, 19, -1)),
        ({"below": 50}, range(49, 0, -1)),
        ({"below": 1}, []),
        ({"above": 0, "oldest_first": True}, range(1, 101)),
        ({"above": 100, "oldest_first": True}, range(101, 201)),
        ({"above": 200, "oldest_first": True}, range(201, 251)),
        ({"above": 250, "oldest_first": True}, []),
        ({"above": 400, "oldest_first": True}, []),
    ],
)
def test_pages_hold_what_lies_between_their_bounds(telegram, bounds, expected):
    def fill(client):
        for number in range(1, 251):
            client.channels[7].post(number, f"message {number}")

    async def question(reader):
        return [message.id for message in await reader.page(await find(reader), **bounds)]

    assert ask(telegram, question, prepare=fill) == list(expected)


def test_an_invalid_counter_counts_as_having_been_away_too_long(telegram):
    async def question(reader):
        return await reader.difference(await find(reader), 3)

    answer = ask(
        telegram, question, prepare=lambda client: client.failures["difference"].append(errors.PersistentTimestampInvalidError(None))
    )
    assert (answer.is_too_long, answer.pts) == (True, 2)


def test_the_reader_offers_reads_only():
    public = {name for name in dir(TelethonReader) if not name.startswith("_")}
    assert public == {
        "connect",
        "disconnect",
        "wait_until_disconnected",
        "find_channel",
        "page",
        "current_pts",
        "difference",
        "photo",
        "subscribe",
    }
    assert public == {name for name in vars(TelegramReader) if not name.startswith("_")}


def test_telethon_is_imported_only_when_a_function_needs_it():
    package = Path(pnd_dagster.__file__).parent
    at_import = [
        f"{path.name}: {ast.unparse(statement)}"
        for path in [*package.glob("telegram/*.py"), *package.glob("services/*.py")]
        for statement in ast.parse(path.read_text()).body
        if isinstance(statement, ast.Import | ast.ImportFrom) and "telethon" in ast.unparse(statement)
    ]
    assert at_import == []
    assert "from telethon import errors" in (package / "telegram/client.py").read_text()
