"""What was posted, edited and deleted: the truth that a test compares the database with."""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple


class Entry(NamedTuple):
    """One change of a message. `edit` counts its edits from 0, which is the post itself; `at` is in Unix seconds."""

    kind: Literal["post", "edit", "delete"]
    channel_id: int
    message_id: int
    edit: int
    text_hash: str
    at: float


def text_hash(text: str) -> str:
    """What stands for a text in the ledger: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Ledger:
    """Changes in their order; `entries` are all of them."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._edits: dict[tuple[int, int], int] = {}

    def post(self, channel_id: int, message_id: int, text: str, at: float) -> None:
        """Notes a new message."""
        self._edits[channel_id, message_id] = 0
        self.entries.append(Entry("post", channel_id, message_id, 0, text_hash(text), at))

    def edit(self, channel_id: int, message_id: int, text: str, at: float) -> None:
        """Notes that a message says something else now."""
        self._edits[channel_id, message_id] += 1
        self.entries.append(Entry("edit", channel_id, message_id, self._edits[channel_id, message_id], text_hash(text), at))

    def delete(self, channel_id: int, message_id: int, at: float) -> None:
        """Notes that a message is gone."""
        self.entries.append(Entry("delete", channel_id, message_id, self._edits[channel_id, message_id], "", at))

    def present(self) -> dict[tuple[int, int], str]:
        """The hash of the last text of every message that is not deleted, by channel and message id."""
        texts: dict[tuple[int, int], str] = {}
        for entry in self.entries:
            key = entry.channel_id, entry.message_id
            if entry.kind == "delete":
                texts.pop(key, None)
            else:
                texts[key] = entry.text_hash
        return texts
