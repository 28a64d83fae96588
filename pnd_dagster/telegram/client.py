"""The boundary to Telegram: reads only, by construction. Telethon is imported when a function here runs, not before."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from pnd_dagster.errors import PndError, SettingError, SourceError, TransientError

PAGE_MESSAGES = 100
DIFFERENCE_MESSAGES = 100


class ChannelGoneError(SourceError):
    """Telegram no longer serves a channel to us: deleted, private, banned, or its name is free or another's."""


class ChannelReference(NamedTuple):
    """What we know of a channel before asking Telegram. A negative id stands for a channel known by link only."""

    channel_id: int
    username: str | None = None
    link: str | None = None


class FoundChannel(NamedTuple):
    """A channel as Telegram knows it. `peer` is Telethon's; channels that we have not joined send us no updates."""

    channel_id: int
    title: str
    username: str | None
    participants: int | None
    is_joined: bool
    peer: Any


class Difference(NamedTuple):
    """What happened in a channel since a `pts`. Too long: not all of it is told, and history has to be read again."""

    messages: Sequence[Any]
    updates: Sequence[Any]
    pts: int
    is_final: bool
    is_too_long: bool


class TelegramReader(Protocol):
    """All that we ever ask of Telegram. Every method raises TransientError (with the wait Telegram asks for), ChannelGoneError,
    SettingError when the session is not logged in, or SourceError."""

    async def connect(self) -> None:
        """Connects with a session that is logged in."""
        ...

    async def disconnect(self) -> None:
        """Closes the connection."""
        ...

    async def wait_until_disconnected(self) -> None:
        """Returns when the connection is lost for good."""
        ...

    async def find_channel(self, reference: ChannelReference) -> FoundChannel:
        """The channel of a reference."""
        ...

    async def page(self, channel: FoundChannel, *, below: int = 0, above: int = 0, oldest_first: bool = False) -> list[Any]:
        """Up to `PAGE_MESSAGES` messages with ids between, exclusive; 0 is no bound; newest first by default."""
        ...

    async def current_pts(self, channel: FoundChannel) -> int:
        """The channel's update counter."""
        ...

    async def difference(self, channel: FoundChannel, pts: int) -> Difference:
        """What happened since `pts`, in part if it is much."""
        ...

    async def photo(self, message: Any, *, max_bytes: int) -> bytes:
        """A message's photo."""
        ...

    def subscribe(self, handler: Callable[[Any], Awaitable[None]]) -> None:
        """Calls `handler` with each update that tells of a new, edited or deleted channel message, one after the other."""
        ...


