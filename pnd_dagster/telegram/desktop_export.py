"""Telegram Desktop's JSON export (`result.json`), of one chat or of a whole account.

Only channels and supergroups are read. Names and ids of people stand in these files everywhere; none of them is kept.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from pathlib import Path, PurePosixPath
from typing import Any

from pnd_dagster.errors import SourceError
from pnd_dagster.storage.dead_letters import Refusal
from pnd_dagster.telegram.archives import must_be_file
from pnd_dagster.telegram.batches import MessageBatch
from pnd_dagster.telegram.coercion import is_safe_name
from pnd_dagster.telegram.json_stream import JsonStream
from pnd_dagster.telegram.records import Origin, batch_of_records, new_channels

BATCH_MESSAGES = 20_000
CHANNEL_TYPES = ("public_channel", "private_channel", "public_supergroup", "private_supergroup")
# Exports made before 2021-12 mark chats by a bit above the 32-bit id.
_OLD_CHAT_BIT = 1 << 33
_NOT_EXPORTED = "(File "

# Exports name actions and media in words of their own; everything else here speaks Telethon's.
_ACTIONS = {
    "create_channel": "MessageActionChannelCreate",
    "create_group": "MessageActionChatCreate",
    "edit_group_title": "MessageActionChatEditTitle",
    "edit_channel_title": "MessageActionChatEditTitle",
    "edit_group_photo": "MessageActionChatEditPhoto",
    "edit_channel_photo": "MessageActionChatEditPhoto",
    "delete_group_photo": "MessageActionChatDeletePhoto",
    "delete_channel_photo": "MessageActionChatDeletePhoto",
    "invite_members": "MessageActionChatAddUser",
    "remove_members": "MessageActionChatDeleteUser",
    "join_group_by_link": "MessageActionChatJoinedByLink",
    "join_group_by_request": "MessageActionChatJoinedByRequest",
    "pin_message": "MessageActionPinMessage",
    "migrate_from_group": "MessageActionChannelMigrateFrom",
    "migrate_to_supergroup": "MessageActionChatMigrateTo",
    "clear_history": "MessageActionHistoryClear",
    "group_call": "MessageActionGroupCall",
    "group_call_scheduled": "MessageActionGroupCallScheduled",
    "set_messages_ttl": "MessageActionSetMessagesTTL",
    "topic_created": "MessageActionTopicCreate",
}
_MEDIA_BY_MEMBER = {
    "photo": "MessageMediaPhoto",
    "poll": "MessageMediaPoll",
    "contact_information": "MessageMediaContact",
    "place_name": "MessageMediaVenue",
    "location_information": "MessageMediaGeo",
    "game_title": "MessageMediaGame",
    "invoice_information": "MessageMediaInvoice",
    "file": "MessageMediaDocument",
}
_COLUMNS = {
    name: name
    for name in (
        "channel_id",
        "channel_title",
        "message_id",
        "occurred_at",
        "edited_at",
        "kind",
        "text",
        "media_type",
        "media_file",
        "reply_to_message_id",
        "forwarded_from_channel_id",
        "is_from_member",
        "service_action",
    )
}


def is_desktop_export(path: Path) -> bool:
    """True for a folder, and for a JSON file whose first line is no message by itself (that would be JSON lines)."""
    if path.is_dir():
        return True
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    with path.open("rb") as file:
        line = file.readline(1 << 16)
    try:
        first = json.loads(line)
    except (ValueError, RecursionError):
        return line.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
    return isinstance(first, dict) and ("messages" in first or "chats" in first)


def find_export(path: Path) -> Path:
    """The export's `result.json`, given the file or its folder.

    Raises:
        SourceError: there is none.
    """
    if path.is_dir():
        path = path / "result.json"
        if not path.is_file():
            raise SourceError(f"{path.parent}: holds no result.json; export from Telegram Desktop as JSON")
    must_be_file(path)
    return path


def read_desktop_export(
    path: Path,
    *,
    media_dir: Path | None = None,
    media_max_bytes: int = 0,
    local_zone: tzinfo = UTC,
    now: datetime | None = None,
) -> Iterator[MessageBatch]:
    """The messages of an export, in the file's order, a batch at a time. The file is streamed: its size does not matter.

    Personal chats and small groups of a whole account's export are left out and told as dead letters, without their content.

    Args:
        path: the export's folder or its `result.json`.
        media_dir: where photos are copied, so that `media_file` names a file in it; without it `media_file` is NULL.
        media_max_bytes: larger photos are not copied and told as dead letters.
        local_zone: zone of the computer that made an export older than 2022, which tells local times only.
        now: the time of reading, the clock's if not given.

    Raises:
        SourceError: the file cannot be read, or is broken from some place on; what stands before has been yielded by then.
    """
    path = find_export(path)
    now = now or datetime.now(UTC)
    origin = Origin(path, "desktop export", ingested_at=now, observed_at=now)
    photos = _Photos(path.parent, media_dir, media_max_bytes)
    titles: dict[int, str | None] = {}
    records: list[tuple[str, Mapping[str, Any]]] = []
    refusals: list[Refusal] = []

    def flush() -> MessageBatch:
        batch = batch_of_records(records, _COLUMNS, origin, refusals=refusals)
        records.clear()
        refusals.clear()
        return batch._replace(channels=new_channels(batch.channels, titles))

    with path.open(encoding="utf-8-sig", errors="replace") as file:
        stream = JsonStream(file, str(path))
        try:
            for item in _messages(stream):
                if isinstance(item, Refusal):
                    refusals.append(item)
                else:
                    location, chat, message = item
                    record = _record(chat, message, local_zone)
                    record["media_file"], refusal = photos.take(record["channel_id"], message)
                    if refusal:
                        refusals.append(Refusal(location, refusal, None))
                    records.append((location, record))
                if len(records) + len(refusals) >= BATCH_MESSAGES:
                    yield flush()
        except SourceError:
            # A half-written export: what was read counts, then the error is told.
            if records or refusals:
                yield flush()
            raise
    if records or refusals:
        yield flush()


_Message = tuple[str, Mapping[str, Any], Mapping[str, Any]]


def _messages(stream: JsonStream) -> Iterator[_Message | Refusal]:
    if stream.peek() != "{":
        raise stream.error("an export is a JSON object")
    found = False
    head: dict[str, Any] = {}
    for name in stream.members():
        if name == "messages":
            found = True
            yield from _chat_messages(stream, head, "chat")
        elif name in {"chats", "left_chats"} and stream.peek() == "{":
            for inner in stream.members():
                if inner == "list" and stream.peek() == "[":
                    found = True
                    for number, _ in enumerate(stream.items(), start=1):
                        yield from _listed_chat(stream, f"{name} {number}")
                else:
                    stream.value()
        else:
            value = stream.value()
            head.update({name: value} if name in {"id", "name", "type"} else {})
    if not found:
        raise stream.error("no messages in it; is it an export of Telegram Desktop?")


def _listed_chat(stream: JsonStream, place: str) -> Iterator[_Message | Refusal]:
    if stream.peek() != "{":
        stream.value()
        yield Refusal(place, "is not a chat", None)
        return
    head: dict[str, Any] = {}
    for name in stream.members():
        if name == "messages":
            yield from _chat_messages(stream, head, place)
        else:
            value = stream.value()
            head.update({name: value} if name in {"id", "name", "type"} else {})


def _chat_messages(stream: JsonStream, chat: Mapping[str, Any], place: str) -> Iterator[_Message | Refusal]:
    refusal = None
    if chat.get("type") not in CHANNEL_TYPES:
        refusal = Refusal(place, f"a chat of type {chat.get('type')} is not imported, only channels and supergroups are", None)
    elif chat.get("id") is None:
        refusal = Refusal(place, "the chat's id does not stand before its messages", None)
    if refusal:
        yield refusal
    if stream.peek() != "[":
        raise stream.error("messages are not a list")
    for number, _ in enumerate(stream.items(), start=1):
        message = stream.value()
        if refusal:
            continue
        if isinstance(message, dict):
            yield f"{place} {chat['id']} message {message.get('id', f'number {number}')}", chat, message
        else:
            yield Refusal(f"{place} {chat['id']} message number {number}", "is not an object", None)


def _record(chat: Mapping[str, Any], message: Mapping[str, Any], local_zone: tzinfo) -> dict[str, Any]:
    """One message in names of `ROW_SCHEMA`; values keep their types so that the coercion can judge them."""
    is_service = message.get("type") == "service"
    sender = message.get("actor_id" if is_service else "from_id")
    media = next((kind for member, kind in _MEDIA_BY_MEMBER.items() if message.get(member) is not None), None)
    edited_at = _time(message, "edited", local_zone)
    return {
        "channel_id": _channel_id(chat["id"], is_old="date_unixtime" not in message),
        "channel_title": chat.get("name"),
        "message_id": message.get("id"),
        "occurred_at": _time(message, "date", local_zone),
        # Old exports write the year 1970 for messages that were never edited.
        "edited_at": None if edited_at and edited_at.startswith("1970") else edited_at,
        "kind": "service" if is_service else "message",
        "text": _text(message.get("text")),
        "media_type": media,
        "reply_to_message_id": message.get("reply_to_message_id"),
        "forwarded_from_channel_id": _peer_channel(message.get("forwarded_from_id")),
        "is_from_member": sender.startswith("user") if isinstance(sender, str) else None,
        "service_action": _ACTIONS.get(str(message.get("action")), str(message.get("action"))) if is_service else None,
    }


def _channel_id(value: Any, *, is_old: bool) -> Any:
    if isinstance(value, str):
        value = value.removeprefix("channel")
    if is_old and isinstance(value, int) and value > _OLD_CHAT_BIT:
        return value - _OLD_CHAT_BIT
    return value


def _peer_channel(value: Any) -> int | None:
    """The id of a channel; None for people, whose ids we do not keep."""
    if isinstance(value, str) and value.startswith("channel") and value.removeprefix("channel").isdecimal():
        return int(value.removeprefix("channel"))
    return None


def _time(message: Mapping[str, Any], name: str, local_zone: tzinfo) -> str | None:
    """ISO text in UTC; whatever cannot be read is handed on as it is, for the coercion to refuse."""
    instant = message.get(f"{name}_unixtime")
    try:
        if instant is not None:
            return datetime.fromtimestamp(int(instant), UTC).isoformat()
        local = message.get(name)
        return None if local is None else datetime.fromisoformat(local).replace(tzinfo=local_zone).astimezone(UTC).isoformat()
    except (ValueError, TypeError, OverflowError, OSError):
        return str(instant if instant is not None else message.get(name))


def _text(value: Any) -> Any:
    """Texts come whole, or in parts of which links, bold words and the like are objects."""
    if not isinstance(value, list):
        return value
    parts = [part.get("text", "") if isinstance(part, dict) else part for part in value]
    return "".join(part for part in parts if isinstance(part, str))


class _Photos:
    """Copies photos out of an export, each once."""

    def __init__(self, export: Path, media_dir: Path | None, max_bytes: int) -> None:
        self._export = export.resolve()
        self._media_dir = media_dir
        self._max_bytes = max_bytes

    def take(self, channel_id: Any, message: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """The photo's name in the media folder, or None; and why it was refused, if it was."""
        name = message.get("photo")
        if name is None and str(message.get("mime_type", "")).startswith("image/") and message.get("media_type") != "sticker":
            name = message.get("file")
        if self._media_dir is None or not isinstance(name, str) or name.startswith(_NOT_EXPORTED) or not isinstance(channel_id, int):
            return None, None
        if not is_safe_name(name):
            return None, f"photo leaves the export's folder: {name[:80]!r}"
        source = (self._export / name).resolve()
        if not source.is_relative_to(self._export) or not source.is_file():
            return None, f"photo is not in the export: {name[:80]!r}"
        if source.stat().st_size > self._max_bytes:
            return None, f"photo is larger than {self._max_bytes} bytes: {name[:80]!r}"
        stored = f"{channel_id}/{PurePosixPath(name).name}"
        target = self._media_dir / stored
        if not target.exists() or target.stat().st_size != source.stat().st_size:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target.with_suffix(target.suffix + ".part"))
            target.with_suffix(target.suffix + ".part").replace(target)
        return stored, None
