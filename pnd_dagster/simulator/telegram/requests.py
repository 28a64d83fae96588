"""Answers to the requests of a client that reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from telethon.tl import TLObject, functions, types

from pnd_dagster.simulator.telegram.channels import SimulatedChannel, access_hash
from pnd_dagster.simulator.telegram.connection import RefusedError

DATA_CENTRE = 2
USER_ID = 700_001
# Telegram's own bounds of one page and of one part of a file.
LARGEST_PAGE, LARGEST_PART = 100, 1 << 20


class World(Protocol):
    """What requests are answered from."""

    port: int
    slice_changes: int
    channels: dict[int, SimulatedChannel]
    photos: dict[int, bytes]


def method_of(request: Any) -> str:
    """A request's name as Telegram writes it, such as messages.getHistory."""
    kind = type(request)
    space = kind.__module__.rpartition(".")[2]
    name = kind.__name__.removesuffix("Request")
    name = name[:1].lower() + name[1:]
    return name if space == "functions" else f"{space}.{name}"


def answer_to(world: World, request: Any) -> TLObject | Sequence[TLObject]:
    """The answer.

    Raises:
        RefusedError: a wrong request, or one that is not known here (METHOD_UNKNOWN).
    """
    handler = _HANDLERS.get(type(request))
    if handler is None:
        raise RefusedError(400, "METHOD_UNKNOWN")
    return handler(world, request)


def _channel(world: World, peer: Any) -> SimulatedChannel:
    channel = world.channels.get(getattr(peer, "channel_id", 0))
    if channel is None or peer.access_hash != access_hash(channel.info.channel_id):
        raise RefusedError(400, "CHANNEL_INVALID")
    return channel


def _config(world: World, request: Any) -> TLObject:
    now = datetime.now(UTC)
    centre = types.DcOption(DATA_CENTRE, "127.0.0.1", world.port)
    # Limits and periods that a reader does not need.
    return types.Config(
        *(now, now + timedelta(hours=1), False, DATA_CENTRE, [centre], "", *[0] * 21),
        me_url_prefix="https://127.0.0.1/",
        caption_length_max=1024,
        message_length_max=4096,
        webfile_dc_id=DATA_CENTRE,
    )


def _users(world: World, request: Any) -> list[TLObject]:
    if not all(isinstance(one, types.InputUserSelf) for one in request.id):
        raise RefusedError(400, "USER_ID_INVALID")
    return [types.User(USER_ID, is_self=True, access_hash=1, first_name="Reader") for _ in request.id]


def _state(world: World, request: Any) -> TLObject:
    return types.updates.State(pts=1, qts=0, date=datetime.now(UTC), seq=1, unread_count=0)


def _nothing_new(world: World, request: Any) -> TLObject:
    return types.updates.DifferenceEmpty(datetime.now(UTC), seq=1)


def _channel_difference(world: World, request: Any) -> TLObject:
    channel = _channel(world, request.channel)
    if request.pts < 1:
        raise RefusedError(400, "PERSISTENT_TIMESTAMP_EMPTY")
    if request.pts > channel.pts:
        raise RefusedError(400, "PERSISTENT_TIMESTAMP_INVALID")
    return channel.difference(request.pts, limit=request.limit, slice_changes=world.slice_changes)


def _resolve(world: World, request: Any) -> TLObject:
    name = request.username.casefold()
    if not re.fullmatch(r"[a-z][a-z0-9_]{3,31}", name):
        raise RefusedError(400, "USERNAME_INVALID")
    for channel in world.channels.values():
        if (channel.info.username or "").casefold() == name:
            return types.contacts.ResolvedPeer(types.PeerChannel(channel.info.channel_id), [channel.entity], [])
    raise RefusedError(400, "USERNAME_NOT_OCCUPIED")


def _history(world: World, request: Any) -> TLObject:
    request.limit = min(request.limit, LARGEST_PAGE)
    return _channel(world, request.peer).history(request)


def _file(world: World, request: Any) -> TLObject:
    location = request.location
    content = world.photos.get(getattr(location, "id", 0))
    if not isinstance(location, types.InputPhotoFileLocation) or content is None or location.access_hash != access_hash(location.id):
        raise RefusedError(400, "LOCATION_INVALID")
    if location.file_reference != file_reference(location.id):
        raise RefusedError(400, "FILE_REFERENCE_EXPIRED")
    if request.limit > LARGEST_PART or request.limit % 1024 or request.offset % 1024:
        raise RefusedError(400, "LIMIT_INVALID")
    part = content[request.offset : request.offset + request.limit]
    return types.upload.File(types.storage.FileJpeg(), 0, part)


def file_reference(photo_id: int) -> bytes:
    """What a client has to show, besides id and hash, to be served a photo."""
    return photo_id.to_bytes(8, "big")


_HANDLERS: dict[type, Callable[[World, Any], TLObject | Sequence[TLObject]]] = {
    functions.help.GetConfigRequest: _config,
    functions.users.GetUsersRequest: _users,
    functions.updates.GetStateRequest: _state,
    functions.updates.GetDifferenceRequest: _nothing_new,
    functions.updates.GetChannelDifferenceRequest: _channel_difference,
    functions.contacts.ResolveUsernameRequest: _resolve,
    functions.channels.GetChannelsRequest: lambda world, request: types.messages.Chats([_channel(world, one).entity for one in request.id]),
    functions.channels.GetFullChannelRequest: lambda world, request: _channel(world, request.channel).full(),
    functions.channels.GetMessagesRequest: lambda world, request: _channel(world, request.channel).messages_of(
        [one.id for one in request.id]
    ),
    functions.messages.GetHistoryRequest: _history,
    functions.upload.GetFileRequest: _file,
}