class TelethonReader:
    """`TelegramReader` over a Telethon client, which nothing else gets to see.

    Args:
        client: a TelegramClient that raises FloodWaitError at once (flood_sleep_threshold=0).
        renew: makes the client of every further connection. A client that is connected again compares the next update with what it saw
            before, and may leave that update out when it fetches what lies between; a new one takes updates as they come.
    """

    def __init__(self, client: Any, renew: Callable[[], Any] | None = None) -> None:
        self._client, self._renew = client, renew
        self._handlers: list[Callable[[Any], Awaitable[None]]] = []
        self._was_connected = False

    async def connect(self) -> None:
        if self._was_connected and self._renew is not None:
            self._client = self._renew()
            for handler in self._handlers:
                self._add(handler)
        self._was_connected = True
        with _telling("connecting"):
            await self._client.connect()
            is_authorized = await self._client.is_user_authorized()
        if not is_authorized:
            await self._client.disconnect()
            raise SettingError("the Telegram session is not logged in: run `pnd login`")

    async def disconnect(self) -> None:
        await self._client.disconnect()

    async def wait_until_disconnected(self) -> None:
        with _telling("listening"):
            await self._client.disconnected

    async def find_channel(self, reference: ChannelReference) -> FoundChannel:
        name = reference.username or reference.link or str(reference.channel_id)
        with _telling(f"looking up channel {name}"):
            entity = await self._entity(reference)
        match type(entity).__name__:
            case "Channel":
                pass
            case "ChannelForbidden":
                raise ChannelGoneError(f"channel {name}: closed to us")
            case other:
                raise SourceError(f"{name} is no channel but a {other}")
        if reference.channel_id > 0 and entity.id != reference.channel_id:
            raise ChannelGoneError(f"channel {reference.channel_id}: its name {name} now belongs to channel {entity.id}")
        return FoundChannel(
            channel_id=entity.id,
            title=entity.title,
            username=entity.username,
            participants=getattr(entity, "participants_count", None),
            is_joined=not getattr(entity, "left", False),
            peer=entity,
        )

    async def _entity(self, reference: ChannelReference) -> Any:
        from telethon.tl.types import PeerChannel

        if reference.channel_id > 0:
            # Ids that the session has seen cost nothing; resolving names is limited to a few hundred a day.
            try:
                return await self._client.get_entity(PeerChannel(reference.channel_id))
            except ValueError:
                if not (reference.username or reference.link):
                    raise SourceError(
                        f"channel {reference.channel_id}: this account has never seen it; its username or link is needed"
                    ) from None
        return await self._client.get_entity(reference.username or reference.link)

    async def page(self, channel: FoundChannel, *, below: int = 0, above: int = 0, oldest_first: bool = False) -> list[Any]:
        with _telling(f"reading channel {channel.channel_id}"):
            messages = self._client.iter_messages(
                channel.peer, limit=PAGE_MESSAGES, max_id=below, min_id=above, reverse=oldest_first, wait_time=0
            )
            return [message async for message in messages]

    async def current_pts(self, channel: FoundChannel) -> int:
        from telethon.tl.functions.channels import GetFullChannelRequest

        with _telling(f"asking for the state of channel {channel.channel_id}"):
            return (await self._client(GetFullChannelRequest(channel.peer))).full_chat.pts

    async def difference(self, channel: FoundChannel, pts: int) -> Difference:
        from telethon.errors import PersistentTimestampEmptyError, PersistentTimestampInvalidError
        from telethon.tl.functions.updates import GetChannelDifferenceRequest
        from telethon.tl.types import ChannelMessagesFilterEmpty

        request = GetChannelDifferenceRequest(channel.peer, ChannelMessagesFilterEmpty(), pts=pts, limit=DIFFERENCE_MESSAGES)
        with _telling(f"asking what happened in channel {channel.channel_id}"):
            try:
                answer = await self._client(request)
            except (PersistentTimestampInvalidError, PersistentTimestampEmptyError):
                # Our counter means nothing to Telegram any more: the same as having been away too long.
                return Difference((), (), await self.current_pts(channel), is_final=True, is_too_long=True)
        match type(answer).__name__:
            case "ChannelDifferenceEmpty":
                return Difference((), (), answer.pts, is_final=True, is_too_long=False)
            case "ChannelDifferenceTooLong":
                # The state a dialog carries can be missing; then it is asked for.
                pts = answer.dialog.pts or await self.current_pts(channel)
                return Difference(answer.messages, (), pts, is_final=True, is_too_long=True)
            case _:
                return Difference(answer.new_messages, answer.other_updates, answer.pts, is_final=bool(answer.final), is_too_long=False)

    async def photo(self, message: Any, *, max_bytes: int) -> bytes:
        where = f"photo of message {message.id}"
        content = _LimitedBuffer(max_bytes, where)
        with _telling(f"downloading the {where}"):
            await self._client.download_media(message, file=content)
        if not content.tell():
            raise SourceError(f"{where} is empty")
        return content.getvalue()

    def subscribe(self, handler: Callable[[Any], Awaitable[None]]) -> None:
        self._handlers.append(handler)
        self._add(handler)

    def _add(self, handler: Callable[[Any], Awaitable[None]]) -> None:
        from telethon import events
        from telethon.tl.types import UpdateDeleteChannelMessages, UpdateEditChannelMessage, UpdateNewChannelMessage

        kinds = (UpdateNewChannelMessage, UpdateEditChannelMessage, UpdateDeleteChannelMessages)
        self._client.add_event_handler(handler, events.Raw(types=kinds))


class _LimitedBuffer(io.BytesIO):
    """Takes no more than so many bytes. Telegram's own figure is checked before a download; this one cannot lie."""

    def __init__(self, max_bytes: int, where: str) -> None:
        super().__init__()
        self._max_bytes = max_bytes
        self._where = where

    def write(self, part: Any, /) -> int:
        if self.tell() + memoryview(part).nbytes > self._max_bytes:
            raise SourceError(f"{self._where} is larger than {self._max_bytes} bytes")
        return super().write(part)


@contextmanager
def _telling(what: str) -> Generator[None]:
    """Turns Telethon's exceptions into ours, each with what we were about to do."""
    from telethon import errors

    gone = (
        errors.ChannelPrivateError,
        errors.ChannelInvalidError,
        errors.ChannelPublicGroupNaError,
        errors.ChatForbiddenError,
        errors.UsernameNotOccupiedError,
        errors.UsernameInvalidError,
        errors.InviteHashExpiredError,
        errors.InviteHashInvalidError,
        errors.InviteHashEmptyError,
    )
    try:
        yield
    except PndError:
        raise
    except errors.FloodError as error:
        seconds = float(getattr(error, "seconds", 0) or 60)
        raise TransientError(f"{what}: Telegram asks to wait {seconds:.0f} s", retry_after_seconds=seconds) from error
    except gone as error:
        raise ChannelGoneError(f"{what}: {type(error).__name__.removesuffix('Error')}") from error
    except (errors.UnauthorizedError, errors.AuthKeyError, errors.AuthKeyNotFound) as error:
        raise SettingError(f"{what}: the Telegram session is no longer valid ({type(error).__name__}): run `pnd login`") from error
    except (errors.ServerError, errors.TimedOutError, OSError, asyncio.IncompleteReadError) as error:
        raise TransientError(f"{what}: {type(error).__name__}") from error
    except ValueError as error:
        # Telethon's own way to say that a name or an invitation leads nowhere; its cause tells which.
        is_gone = isinstance(error.__cause__, gone) or "as username" in str(error) or "not part of" in str(error)
        kind = ChannelGoneError if is_gone else SourceError
        raise kind(f"{what}: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from error
    except errors.RPCError as error:
        raise SourceError(f"{what}: {type(error).__name__}") from error
