"""Schema `core`: what we made of the raw rows, typed. Times are UTC; numbers without data are NULL."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from pnd_dagster.tables._columns import BIGINT_ARRAY, METADATA, TEXT_ARRAY, column, key, one_of

ANNOUNCEMENT_STATUSES = ("scheduled", "postponed", "cancelled", "released", "expired")

MESSAGE_LABELS = sa.Table(
    "message_labels",
    METADATA,
    key("channel_id", sa.BigInteger, "Telegram's channel id"),
    key("message_id", sa.BigInteger, "Message id, unique within the channel"),
    key("revision_id", sa.BigInteger, "Revision of the message that was labelled"),
    key("labeller", sa.Text, "Who labelled: a model family, rules, or human:ALIAS"),
    key("labeller_version", sa.Text, "Version of the labeller"),
    column("label", sa.SmallInteger, "0 announcement, 1 countdown, 2 release, 3 results, 4 delay or cancellation, 5 noise", nullable=False),
    column("confidence", sa.REAL, "The labeller's probability of the label", unit="ratio"),
    column("is_abstained", sa.Boolean, "True when the labeller was too unsure: a better one should decide", nullable=False),
    column("labelled_at", sa.TIMESTAMP, "When the label was given", nullable=False, on_update="change"),
    sa.CheckConstraint("label BETWEEN 0 AND 5", name="label"),
    sa.Index(None, "labelled_at"),
    schema="core",
    comment="Labels of message revisions in the paper's six classes, one row per revision and labeller",
)

PUMP_ANNOUNCEMENTS = sa.Table(
    "pump_announcements",
    METADATA,
    key("announcement_id", sa.Text, "Hash of the channel, the first message and the ordinal of the pump within it"),
    column("channel_id", sa.BigInteger, "Channel that announced", nullable=False),
    column("message_id", sa.BigInteger, "Message that announced first", nullable=False),
    column("announced_at", sa.TIMESTAMP, "When the first announcing message was posted", nullable=False),
    column("exchange", sa.Text, "Exchange named, canonical lower-case id, NULL if none was named"),
    column("base_symbol", sa.Text, "Coin, if the announcement already names it"),
    column("quote_symbol", sa.Text, "Quote currency, if named"),
    column("scheduled_at", sa.TIMESTAMP, "When the pump shall start, as last announced; NULL if no time was given"),
    column("previous_scheduled_at", sa.TIMESTAMP, "Start before the last postponement"),
    column("zone_text", sa.Text, "Time zone as written, e.g. 'GMT'; NULL if none was written"),
    column("time_text", sa.Text, "The words the time was read from"),
    column("is_inferred", sa.Boolean, "True when date, zone or year was not written and had to be inferred", nullable=False),
    column("schedule_revision", sa.Integer, "How often the schedule changed, from 0", nullable=False),
    column("status", sa.Text, "State as of the last message read", nullable=False),
    column("status_at", sa.TIMESTAMP, "When it came into that state", nullable=False),
    column("released_message_id", sa.BigInteger, "Message that released the coin"),
    column("evidence_message_ids", BIGINT_ARRAY, "Messages that made or changed this announcement, in time order", nullable=False),
    one_of("status", ANNOUNCEMENT_STATUSES),
    sa.Index(None, "channel_id"),
    sa.Index(None, "scheduled_at"),
    schema="core",
    comment="Pumps as announced by one channel, with their state; several channels' announcements of one pump meet in scheduled_pumps",
)

SCHEDULED_PUMPS = sa.Table(
    "scheduled_pumps",
    METADATA,
    key("pump_id", sa.Text, "Hash of the first announcement of the cluster"),
    column("exchange", sa.Text, "Exchange, canonical lower-case id"),
    column("scheduled_at", sa.TIMESTAMP, "Start of the pump: the time most announcements name", nullable=False),
    column("schedule_revision", sa.Integer, "Highest schedule revision among the announcements", nullable=False),
    column("status", sa.Text, "State: that of the announcement that changed last", nullable=False),
    column("announcement_ids", TEXT_ARRAY, "Announcements of this pump", nullable=False),
    column("channel_ids", BIGINT_ARRAY, "Channels that announced it", nullable=False),
    column("channel_count", sa.Integer, "Number of those channels", unit="channels", nullable=False),
    column("first_announced_at", sa.TIMESTAMP, "First announcement", nullable=False),
    one_of("status", ANNOUNCEMENT_STATUSES),
    sa.Index(None, "scheduled_at"),
    schema="core",
    comment="Pumps that channels announced together: one row per exchange and start time, within 10 minutes",
)

PUMP_RELEASES = sa.Table(
    "pump_releases",
    METADATA,
    key("channel_id", sa.BigInteger, "Channel that released the coin"),
    key("message_id", sa.BigInteger, "Message that named the coin"),
    column("released_at", sa.TIMESTAMP, "When it was posted", nullable=False),
    column("exchange", sa.Text, "Exchange, from the release or from the channel's announcement within 48 h before; NULL if unknown"),
    column("exchange_source", sa.Text, "Where the exchange was found: url, text, announcement, channel"),
    column("symbol", sa.Text, "Coin, upper case", nullable=False),
    column("quote", sa.Text, "Quote currency, upper case"),
    column("confidence", sa.Double, "Confidence in coin and class", unit="ratio", nullable=False),
    column("is_symbol_listed", sa.Boolean, "True if the symbol is in the list of known symbols", nullable=False),
    column("announcement_id", sa.Text, "The announcement this release fulfils"),
    column("event_id", sa.Text, "The event it belongs to", nullable=False),
    sa.Index(None, "event_id"),
    sa.Index(None, "released_at"),
    schema="core",
    comment="Messages that released a coin: the evidence of pump_events",
)

PUMP_EVENTS = sa.Table(
    "pump_events",
    METADATA,
    key("event_id", sa.Text, "Hash of the first evidence message"),
    column("paper_event_key", sa.Text, "The paper's key: exchange, symbol and release time rounded to the hour", nullable=False),
    column("exchange", sa.Text, "Exchange, NULL if unknown"),
    column("symbol", sa.Text, "Coin, upper case", nullable=False),
    column("quote", sa.Text, "Quote currency, upper case"),
    column("released_at", sa.TIMESTAMP, "First release", nullable=False),
    column("last_released_at", sa.TIMESTAMP, "Last release that belongs to the event", nullable=False),
    column("confidence", sa.Double, "Highest confidence among the releases", unit="ratio", nullable=False),
    column("channel_ids", BIGINT_ARRAY, "Channels that released it, in time order", nullable=False),
    column("channel_count", sa.Integer, "Number of those channels", unit="channels", nullable=False),
    column("evidence_count", sa.Integer, "Number of release messages", unit="messages", nullable=False),
    column("announcement_ids", TEXT_ARRAY, "Announcements that led to it", nullable=False),
    column("aliases", TEXT_ARRAY, "Event ids that were merged into this one", nullable=False),
    sa.Index(None, "released_at"),
    schema="core",
    comment="Pump events: releases of one coin on one exchange within 2 hours of each other, across channels",
)

CHANNEL_BUILDS = sa.Table(
    "channel_builds",
    METADATA,
    key("channel_id", sa.BigInteger, "Telegram's channel id"),
    column("extractor_version", sa.Text, "Version of the extraction that was used", nullable=False),
    column("labels_through_at", sa.TIMESTAMP, "Labels up to this time of labelling are in", nullable=False),
    column("label_count", sa.BigInteger, "Number of labels that are in", unit="labels", nullable=False),
    schema="core",
    comment="How far each channel's announcements and releases have been built, so that only affected channels are replayed",
)

HEARTBEATS = sa.Table(
    "heartbeats",
    METADATA,
    key("name", sa.Text, "Service and instance, e.g. listen"),
    column("beat_at", sa.TIMESTAMP, "Last sign of life", nullable=False),
    column("lag_seconds", sa.Double, "Age of the last input when it was handled", unit="s"),
    column("is_healthy", sa.Boolean, "What the service says of itself", nullable=False),
    column("details", pg.JSONB, "Counters and the last error"),
    schema="core",
    comment="Life signs of the long-running services",
)
