"""The simulated Telegram, asked by the real Telethon as our reader uses it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from telethon.tl.functions.messages import SendMessageRequest

from pnd_dagster.errors import SettingError, SourceError, TransientError
from pnd_dagster.settings import Settings, load_settings
from pnd_dagster.simulator.telegram.channels import ChannelInfo
from pnd_dagster.simulator.telegram.server import SimulatedTelegram
from pnd_dagster.simulator.telegram.sessions import make_sessions
from pnd_dagster.telegram.client import ChannelGoneError, ChannelReference, FoundChannel, TelethonReader
from pnd_dagster.telegram.sessions import open_reader

ROCKET = ChannelInfo(1001, "Rocket Room", "rocket_room")
QUIET = ChannelInfo(1002, "Quiet Corner", "quiet_corner", is_joined=False)


@pytest.fixture
def configured(tmp_path: Path) -> Settings:
    """Settings that lead to a session in the test's folder."""
    return load_settings(home=tmp_path / "home", telegram_session_file=tmp_path / "s.session", telegram_api_id=1, telegram_api_hash="x")


class Scene:
    """A server, a reader connected to it, its main channel, and the updates it got."""

    def __init__(self, telegram: SimulatedTelegram, reader: TelethonReader, settings: Settings) -> None:
        self.telegram, self.reader, self.settings = telegram, reader, settings
        self.updates: list[Any] = []
        self.channel: FoundChannel

    async def got(self, count: int) -> list[Any]:
        """The updates once there are so many."""
        async with asyncio.timeout(20):
            while len(self.updates) < count:
                await asyncio.sleep(0.01)
        return self.updates


@asynccontextmanager
async def scene(settings: Settings, *, is_seen: bool = True) -> AsyncIterator[Scene]:
    async with SimulatedTelegram([ROCKET, QUIET]) as telegram:
        make_sessions(settings.telegram_session_file, telegram.port, seen=[ROCKET, QUIET] if is_seen else [])
        made = Scene(telegram, open_reader(settings), settings)

        async def take(update: Any) -> None:
            made.updates.append(update)

        made.reader.subscribe(take)
        async with asyncio.timeout(10):
            await made.reader.connect()
        made.channel = await made.reader.find_channel(ChannelReference(1001, "rocket_room"))
        try:
            yield made
        finally:
            await made.reader.disconnect()


def play(settings: Settings, script: Callable[[Scene], Awaitable[None]], **options: Any) -> SimulatedTelegram:
    """Runs a script in a scene; our reader asked for nothing unknown. Returns the server."""

    async def main() -> SimulatedTelegram:
        async with scene(settings, **options) as made, asyncio.timeout(30):
            await script(made)
            return made.telegram

    telegram = asyncio.run(main())
    assert telegram.unknown == []
    return telegram


def kinds(updates: list[Any]) -> list[tuple[str, int, int]]:
    """Kind, count and step of updates."""
    return [(type(update).__name__, update.pts, update.pts_count) for update in updates]


def test_a_channel_is_found_by_its_id_once_seen_and_by_its_name_otherwise(configured: Settings) -> None:
    async def script(made: Scene) -> None:
        reader = made.reader
        assert made.channel[:5] == (1001, "Rocket Room", "rocket_room", 1000, True)
        assert not (await reader.find_channel(ChannelReference(-1, link="https://t.me/quiet_corner"))).is_joined
        with pytest.raises(ChannelGoneError, match="belongs to channel 1001"):
            await reader.find_channel(ChannelReference(4, "rocket_room"))
        with pytest.raises(ChannelGoneError):
            await reader.find_channel(ChannelReference(5, "nobody_here"))
        with pytest.raises(SourceError, match="never seen it"):
            await reader.find_channel(ChannelReference(6))

    telegram = play(configured, script, is_seen=False)
    assert telegram.requests["contacts.resolveUsername"] == 4


def test_pages_go_both_ways_and_miss_nothing(configured: Settings) -> None:
    async def script(made: Scene) -> None:
        for number in range(1, 251):
            made.telegram.post(1001, f"message {number}")
        made.telegram.delete(1001, 7, 150)
        expected = [one for one in range(1, 251) if one not in (7, 150)]
        newest_first: list[int] = []
        while page := await made.reader.page(made.channel, below=newest_first[-1] if newest_first else 0):
            newest_first += [message.id for message in page]
        assert newest_first == expected[::-1]
        oldest_first = [0]
        while page := await made.reader.page(made.channel, above=oldest_first[-1], oldest_first=True):
            oldest_first += [message.id for message in page]
        assert oldest_first[1:] == expected
        assert page == []
        between = await made.reader.page(made.channel, above=10, below=13)
        assert [(message.id, message.message) for message in between] == [(12, "message 12"), (11, "message 11")]

    play(configured, script)


