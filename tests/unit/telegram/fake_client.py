"""A Telegram server in memory, behind the face of Telethon's client: it hands out Telethon's own objects and raises its own exceptions."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, BinaryIO, ClassVar

from telethon import events, utils
from telethon.client.messages import MessageMethods
from telethon.tl import functions, types

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


def photo_media(photo_id: int, size: int) -> types.MessageMediaPhoto:
    sizes: list[Any] = [types.PhotoStrippedSize("i", b"x"), types.PhotoSizeProgressive("y", 800, 600, [10, size])]
    return types.MessageMediaPhoto(photo=types.Photo(photo_id, 1, b"ref", NOW, sizes, 2))


class FakeChannel:
    """One channel: its messages, and the log of updates from which differences are cut."""

    def __init__(self, channel_id: int, title: str, username: str | None, *, is_joined: bool = True) -> None:
        self.channel_id = channel_id
        self.messages: dict[int, Any] = {}
        self.updates: list[Any] = []
        self.pts = 1
        self.is_difference_too_long = False
        self.gone: Exception | None = None
        self.entity = types.Channel(
            channel_id, title, types.ChatPhotoEmpty(), NOW, username=username, access_hash=1, left=not is_joined, participants_count=1000
        )

    def _tell(self, update: Any) -> Any:
        self.updates.append(update)
        return update

    def post(self, message_id: int, text: str, at: datetime = NOW, **fields: Any) -> Any:
        message = types.Message(message_id, types.PeerChannel(self.channel_id), at, text, post=True, **fields)
        self.messages[message_id] = message
        self.pts += 1
        return self._tell(types.UpdateNewChannelMessage(message, self.pts, 1))

    def service(self, message_id: int, at: datetime = NOW) -> None:
        action = types.MessageActionChatEditTitle("a new title")
        self.messages[message_id] = types.MessageService(message_id, types.PeerChannel(self.channel_id), at, action=action)

    def edit(self, message_id: int, text: str, at: datetime) -> Any:
        old = self.messages[message_id]
        message = types.Message(message_id, old.peer_id, old.date, text, post=True, edit_date=at)
        self.messages[message_id] = message
        self.pts += 1
        return self._tell(types.UpdateEditChannelMessage(message, self.pts, 1))

    def delete(self, *message_ids: int) -> Any:
        for message_id in message_ids:
            self.messages.pop(message_id, None)
        self.pts += len(message_ids)
        return self._tell(types.UpdateDeleteChannelMessages(self.channel_id, list(message_ids), self.pts, len(message_ids)))


class FakeClient(MessageMethods):
    """The part of TelegramClient that we call. `failures[method]` are raised one by one before the method works again."""

    def __init__(self) -> None:
        self.channels: dict[int, FakeChannel] = {}
        self.failures: dict[str, list[Exception]] = defaultdict(list)
        self.seen_ids: set[int] = set()
        self.photos: dict[int, bytes] = {}
        self.requests: list[tuple[str, int]] = []
        self.handlers: list[tuple[Callable[[Any], Awaitable[None]], Any]] = []
        self.is_authorized = True
        self.connections = 0
        self.disconnected: asyncio.Future[None] = asyncio.Future()

    def channel(self, channel_id: int, title: str = "Rocket Room", username: str | None = None, **options: Any) -> FakeChannel:
        self.channels[channel_id] = FakeChannel(channel_id, title, username, **options)
        self.seen_ids.add(channel_id)
        return self.channels[channel_id]

    def _fail(self, method: str, channel_id: int) -> None:
        self.requests.append((method, channel_id))
        for key in (method, f"{method} {channel_id}"):
            if self.failures[key]:
                raise self.failures[key].pop(0)
        if channel_id in self.channels and (gone := self.channels[channel_id].gone):
            raise gone

    async def connect(self) -> None:
        self.connections += 1
        self.disconnected = asyncio.get_running_loop().create_future()
        self._fail("connect", 0)

    async def disconnect(self) -> None:
        self.lose_connection()

    def lose_connection(self) -> None:
        if not self.disconnected.done():
            self.disconnected.set_result(None)

    async def is_user_authorized(self) -> bool:
        return self.is_authorized

    async def get_entity(self, reference: Any) -> Any:
        self._fail("get_entity", 0)
        if isinstance(reference, types.PeerChannel):
            if reference.channel_id not in self.seen_ids:
                raise ValueError(f"Could not find the input entity for {reference!r}")
            self._fail("get_entity", reference.channel_id)
            return self.channels[reference.channel_id].entity
        for channel in self.channels.values():
            if channel.entity.username == str(reference).removeprefix("https://t.me/"):
                self._fail("get_entity", channel.channel_id)
                return channel.entity
        raise ValueError(f'No user has "{reference}" as username')

    # What Telethon's own iteration over messages, which this client inherits, asks of a client.
    _self_id = 1
    _mb_entity_cache: ClassVar[dict[int, Any]] = {}

    async def get_input_entity(self, entity: Any) -> Any:
        return utils.get_input_peer(entity)

    def _history(self, request: functions.messages.GetHistoryRequest) -> Any:
        """Telegram's answer: newest first, from the first message older than the offset, moved by add_offset."""
        channel = self.channels[request.peer.channel_id]
        ids = sorted(channel.messages, reverse=True)
        start = sum(one >= request.offset_id for one in ids) if request.offset_id else 0
        start += request.add_offset
        chosen = ids[max(start, 0) : max(start + request.limit, 0)]
        chosen = [one for one in chosen if one > request.min_id and (not request.max_id or one < request.max_id)]
        return types.messages.ChannelMessages(channel.pts, len(ids), [channel.messages[one] for one in chosen], [], [channel.entity], [])

    async def __call__(self, request: Any) -> Any:
        await asyncio.sleep(0)
        if isinstance(request, functions.messages.GetHistoryRequest):
            self._fail("iter_messages", request.peer.channel_id)
            return self._history(request)
        channel = self.channels[request.channel.id]
        match request:
            case functions.channels.GetFullChannelRequest():
                self._fail("full_channel", channel.channel_id)
                return types.messages.ChatFull(_FullChat(channel.pts), [], [])
            case functions.updates.GetChannelDifferenceRequest():
                self._fail("difference", channel.channel_id)
                return self._difference(channel, request.pts)
        raise AssertionError(f"not a read: {request}")

    def _difference(self, channel: FakeChannel, pts: int) -> Any:
        if channel.is_difference_too_long:
            dialog = types.Dialog(types.PeerChannel(channel.channel_id), 0, 0, 0, 0, 0, 0, 0, types.PeerNotifySettings(), pts=channel.pts)
            latest = [channel.messages[max(channel.messages)]]
            return types.updates.ChannelDifferenceTooLong(dialog, latest, [], [], final=True)
        missed = [update for update in channel.updates if update.pts > pts]
        if not missed:
            return types.updates.ChannelDifferenceEmpty(channel.pts, final=True)
        # Two at a time, so that every test of more sees several answers.
        part = missed[:2]
        new = [update.message for update in part if isinstance(update, types.UpdateNewChannelMessage)]
        other = [update for update in part if not isinstance(update, types.UpdateNewChannelMessage)]
        return types.updates.ChannelDifference(part[-1].pts, new, other, [], [], final=len(missed) <= 2)

    async def download_media(self, message: Any, *, file: BinaryIO) -> BinaryIO:
        self._fail("download", 0)
        content = self.photos[message.media.photo.id]
        for start in range(0, len(content), 1000):
            file.write(content[start : start + 1000])
        return file

    def add_event_handler(self, handler: Callable[[Any], Awaitable[None]], event: events.Raw) -> None:
        self.handlers.append((handler, event))

    async def push(self, update: Any) -> None:
        """Delivers an update as a live one."""
        for handler, event in self.handlers:
            if isinstance(update, event.types):
                await handler(update)


class _FullChat(types.ChannelFull):
    def __init__(self, pts: int) -> None:
        self.pts = pts
