"""Schema `raw`: what was received, as it was received. No interpretation happens here."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from pnd_dagster.tables._columns import METADATA, column, key, one_of

CHANNEL_STATUSES = ("candidate", "validated", "rejected")

TELEGRAM_CHANNELS = sa.Table(
    "telegram_channels",
    METADATA,
    key("channel_id", sa.BigInteger, "Telegram's channel id, without the -100 prefix; negative where only a link is known yet"),
    column("title", sa.Text, "Last title seen", on_update="known"),
    column("username", sa.Text, "Public name without @", on_update="known"),
    column("link", sa.Text, "Link by which the channel was found", on_update="known"),
    column("description", sa.Text, "Channel description as last seen", on_update="known"),
    column("participants", sa.BigInteger, "Members as last seen", unit="members", on_update="known"),
    column("found_via", sa.Text, "How it was found: tgstat, link list, snowball, archive, simulated", nullable=False, on_update="first"),
    column("found_from_channel_id", sa.BigInteger, "The channel whose message led here, for snowball finds", on_update="known"),
    column(
        "pump_share_ratio", sa.Double, "Share of sampled messages that the classifier calls pump messages", unit="ratio", on_update="known"
    ),
    column("status", sa.Text, "candidate until a human decides: validated or rejected", nullable=False, on_update="first"),
    column("status_reason", sa.Text, "Why it was validated or rejected; 'vanished' when Telegram no longer knows it", on_update="first"),
    column("is_vanished", sa.Boolean, "True when Telegram no longer serves the channel", nullable=False, on_update="first"),
    column("discovered_at", sa.TIMESTAMP, "When we first knew of it", nullable=False, on_update="first"),
    column("decided_at", sa.TIMESTAMP, "When a human validated or rejected it", on_update="first"),
    one_of("status", CHANNEL_STATUSES),
    schema="raw",
    comment="Telegram channels, one row each, with how they were found and what a human decided",
)

TELEGRAM_MESSAGES = sa.Table(
    "telegram_messages",
    METADATA,
    key("channel_id", sa.BigInteger, "Telegram's channel id, without the -100 prefix"),
    key("message_id", sa.BigInteger, "Message id, unique within the channel"),
    key("revision_id", sa.BigInteger, "Hash of (edited_at, text, media, is_deleted): the order of imports does not matter"),
    column("occurred_at", sa.TIMESTAMP, "When the message was posted", nullable=False),
    column("edited_at", sa.TIMESTAMP, "When this revision was written, NULL for an unedited message"),
    column("ingested_at", sa.TIMESTAMP, "When we knew of this revision", nullable=False, on_update="first"),
    column("is_deleted", sa.Boolean, "True for the revision that records a deletion", nullable=False),
    column("kind", sa.Text, "message or service", nullable=False),
    column("text", sa.Text, "Text or caption; NUL bytes and lone surrogates became U+FFFD, '' when media only", nullable=False),
    column("media_type", sa.Text, "Telethon class name of the media, e.g. MessageMediaPhoto"),
    column("media_file", sa.Text, "Name of the downloaded file, relative to the media folder", on_update="known"),
    column("reply_to_message_id", sa.BigInteger, "Message this one answers", on_update="known"),
    column("forwarded_from_channel_id", sa.BigInteger, "Source channel of a forward", on_update="known"),
    column("forwarded_from_message_id", sa.BigInteger, "Source message of a forward", on_update="known"),
    column("grouped_id", sa.BigInteger, "Album id", on_update="known"),
    column("is_pinned", sa.Boolean, "Pinned when it was read", on_update="known"),
    column("is_from_member", sa.Boolean, "True when a group member posted it, not the channel", on_update="known"),
    column("service_action", sa.Text, "Telethon class name of a service message's action", on_update="known"),
    column("source", sa.Text, "Where it was read: archive, desktop export, history, live, simulated", nullable=False, on_update="first"),
    sa.CheckConstraint("kind IN ('message', 'service')", name="kind"),
    sa.Index(None, "occurred_at"),
    sa.Index(None, "ingested_at"),
    schema="raw",
    comment="Message revisions of Telegram channels: edits and deletions add rows, nothing is overwritten",
)

TELEGRAM_MESSAGE_STATS = sa.Table(
    "telegram_message_stats",
    METADATA,
    key("channel_id", sa.BigInteger, "Telegram's channel id"),
    key("message_id", sa.BigInteger, "Message id, unique within the channel"),
    column("views", sa.BigInteger, "Views as last seen", unit="views", on_update="known"),
    column("forwards", sa.BigInteger, "Forwards as last seen", unit="forwards", on_update="known"),
    column("replies", sa.BigInteger, "Replies as last seen", unit="replies", on_update="known"),
    column("observed_at", sa.TIMESTAMP, "When these counts were read", nullable=False, on_update="change"),
    schema="raw",
    comment="Views, forwards and replies as last seen; kept apart so that a new count is not a new revision",
)

TELEGRAM_CURSORS = sa.Table(
    "telegram_cursors",
    METADATA,
    key("channel_id", sa.BigInteger, "Telegram's channel id"),
    column("oldest_message_id", sa.BigInteger, "History has been read down to this message"),
    column("newest_message_id", sa.BigInteger, "History has been read up to this message"),
    column("is_history_complete", sa.Boolean, "True once the channel's first message was reached", nullable=False),
    column("pts", sa.BigInteger, "Telegram's update counter of the channel, for recovery by difference"),
    column("updated_at", sa.TIMESTAMP, "When this cursor moved last", nullable=False, on_update="change"),
    schema="raw",
    comment="How far each channel has been read, so that history and the listener resume where they stopped",
)

DEAD_LETTERS = sa.Table(
    "dead_letters",
    METADATA,
    key("dead_letter_id", sa.Text, "Hash of source, location and reason"),
    column("source", sa.Text, "File, service or vendor the input came from", nullable=False),
    column("location", sa.Text, "Row, message or line within the source"),
    column("reason", sa.Text, "Why it was refused", nullable=False),
    column("payload", pg.JSONB, "The refused input, cut to 10,000 characters"),
    column("occurred_at", sa.TIMESTAMP, "When it was refused first", nullable=False, on_update="first"),
    sa.Index(None, "occurred_at"),
    schema="raw",
    comment="Inputs that were refused, each with the reason; everything else of their batch went on",
)