def test_posts_edits_and_deletions_arrive_as_updates_in_their_order(configured: Settings) -> None:
    async def script(made: Scene) -> None:
        first = made.telegram.post(1001, "pump at 17:00 🚀", reply_to=None, at=datetime(2026, 3, 1, 12, 0, 1, 500_000, tzinfo=UTC))
        made.telegram.edit(1001, first, "pump at 18:00")
        second = made.telegram.post(1001, "two hours left", reply_to=first)
        made.telegram.delete(1001, first, second)
        made.telegram.post(1002, "nobody who has not joined is told this")
        made.telegram.post(1001, "last")
        updates = await made.got(5)
        assert kinds(updates) == [
            ("UpdateNewChannelMessage", 2, 1),
            ("UpdateEditChannelMessage", 3, 1),
            ("UpdateNewChannelMessage", 4, 1),
            ("UpdateDeleteChannelMessages", 6, 2),
            ("UpdateNewChannelMessage", 7, 1),
        ]
        assert updates[0].message.date == datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC)
        assert (updates[0].message.message, updates[1].message.message) == ("pump at 17:00 🚀", "pump at 18:00")
        assert updates[1].message.edit_date is not None
        assert updates[2].message.reply_to.reply_to_msg_id == first
        assert updates[3].messages == [first, second]
        assert await made.reader.current_pts(made.channel) == 7

    telegram = play(configured, script)
    assert [(entry.kind, entry.message_id, entry.edit) for entry in telegram.ledger.entries if entry.channel_id == 1001] == [
        ("post", 1, 0),
        ("edit", 1, 1),
        ("post", 2, 0),
        ("delete", 1, 1),
        ("delete", 2, 0),
        ("post", 3, 0),
    ]
    assert set(telegram.ledger.present()) == {(1001, 3), (1002, 1)}


def test_a_difference_comes_in_parts_in_its_last_state_and_is_too_long_beyond_the_limit(configured: Settings) -> None:
    async def script(made: Scene) -> None:
        reader, telegram, channel = made.reader, made.telegram, made.channel
        empty = await reader.difference(channel, 1)
        assert (empty.pts, empty.is_final, len(empty.messages)) == (1, True, 0)
        for number in range(30):
            telegram.post(1001, f"message {number}")
        telegram.edit(1001, 3, "edited before it was read")
        telegram.delete(1001, 4)
        part = await reader.difference(channel, 1)
        assert (part.pts, part.is_final, len(part.messages)) == (21, False, 19)
        assert next(one.message for one in part.messages if one.id == 3) == "edited before it was read"
        rest = await reader.difference(channel, part.pts)
        assert (rest.pts, rest.is_final, len(rest.messages)) == (33, True, 10)
        assert [type(update).__name__ for update in rest.updates] == ["UpdateEditChannelMessage", "UpdateDeleteChannelMessages"]
        for number in range(70):
            telegram.post(1001, f"more {number}")
        assert (await reader.difference(channel, 3)).is_too_long is False
        long = await reader.difference(channel, 2)
        assert (long.is_too_long, long.is_final, long.pts) == (True, True, 103)
        beyond = await reader.difference(channel, 9_999)
        assert (beyond.is_too_long, beyond.pts) == (True, 103)

    play(configured, script)


def test_a_photo_is_served_as_it_was_posted_in_as_many_parts_as_it_takes(configured: Settings) -> None:
    picture = bytes(range(256)) * 1500

    async def script(made: Scene) -> None:
        made.telegram.post(1001, "the coin is on the picture", image=picture)
        message = (await made.got(1))[0].message
        assert await made.reader.photo(message, max_bytes=1_000_000) == picture
        with pytest.raises(SourceError, match="larger than 1000 bytes"):
            await made.reader.photo(message, max_bytes=1000)

    assert play(configured, script).requests["upload.getFile"] >= 3


def test_a_thousand_updates_arrive_once_each_and_in_order(configured: Settings) -> None:
    async def script(made: Scene) -> None:
        for number in range(1000):
            made.telegram.post(1001, f"message {number}")
        updates = await made.got(1000)
        assert [update.message.id for update in updates] == list(range(1, 1001))
        assert [update.message.message for update in updates] == [f"message {number}" for number in range(1000)]

    play(configured, script)


def test_after_a_lost_connection_the_reader_connects_again_and_the_difference_tells_what_it_missed(configured: Settings) -> None:
    async def script(made: Scene) -> None:
        made.telegram.post(1001, "before")
        pts = (await made.got(1))[0].pts
        assert made.telegram.close_door(0.2) == 1
        made.telegram.post(1001, "while away")
        made.telegram.edit(1001, 1, "edited while away")
        with pytest.raises(TransientError):
            await made.reader.wait_until_disconnected()
        await made.reader.disconnect()
        await asyncio.sleep(0.2)
        await made.reader.connect()
        missed = await made.reader.difference(made.channel, pts)
        assert [one.message for one in missed.messages] == ["while away"]
        assert [update.message.message for update in missed.updates] == ["edited while away"]
        made.telegram.edit(1001, 2, "edited at once after the connection")
        assert (await made.got(2))[1].message.message == "edited at once after the connection"

    play(configured, script)


