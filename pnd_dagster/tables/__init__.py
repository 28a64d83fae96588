"""Every table, declared once. DDL, comments, Polars schemas, Dagster column schemas and the data dictionary derive from here."""

from pnd_dagster.tables._columns import METADATA
from pnd_dagster.tables.core import (
    ANNOUNCEMENT_STATUSES,
    CHANNEL_BUILDS,
    HEARTBEATS,
    MESSAGE_LABELS,
    PUMP_ANNOUNCEMENTS,
    PUMP_EVENTS,
    PUMP_RELEASES,
    SCHEDULED_PUMPS,
)
from pnd_dagster.tables.frames import conform, polars_schema, primary_key
from pnd_dagster.tables.raw import (
    CHANNEL_STATUSES,
    DEAD_LETTERS,
    TELEGRAM_CHANNELS,
    TELEGRAM_CURSORS,
    TELEGRAM_MESSAGE_STATS,
    TELEGRAM_MESSAGES,
)

SCHEMAS = ("raw", "core")

__all__ = [
    "ANNOUNCEMENT_STATUSES",
    "CHANNEL_BUILDS",
    "CHANNEL_STATUSES",
    "DEAD_LETTERS",
    "HEARTBEATS",
    "MESSAGE_LABELS",
    "METADATA",
    "PUMP_ANNOUNCEMENTS",
    "PUMP_EVENTS",
    "PUMP_RELEASES",
    "SCHEDULED_PUMPS",
    "SCHEMAS",
    "TELEGRAM_CHANNELS",
    "TELEGRAM_CURSORS",
    "TELEGRAM_MESSAGES",
    "TELEGRAM_MESSAGE_STATS",
    "conform",
    "polars_schema",
    "primary_key",
]
