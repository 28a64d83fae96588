"""Collects the messages of a span of time from every configured source."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from pnd_dagster.settings import Settings
from pnd_dagster.storage import NOTHING_WRITTEN, Written
from pnd_dagster.telegram.importing import import_file

Window = tuple[datetime, datetime]


class Collected(NamedTuple):
    """What was read, by which sources."""

    row_count: int
    written: Written
    dead_letter_count: int
    sources: list[str]


def collect_messages(
    engine: sa.Engine, settings: Settings, window: Window, *, on_progress: Callable[[str], object] = lambda message: None
) -> Collected:
    """Imports the messages posted in `window` from the archives of `PND_ARCHIVES`.

    Raises:
        SourceError: an archive cannot be read; names file and column. What was imported before stays.
    """
    collected = Collected(0, NOTHING_WRITTEN, 0, [])
    for path in settings.archives:
        imported = import_file(engine, path, window=window)
        on_progress(f"{path.name}: {imported.row_count} rows read, {imported.written.inserted} new, {imported.dead_letter_count} refused")
        collected = Collected(
            collected.row_count + imported.row_count,
            collected.written + imported.written,
            collected.dead_letter_count + imported.dead_letter_count,
            [*collected.sources, path.name],
        )
    return collected
