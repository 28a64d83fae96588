"""A simulated channel: its messages, and the count of its updates (`pts`) from which differences are cut."""

from __future__ import annotations

import copy
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from telethon.tl import functions, types

FIRST_DAY = datetime(2020, 1, 1, tzinfo=UTC)
# What a client that was away too long is shown instead of all it missed.
LATEST_MESSAGES = 10


class ChannelInfo(NamedTuple):
    """A channel as clients find it. One that the account has not joined sends no updates."""

    channel_id: int
    title: str
    username: str | None = None
    is_joined: bool = True


class Change(NamedTuple):
    """One step of a channel's update count: up to `pts`, by as many as there are messages in it."""

    pts: int
    kind: Literal["new", "edit", "delete"]
    message_ids: tuple[int, ...]


def access_hash(channel_id: int) -> int:
    """What a client has to know of a channel besides its id before it may ask for it."""
    return channel_id * 0x9E3779B97F4A7C15 % (1 << 63)


class SimulatedChannel:
    """The state of one channel.

    Args:
        info: who it is.

    Attributes:
        pts: its update count, 1 at first.
        messages: Telethon's messages by their ids, the deleted ones left out; the ids rise.
        entity: the channel as answers carry it.
    """

    def __init__(self, info: ChannelInfo) -> None:
        self.info, self.pts, self.last_id = info, 1, 0
        self.messages: dict[int, Any] = {}
        self._changes: list[Change] = []
        self.entity = types.Channel(
            info.channel_id,
            info.title,
            types.ChatPhotoEmpty(),
            FIRST_DAY,
            broadcast=True,
            left=not info.is_joined,
            username=info.username,
            access_hash=access_hash(info.channel_id),
            participants_count=1000,
        )

    def add(self, message: Any) -> Any:
        """Adds a message with an id above all others. Returns the update that tells it."""
        if message.id <= self.last_id:
            raise ValueError(f"channel {self.info.channel_id}: message {message.id} is not newer than {self.last_id}")
        self.last_id = message.id
        self.messages[message.id] = message
        return self._tell("new", (message.id,))

    def edit(self, message_id: int, text: str, at: datetime) -> Any:
        """Gives a message another text. Returns the update.

        Raises:
            KeyError: there is no such message.
        """
        message = copy.copy(self.messages[message_id])
        message.message, message.edit_date = text, at
        self.messages[message_id] = message
        return self._tell("edit", (message_id,))

    def delete(self, message_ids: Sequence[int]) -> Any:
        """Removes messages. Returns the update.

        Raises:
            KeyError: there is no such message; none is removed.
        """
        if missing := [one for one in message_ids if one not in self.messages]:
            raise KeyError(f"channel {self.info.channel_id} has no messages {missing}")
        for message_id in message_ids:
            del self.messages[message_id]
        return self._tell("delete", tuple(message_ids))

    def _tell(self, kind: Literal["new", "edit", "delete"], message_ids: tuple[int, ...]) -> Any:
        self.pts += len(message_ids)
        change = Change(self.pts, kind, message_ids)
        self._changes.append(change)
        return self._update(change)

    def _update(self, change: Change) -> Any:
        count = len(change.message_ids)
        match change.kind:
            case "new":
                return types.UpdateNewChannelMessage(self.messages[change.message_ids[0]], change.pts, count)
            case "edit":
                return types.UpdateEditChannelMessage(self.messages[change.message_ids[0]], change.pts, count)
            case "delete":
                return types.UpdateDeleteChannelMessages(self.info.channel_id, list(change.message_ids), change.pts, count)

    def history(self, request: functions.messages.GetHistoryRequest) -> Any:
        """Messages newest first, from the first older than the offset on, moved by add_offset; min_id and max_id only filter."""
        ids = list(self.messages)
        end = bisect_left(ids, request.offset_id) if request.offset_id else len(ids)
        # No date travels as the year 1970.
        if request.offset_date is not None and request.offset_date > FIRST_DAY:
            end = min(end, bisect_left(ids, request.offset_date, key=lambda one: self.messages[one].date))
        stop = end - request.add_offset
        page = ids[max(stop - request.limit, 0) : max(stop, 0)]
        chosen = [one for one in reversed(page) if one > request.min_id and (not request.max_id or one < request.max_id)]
        return self._answer(len(ids), [self.messages[one] for one in chosen])

    def messages_of(self, message_ids: Sequence[int]) -> Any:
        """Messages by their ids; empty ones where there are none."""
        found = [self.messages.get(one) or types.MessageEmpty(one, types.PeerChannel(self.info.channel_id)) for one in message_ids]
        return self._answer(len(found), found)

    def _answer(self, count: int, messages: list[Any]) -> Any:
        return types.messages.ChannelMessages(self.pts, count, messages, [], [self.entity], [])

    def difference(self, pts: int, *, limit: int, slice_changes: int) -> Any:
        """What happened since `pts`: nothing, so many changes of it, or that it is more than `limit`.

        As Telegram does it, a message comes in its last state: what was posted and edited meanwhile is one new message, and what was
        posted and deleted meanwhile is told as a deletion only.
        """
        if pts >= self.pts:
            return types.updates.ChannelDifferenceEmpty(self.pts, final=True)
        if self.pts - pts > limit:
            return self._too_long()
        since = bisect_right(self._changes, pts, key=lambda change: change.pts)
        part = self._changes[since : since + slice_changes]
        new = {change.message_ids[0] for change in part if change.kind == "new"}
        old = self.messages.keys() - new
        others = [
            self._update(change) for change in part if change.kind == "delete" or (change.kind == "edit" and change.message_ids[0] in old)
        ]
        messages = [self.messages[one] for one in sorted(new & self.messages.keys())]
        is_final = part[-1].pts == self.pts
        return types.updates.ChannelDifference(part[-1].pts, messages, others, [self.entity], [], final=is_final)

    def _too_long(self) -> Any:
        dialog = types.Dialog(
            types.PeerChannel(self.info.channel_id), self.last_id, 0, 0, 0, 0, 0, 0, types.PeerNotifySettings(), pts=self.pts
        )
        latest = [self.messages[one] for one in list(self.messages)[: -LATEST_MESSAGES - 1 : -1]]
        return types.updates.ChannelDifferenceTooLong(dialog, latest, [self.entity], [], final=True)

    def full(self) -> Any:
        """The channel with its update count."""
        nobody = types.PhotoEmpty(0)
        full = types.ChannelFull(self.info.channel_id, "", 0, 0, 0, nobody, types.PeerNotifySettings(), [], self.pts)
        return types.messages.ChatFull(full, [self.entity], [])
