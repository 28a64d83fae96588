"""Collects the messages of a span of time from every configured source."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import sqlalchemy as sa

from pnd_dagster.errors import SourceError
from pnd_dagster.settings import Settings
from pnd_dagster.storage import NOTHING_WRITTEN, Window, Written
from pnd_dagster.telegram.history import HistoryOutcome, update_histories
from pnd_dagster.telegram.importing import import_file
from pnd_dagster.telegram.sessions import session_file


class Collected(NamedTuple):
    """What was read, by which sources."""

    row_count: int
    written: Written
    dead_letter_count: int
    sources: list[str]


def collect_messages(
    engine: sa.Engine, settings: Settings, window: Window, *, on_progress: Callable[[str], object] = lambda message: None
) -> Collected:
    """Imports the messages of `window` from `PND_ARCHIVES`, and brings the histories of validated channels up to date.

    Histories are read from where they were left, whatever the window: Telegram is asked for each message once.

    Raises:
        SourceError: an archive cannot be read, or a channel's history; names it. What was imported before stays.
        SettingError: the Telegram session is not logged in.
    """
    collected = Collected(0, NOTHING_WRITTEN, 0, [])
    for path in settings.archives:
        imported = import_file(engine, path, settings, window=window)
        on_progress(f"{path.name}: {imported.row_count} rows read, {imported.written.inserted} new, {imported.dead_letter_count} refused")
        collected = Collected(
            collected.row_count + imported.row_count,
            collected.written + imported.written,
            collected.dead_letter_count + imported.dead_letter_count,
            [*collected.sources, path.name],
        )
    if session_file(settings, "history").exists():

        def tell(outcome: HistoryOutcome) -> None:
            on_progress(f"channel {outcome.channel_id}: {outcome.message_count} messages{f', {outcome.error}' if outcome.error else ''}")

        outcomes = update_histories(engine, settings, on_channel=tell)
        count = sum(outcome.message_count for outcome in outcomes)
        collected = collected._replace(
            row_count=collected.row_count + count,
            written=collected.written._replace(inserted=collected.written.inserted + count),
            sources=[*collected.sources, f"Telegram ({len(outcomes)} channels)"],
        )
        if errors := [outcome.error for outcome in outcomes if outcome.error and not outcome.is_vanished]:
            raise SourceError(f"{len(errors)} of {len(outcomes)} channels could not be read to the end, the first: {errors[0]}")
    return collected
