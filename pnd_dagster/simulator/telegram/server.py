"""The simulated Telegram: channels, what is posted in them, and the clients that read along."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from telethon.tl import types

from pnd_dagster.simulator.telegram.channels import ChannelInfo, SimulatedChannel, access_hash
from pnd_dagster.simulator.telegram.connection import Connection, RefusedError, serialised
from pnd_dagster.simulator.telegram.faults import Fault
from pnd_dagster.simulator.telegram.ledger import Ledger
from pnd_dagster.simulator.telegram.requests import DATA_CENTRE, answer_to, file_reference, method_of
from pnd_dagster.simulator.telegram.sessions import HOST, LISTENING, READING
from pnd_dagster.simulator.telegram.transport import account_key

SALT = 0x51A7_0051_A700
# Small enough that differences come in parts now and then, as Telegram's do.
SLICE_CHANGES = 20


class SimulatedTelegram:
    """The server; it runs while its context lasts, on 127.0.0.1. All of it belongs to one event loop.

    Args:
        channels: the channels there are.
        port: a free one by default.

    Attributes:
        port: where it listens.
        ledger: what was posted, edited and deleted since the start; history that was loaded is not in it.
        requests: how often each method was called.
        unknown: methods that were called and are not known here; a reader calls none.
        slice_changes: how many changes one part of a difference tells.
    """

    def __init__(self, channels: Iterable[ChannelInfo] = (), *, port: int = 0) -> None:
        self.port, self.salt, self.slice_changes = port, SALT, SLICE_CHANGES
        self.channels = {info.channel_id: SimulatedChannel(info) for info in channels}
        self.photos: dict[int, bytes] = {}
        self.ledger = Ledger()
        self.requests: Counter[str] = Counter()
        self.unknown: list[str] = []
        self._faults: list[Fault] = []
        self._revoked: set[str] = set()
        self._keys = {key.key_id: (account, key) for account in (LISTENING, READING) if (key := account_key(account))}
        self._connections: dict[Connection, asyncio.Task[Any] | None] = {}
        self._silent_until = self._closed_until = 0.0
        self._updates_to_lose = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> SimulatedTelegram:
        self._server = await asyncio.start_server(self._serve, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._server is not None:
            self._server.close()
        tasks = [task for task in self._connections.values() if task is not None]
        self._silent_until = 0.0
        self.drop_connections()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if time.monotonic() < self._closed_until:
            writer.transport.abort()
            return
        connection = Connection(reader, writer, self)
        self._connections[connection] = asyncio.current_task()
        try:
            await connection.run()
        finally:
            del self._connections[connection]

    # What happens in the channels.

    def add_channel(self, info: ChannelInfo) -> None:
        """Opens another channel.

        Raises:
            ValueError: its id is taken.
        """
        if info.channel_id in self.channels:
            raise ValueError(f"there is a channel {info.channel_id} already")
        self.channels[info.channel_id] = SimulatedChannel(info)

    def post(
        self, channel_id: int, text: str, *, image: bytes | None = None, at: datetime | None = None, reply_to: int | None = None
    ) -> int:
        """Posts a message and tells those who read along.

        Args:
            channel_id: where.
            text: what.
            image: a picture, as the bytes of its file.
            at: its date; now by default. Whole seconds are kept.
            reply_to: the message it replies to.

        Returns:
            The message's id.

        Raises:
            KeyError: there is no such channel.
        """
        channel, now = self.channels[channel_id], time.time()
        date = _whole_second(at or datetime.fromtimestamp(now, UTC))
        message = types.Message(
            channel.last_id + 1,
            types.PeerChannel(channel_id),
            date,
            text,
            post=True,
            views=1,
            forwards=0,
            media=None if image is None else self.add_photo(image, date),
            reply_to=None if reply_to is None else types.MessageReplyHeader(reply_to_msg_id=reply_to),
        )
        update = channel.add(message)
        self.ledger.post(channel_id, message.id, text, now)
        self._push(channel, update)
        return message.id

    def edit(self, channel_id: int, message_id: int, text: str) -> None:
        """Gives a message another text.

        Raises:
            KeyError: there is no such message.
        """
        channel, now = self.channels[channel_id], time.time()
        update = channel.edit(message_id, text, _whole_second(datetime.fromtimestamp(now, UTC)))
        self.ledger.edit(channel_id, message_id, text, now)
        self._push(channel, update)

    def delete(self, channel_id: int, *message_ids: int) -> None:
        """Deletes messages.

        Raises:
            KeyError: there is no such message.
        """
        channel = self.channels[channel_id]
        update = channel.delete(message_ids)
        for message_id in message_ids:
            self.ledger.delete(channel_id, message_id, time.time())
        self._push(channel, update)

    def add_photo(self, content: bytes, date: datetime) -> Any:
        """Keeps a picture. Returns the media of the message that shows it."""
        photo_id = 8_000_000_000_000 + len(self.photos)
        self.photos[photo_id] = content
        size = types.PhotoSize("y", 800, 600, len(content))
        photo = types.Photo(photo_id, access_hash(photo_id), file_reference(photo_id), date, [size], DATA_CENTRE)
        return types.MessageMediaPhoto(photo=photo)

    def _push(self, channel: SimulatedChannel, update: Any) -> None:
        if not channel.info.is_joined:
            return
        if self._updates_to_lose:
            self._updates_to_lose -= 1
            return
        body = bytes(types.Updates([update], [], [channel.entity], datetime.now(UTC), seq=0))
        for connection in self._connections:
            if connection.wants_updates and connection.account not in self._revoked:
                connection.push(body)

    # What goes wrong.

    def drop_connections(self) -> int:
        """Ends all connections abruptly. Returns how many."""
        connections = list(self._connections)
        for connection in connections:
            connection.abort()
        return len(connections)

    def close_door(self, seconds: float) -> int:
        """Ends all connections and takes no new one for so long. Returns how many were ended."""
        self._closed_until = time.monotonic() + seconds
        return self.drop_connections()

    def go_silent(self, seconds: float) -> None:
        """Hears for so long but says nothing; what there was to say is said afterwards, as after a stalled network."""
        self._silent_until = time.monotonic() + seconds

    def lose_updates(self, updates: int) -> None:
        """Tells nobody of the next changes: clients see a gap in the count of the channel's updates."""
        self._updates_to_lose = updates

    def fail(self, error: str, *, requests: int | None = 1, channel_id: int | None = None, method: str | None = None) -> None:
        """Refuses the next requests of a kind; see `faults.Fault`."""
        self._faults.append(Fault(error, requests=requests, channel_id=channel_id, method=method))

    def flood(self, seconds: int, *, requests: int = 1) -> None:
        """Has the next requests wait."""
        self.fail(f"FLOOD_WAIT_{seconds}", requests=requests)

    def heal(self) -> None:
        """Ends all of these."""
        self._faults.clear()
        self._revoked.clear()
        self._silent_until = self._closed_until = 0.0
        self._updates_to_lose = 0

    def revoke(self, account: str = LISTENING) -> None:
        """Logs a session out from afar."""
        self._revoked.add(account)

    def forget_keys(self) -> None:
        """Knows no key any more, as Telegram long after a logout: what comes is answered with the transport's error 404."""
        self._keys.clear()

    def connections(self) -> list[str | None]:
        """The accounts of open connections that are sent updates."""
        return [connection.account for connection in self._connections if connection.wants_updates]

    # What connections ask of us.

    def account_of(self, key_id: int) -> tuple[str, Any] | None:
        """See `connection.Server`."""
        return self._keys.get(key_id)

    def answer(self, account: str, request: Any) -> bytes:
        """See `connection.Server`."""
        method = method_of(request)
        self.requests[method] += 1
        if account in self._revoked:
            raise RefusedError(401, "AUTH_KEY_UNREGISTERED")
        for fault in self._faults:
            fault.strike(method, request)
        try:
            return serialised(answer_to(self, request))
        except RefusedError as refused:
            if refused.message == "METHOD_UNKNOWN":
                self.unknown.append(method)
            raise

    async def until_heard(self) -> None:
        """See `connection.Server`."""
        while (seconds := self._silent_until - time.monotonic()) > 0:
            await asyncio.sleep(min(seconds, 0.1))


def _whole_second(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(microsecond=0)
