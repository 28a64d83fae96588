"""Photos of messages, downloaded into the media folder."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from pnd_dagster.errors import SourceError, TransientError
from pnd_dagster.storage.dead_letters import Refusal, dead_letters
from pnd_dagster.telegram.batches import MessageBatch
from pnd_dagster.telegram.client import TelegramReader
from pnd_dagster.telegram.patience import Patience, patiently
from pnd_dagster.telegram.wire import channel_id_of, messages_batch, photo_of


class MediaFolder(NamedTuple):
    """Where photos go, and up to which size they are downloaded."""

    path: Path
    max_bytes: int


async def photos_batch(
    reader: TelegramReader, messages: Sequence[Any], folder: MediaFolder, patience: Patience, *, source: str, now: datetime
) -> MessageBatch | None:
    """Downloads the photos of `messages` that are not there yet, and gives the rows that now name them.

    Photos that are too large or cannot be had become dead letters; their messages stay as they are.

    Returns:
        The batch to save over the messages, None if nothing is new.
    """
    fetched: list[Any] = []
    refusals: list[Refusal] = []
    for message in messages:
        photo = photo_of(message)
        if photo is None or (folder.path / photo.name).exists():
            continue
        location = f"channel {channel_id_of(message)} message {message.id}"
        if photo.byte_count is not None and photo.byte_count > folder.max_bytes:
            refusals.append(Refusal(location, f"photo is larger than {folder.max_bytes} bytes", {"bytes": photo.byte_count}))
            continue
        try:
            content = await patiently(lambda one=message: reader.photo(one, max_bytes=folder.max_bytes), patience)
            await asyncio.to_thread(_write, folder.path / photo.name, content)
        except (SourceError, TransientError) as error:
            refusals.append(Refusal(location, str(error), None))
        except OSError as error:
            refusals.append(Refusal(location, f"photo cannot be stored: {error.strerror}", None))
        else:
            fetched.append(message)
    if not fetched and not refusals:
        return None
    batch = messages_batch(fetched, source=source, now=now, media_dir=folder.path)
    return batch._replace(dead_letters=dead_letters(source, refusals, refused_at=now))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # A file under its final name is always whole.
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial.write_bytes(content)
    partial.replace(path)
