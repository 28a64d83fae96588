"""From labelled messages to announcements, scheduled pumps, releases and events: the composition of this package."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import polars as pl

from pnd_dagster.events.channels import build_channel
from pnd_dagster.events.clusters import cluster_events
from pnd_dagster.events.schedule import schedule_pumps

EXTRACTOR_VERSION = "rules-2"


class Extraction(NamedTuple):
    """Frames of core.pump_announcements, core.scheduled_pumps, core.pump_releases and core.pump_events."""

    announcements: pl.DataFrame
    scheduled_pumps: pl.DataFrame
    releases: pl.DataFrame
    events: pl.DataFrame


def extract_events(messages: pl.DataFrame, known_symbols: frozenset[str] | None = None, as_of: datetime | None = None) -> Extraction:
    """All that `messages` tell of pumps (paper IV-C). Arguments and errors are those of `build_channel`."""
    announcements, unclustered = build_channel(messages, known_symbols, as_of)
    events, releases = cluster_events(unclustered)
    return Extraction(announcements, schedule_pumps(announcements), releases, events)
