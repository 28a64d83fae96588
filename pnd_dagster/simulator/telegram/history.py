"""Histories that are there before the server starts, from the frames of `telegram_channels`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
from telethon.tl import types

from pnd_dagster.simulator.telegram.channels import ChannelInfo
from pnd_dagster.simulator.telegram.server import SimulatedTelegram

# Who wrote in a group is nobody.
MEMBER_ID = 700_002


def load_history(telegram: SimulatedTelegram, messages: pl.DataFrame, image: Callable[[str], bytes]) -> int:
    """Adds messages to their channels, which are opened where they are missing. Nothing of it is told to clients.

    Args:
        telegram: the server; the messages' ids are above those it has.
        messages: `telegram_channels.MESSAGE_SCHEMA`.
        image: the picture of a name in `image_file`, as the bytes of its file.

    Returns:
        The number of messages.
    """
    for row in messages.sort("channel_id", "message_id").iter_rows(named=True):
        if row["channel_id"] not in telegram.channels:
            telegram.add_channel(ChannelInfo(row["channel_id"], row["channel_title"]))
        telegram.channels[row["channel_id"]].add(_message(telegram, row, image))
    return messages.height


def load_folder(telegram: SimulatedTelegram, folder: Path) -> int:
    """`load_history` of what `telegram_channels.write_simulation` wrote."""
    return load_history(telegram, pl.read_parquet(folder / "archive.parquet"), lambda name: (folder / "images" / name).read_bytes())


def _message(telegram: SimulatedTelegram, row: dict[str, Any], image: Callable[[str], bytes]) -> Any:
    peer, date = types.PeerChannel(row["channel_id"]), row["date"]
    author = types.PeerUser(MEMBER_ID) if row["posted_by_user"] else None
    reply = None if row["reply_to_msg_id"] is None else types.MessageReplyHeader(reply_to_msg_id=row["reply_to_msg_id"])
    if row["kind"] == "MessageService":
        return types.MessageService(row["message_id"], peer, date, post=True, reply_to=reply, action=_action(row["action"]))
    origin = None
    if row["fwd_channel_id"] is not None:
        origin = types.MessageFwdHeader(date, from_id=types.PeerChannel(row["fwd_channel_id"]), channel_post=row["fwd_channel_post"])
    return types.Message(
        row["message_id"],
        peer,
        date,
        row["text"] or "",
        post=author is None,
        from_id=author,
        fwd_from=origin,
        reply_to=reply,
        media=telegram.add_photo(image(row["image_file"]), date) if row["image_file"] else _media(row["media_type"]),
        edit_date=row["edit_date"],
        pinned=bool(row["pinned"]),
        views=row["views"],
        forwards=row["forwards"],
        replies=None if row["replies"] is None else types.MessageReplies(row["replies"], 1),
        grouped_id=row["grouped_id"],
    )


def _action(name: str) -> Any:
    match name:
        case "MessageActionPinMessage":
            return types.MessageActionPinMessage()
        case "MessageActionChannelCreate":
            return types.MessageActionChannelCreate("")
        case _:
            return types.MessageActionChatEditTitle("")


def _media(name: str | None) -> Any:
    """Media of a kind, without content."""
    match name:
        case None:
            return None
        case "MessageMediaPhoto":
            return types.MessageMediaPhoto()
        case "MessageMediaDocument":
            return types.MessageMediaDocument()
        case "MessageMediaWebPage":
            return types.MessageMediaWebPage(types.WebPageEmpty(0))
        case "MessageMediaPoll":
            return types.MessageMediaPoll(types.Poll(0, types.TextWithEntities("", []), [], 0), types.PollResults())
        case _:
            return types.MessageMediaUnsupported()