def test_the_first_update_after_a_long_absence_arrives(configured: Settings) -> None:
    async def script(made: Scene) -> None:
        made.telegram.post(1001, "before")
        await made.got(1)
        made.telegram.drop_connections()
        for number in range(150):
            made.telegram.post(1001, f"while away {number}")
        with pytest.raises(TransientError):
            await made.reader.wait_until_disconnected()
        await made.reader.disconnect()
        await made.reader.connect()
        made.telegram.post(1001, "the pump is cancelled")
        assert (await made.got(2))[-1].message.message == "the pump is cancelled"

    play(configured, script)


def test_a_gap_is_filled_with_edits_and_deletions_too(configured: Settings) -> None:
    async def script(made: Scene) -> None:
        for number in range(3):
            made.telegram.post(1001, f"message {number}")
        await made.got(3)
        made.telegram.lose_updates(3)
        made.telegram.post(1001, "lost on the way")
        made.telegram.edit(1001, 1, "its edit was lost as well")
        made.telegram.delete(1001, 2)
        made.telegram.edit(1001, 3, "this one arrives")
        await made.got(7)
        edited = {
            update.message.id: update.message.message for update in made.updates if type(update).__name__ == "UpdateEditChannelMessage"
        }
        assert edited == {1: "its edit was lost as well", 3: "this one arrives"}
        assert [update.messages for update in made.updates if type(update).__name__ == "UpdateDeleteChannelMessages"] == [[2]]
        assert "lost on the way" in [
            update.message.message for update in made.updates if type(update).__name__ == "UpdateNewChannelMessage"
        ]

    play(configured, script)


def test_silence_delays_answers_and_loses_none(configured: Settings) -> None:
    async def script(made: Scene) -> None:
        made.telegram.go_silent(0.3)
        made.telegram.post(1001, "held back")
        asked = asyncio.create_task(made.reader.current_pts(made.channel))
        await asyncio.sleep(0.15)
        assert not asked.done()
        assert made.updates == []
        assert await asked == 2
        await made.got(1)

    play(configured, script)


def test_a_flood_wait_is_told_with_its_seconds_and_ends(configured: Settings) -> None:
    async def script(made: Scene) -> None:
        made.telegram.flood(3)
        with pytest.raises(TransientError) as caught:
            await made.reader.current_pts(made.channel)
        assert caught.value.retry_after_seconds == 3.0
        assert await made.reader.current_pts(made.channel) == 1

    play(configured, script)


def test_a_channel_that_closes_is_gone_and_others_are_not(configured: Settings) -> None:
    async def script(made: Scene) -> None:
        made.telegram.fail("CHANNEL_PRIVATE", requests=None, channel_id=1001)
        with pytest.raises(ChannelGoneError, match="ChannelPrivate"):
            await made.reader.page(made.channel)
        assert await made.reader.page(await made.reader.find_channel(ChannelReference(1002, "quiet_corner"))) == []
        made.telegram.heal()
        assert await made.reader.page(made.channel) == []

    play(configured, script)


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_a_session_that_was_logged_out_is_a_setting_error(configured: Settings, is_forgotten: bool) -> None:
    async def script(made: Scene) -> None:
        if is_forgotten:
            made.telegram.forget_keys()
            made.telegram.drop_connections()
        else:
            made.telegram.revoke()
            with pytest.raises(SettingError, match="AuthKeyUnregistered"):
                await made.reader.current_pts(made.channel)
        await made.reader.disconnect()
        with pytest.raises(SettingError, match="pnd login"):
            await open_reader(made.settings).connect()

    play(configured, script)


def test_the_session_for_history_runs_beside_the_listener_and_survives_a_dropped_connection(configured: Settings) -> None:
    async def script(made: Scene) -> None:
        other = open_reader(configured, "history")
        await other.connect()
        channel = await other.find_channel(ChannelReference(1001))
        assert sorted(str(account) for account in made.telegram.connections()) == ["history", "listen"]
        made.telegram.drop_connections()
        async with asyncio.timeout(5):
            assert await other.current_pts(channel) == 1
        await other.disconnect()

    play(configured, script)


def test_what_it_does_not_know_is_refused_and_noted(configured: Settings) -> None:
    async def main() -> list[str]:
        async with scene(configured) as made:
            with pytest.raises(Exception, match="METHOD_UNKNOWN"):
                await made.reader._client(SendMessageRequest(made.channel.peer, "we never write", random_id=1))
            return made.telegram.unknown

    assert asyncio.run(main()) == ["messages.sendMessage"]
