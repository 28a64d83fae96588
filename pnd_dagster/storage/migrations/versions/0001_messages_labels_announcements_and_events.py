"""Messages, labels, announcements and events

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "channel_builds",
        sa.Column("channel_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Telegram's channel id"),
        sa.Column("extractor_version", sa.Text(), autoincrement=False, nullable=False, comment="Version of the extraction that was used"),
        sa.Column(
            "labels_through_at",
            sa.TIMESTAMP(timezone=True),
            autoincrement=False,
            nullable=False,
            comment="Labels up to this time of labelling are in",
        ),
        sa.Column("label_count", sa.BigInteger(), autoincrement=False, nullable=False, comment="Number of labels that are in"),
        sa.PrimaryKeyConstraint("channel_id", name=op.f("channel_builds_pkey")),
        schema="core",
        comment="How far each channel's announcements and releases have been built, so that only affected channels are replayed",
    )
    op.create_table(
        "heartbeats",
        sa.Column("name", sa.Text(), autoincrement=False, nullable=False, comment="Service and instance, e.g. listen"),
        sa.Column("beat_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="Last sign of life"),
        sa.Column("lag_seconds", sa.Double(), autoincrement=False, nullable=True, comment="Age of the last input when it was handled"),
        sa.Column("is_healthy", sa.Boolean(), autoincrement=False, nullable=False, comment="What the service says of itself"),
        sa.Column(
            "details", postgresql.JSONB(astext_type=sa.Text()), autoincrement=False, nullable=True, comment="Counters and the last error"
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("heartbeats_pkey")),
        schema="core",
        comment="Life signs of the long-running services",
    )
    op.create_table(
        "message_labels",
        sa.Column("channel_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Telegram's channel id"),
        sa.Column("message_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Message id, unique within the channel"),
        sa.Column("revision_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Revision of the message that was labelled"),
        sa.Column(
            "labeller", sa.Text(), autoincrement=False, nullable=False, comment="Who labelled: a model family, rules, or human:ALIAS"
        ),
        sa.Column("labeller_version", sa.Text(), autoincrement=False, nullable=False, comment="Version of the labeller"),
        sa.Column(
            "label",
            sa.SmallInteger(),
            autoincrement=False,
            nullable=False,
            comment="0 announcement, 1 countdown, 2 release, 3 results, 4 delay or cancellation, 5 noise",
        ),
        sa.Column("confidence", sa.REAL(), autoincrement=False, nullable=True, comment="The labeller's probability of the label"),
        sa.Column("labelled_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When the label was given"),
        sa.CheckConstraint("label BETWEEN 0 AND 5", name=op.f("message_labels_label_check")),
        sa.PrimaryKeyConstraint(
            "channel_id", "message_id", "revision_id", "labeller", "labeller_version", name=op.f("message_labels_pkey")
        ),
        schema="core",
        comment="Labels of message revisions in the paper's six classes, one row per revision and labeller",
    )
    op.create_index(op.f("message_labels_labelled_at_idx"), "message_labels", ["labelled_at"], unique=False, schema="core")
    op.create_table(
        "pump_announcements",
        sa.Column(
            "announcement_id",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="Hash of the channel, the first message and the ordinal of the pump within it",
        ),
        sa.Column("channel_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Channel that announced"),
        sa.Column("message_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Message that announced first"),
        sa.Column(
            "announced_at",
            sa.TIMESTAMP(timezone=True),
            autoincrement=False,
            nullable=False,
            comment="When the first announcing message was posted",
        ),
        sa.Column(
            "exchange",
            sa.Text(),
            autoincrement=False,
            nullable=True,
            comment="Exchange named, canonical lower-case id, NULL if none was named",
        ),
        sa.Column("base_symbol", sa.Text(), autoincrement=False, nullable=True, comment="Coin, if the announcement already names it"),
        sa.Column("quote_symbol", sa.Text(), autoincrement=False, nullable=True, comment="Quote currency, if named"),
        sa.Column(
            "scheduled_at",
            sa.TIMESTAMP(timezone=True),
            autoincrement=False,
            nullable=True,
            comment="When the pump shall start, as last announced; NULL if no time was given",
        ),
        sa.Column(
            "previous_scheduled_at",
            sa.TIMESTAMP(timezone=True),
            autoincrement=False,
            nullable=True,
            comment="Start before the last postponement",
        ),
        sa.Column(
            "zone_text", sa.Text(), autoincrement=False, nullable=True, comment="Time zone as written, e.g. 'GMT'; NULL if none was written"
        ),
        sa.Column("time_text", sa.Text(), autoincrement=False, nullable=True, comment="The words the time was read from"),
        sa.Column(
            "is_inferred",
            sa.Boolean(),
            autoincrement=False,
            nullable=False,
            comment="True when date, zone or year was not written and had to be inferred",
        ),
        sa.Column("schedule_revision", sa.Integer(), autoincrement=False, nullable=False, comment="How often the schedule changed, from 0"),
        sa.Column("status", sa.Text(), autoincrement=False, nullable=False, comment="State as of the last message read"),
        sa.Column("status_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When it came into that state"),
        sa.Column("released_message_id", sa.BigInteger(), autoincrement=False, nullable=True, comment="Message that released the coin"),
        sa.Column(
            "evidence_message_ids",
            postgresql.ARRAY(sa.BigInteger()),
            autoincrement=False,
            nullable=False,
            comment="Messages that made or changed this announcement, in time order",
        ),
        sa.CheckConstraint(
            "status IN ('scheduled', 'postponed', 'cancelled', 'released', 'expired')", name=op.f("pump_announcements_status_check")
        ),
        sa.PrimaryKeyConstraint("announcement_id", name=op.f("pump_announcements_pkey")),
        schema="core",
        comment="Pumps as announced by one channel, with their state; several channels' announcements of one pump meet in scheduled_pumps",
    )
    op.create_index(op.f("pump_announcements_channel_id_idx"), "pump_announcements", ["channel_id"], unique=False, schema="core")
    op.create_index(op.f("pump_announcements_scheduled_at_idx"), "pump_announcements", ["scheduled_at"], unique=False, schema="core")
    op.create_table(
        "pump_events",
        sa.Column("event_id", sa.Text(), autoincrement=False, nullable=False, comment="Hash of the first evidence message"),
        sa.Column(
            "paper_event_key",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="The paper's key: exchange, symbol and release time rounded to the hour",
        ),
        sa.Column("exchange", sa.Text(), autoincrement=False, nullable=True, comment="Exchange, NULL if unknown"),
        sa.Column("symbol", sa.Text(), autoincrement=False, nullable=False, comment="Coin, upper case"),
        sa.Column("quote", sa.Text(), autoincrement=False, nullable=True, comment="Quote currency, upper case"),
        sa.Column("released_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="First release"),
        sa.Column(
            "last_released_at",
            sa.TIMESTAMP(timezone=True),
            autoincrement=False,
            nullable=False,
            comment="Last release that belongs to the event",
        ),
        sa.Column("confidence", sa.Double(), autoincrement=False, nullable=False, comment="Highest confidence among the releases"),
        sa.Column(
            "channel_ids",
            postgresql.ARRAY(sa.BigInteger()),
            autoincrement=False,
            nullable=False,
            comment="Channels that released it, in time order",
        ),
        sa.Column("channel_count", sa.Integer(), autoincrement=False, nullable=False, comment="Number of those channels"),
        sa.Column("evidence_count", sa.Integer(), autoincrement=False, nullable=False, comment="Number of release messages"),
        sa.Column(
            "announcement_ids", postgresql.ARRAY(sa.Text()), autoincrement=False, nullable=False, comment="Announcements that led to it"
        ),
        sa.Column(
            "aliases", postgresql.ARRAY(sa.Text()), autoincrement=False, nullable=False, comment="Event ids that were merged into this one"
        ),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pump_events_pkey")),
        schema="core",
        comment="Pump events: releases of one coin on one exchange within 2 hours of each other, across channels",
    )
    op.create_index(op.f("pump_events_released_at_idx"), "pump_events", ["released_at"], unique=False, schema="core")
    op.create_table(
        "pump_releases",
        sa.Column("channel_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Channel that released the coin"),
        sa.Column("message_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Message that named the coin"),
        sa.Column("released_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When it was posted"),
        sa.Column(
            "exchange",
            sa.Text(),
            autoincrement=False,
            nullable=True,
            comment="Exchange, from the release or from the channel's announcement within 48 h before; NULL if unknown",
        ),
        sa.Column(
            "exchange_source",
            sa.Text(),
            autoincrement=False,
            nullable=True,
            comment="Where the exchange was found: url, text, announcement, channel",
        ),
        sa.Column("symbol", sa.Text(), autoincrement=False, nullable=False, comment="Coin, upper case"),
        sa.Column("quote", sa.Text(), autoincrement=False, nullable=True, comment="Quote currency, upper case"),
        sa.Column("confidence", sa.Double(), autoincrement=False, nullable=False, comment="Confidence in coin and class"),
        sa.Column(
            "is_symbol_listed",
            sa.Boolean(),
            autoincrement=False,
            nullable=False,
            comment="True if the symbol is in the list of known symbols",
        ),
        sa.Column("announcement_id", sa.Text(), autoincrement=False, nullable=True, comment="The announcement this release fulfils"),
        sa.Column("event_id", sa.Text(), autoincrement=False, nullable=False, comment="The event it belongs to"),
        sa.PrimaryKeyConstraint("channel_id", "message_id", name=op.f("pump_releases_pkey")),
        schema="core",
        comment="Messages that released a coin: the evidence of pump_events",
    )
    op.create_index(op.f("pump_releases_event_id_idx"), "pump_releases", ["event_id"], unique=False, schema="core")
    op.create_index(op.f("pump_releases_released_at_idx"), "pump_releases", ["released_at"], unique=False, schema="core")
    op.create_table(
        "scheduled_pumps",
        sa.Column("pump_id", sa.Text(), autoincrement=False, nullable=False, comment="Hash of the first announcement of the cluster"),
        sa.Column("exchange", sa.Text(), autoincrement=False, nullable=True, comment="Exchange, canonical lower-case id"),
        sa.Column(
            "scheduled_at",
            sa.TIMESTAMP(timezone=True),
            autoincrement=False,
            nullable=False,
            comment="Start of the pump: the time most announcements name",
        ),
        sa.Column(
            "schedule_revision",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="Highest schedule revision among the announcements",
        ),
        sa.Column("status", sa.Text(), autoincrement=False, nullable=False, comment="State: that of the announcement that changed last"),
        sa.Column(
            "announcement_ids", postgresql.ARRAY(sa.Text()), autoincrement=False, nullable=False, comment="Announcements of this pump"
        ),
        sa.Column(
            "channel_ids", postgresql.ARRAY(sa.BigInteger()), autoincrement=False, nullable=False, comment="Channels that announced it"
        ),
        sa.Column("channel_count", sa.Integer(), autoincrement=False, nullable=False, comment="Number of those channels"),
        sa.Column("first_announced_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="First announcement"),
        sa.CheckConstraint(
            "status IN ('scheduled', 'postponed', 'cancelled', 'released', 'expired')", name=op.f("scheduled_pumps_status_check")
        ),
        sa.PrimaryKeyConstraint("pump_id", name=op.f("scheduled_pumps_pkey")),
        schema="core",
        comment="Pumps that channels announced together: one row per exchange and start time, within 10 minutes",
    )
    op.create_index(op.f("scheduled_pumps_scheduled_at_idx"), "scheduled_pumps", ["scheduled_at"], unique=False, schema="core")
    op.create_table(
        "dead_letters",
        sa.Column("dead_letter_id", sa.Text(), autoincrement=False, nullable=False, comment="Hash of source, location and reason"),
        sa.Column("source", sa.Text(), autoincrement=False, nullable=False, comment="File, service or vendor the input came from"),
        sa.Column("location", sa.Text(), autoincrement=False, nullable=True, comment="Row, message or line within the source"),
        sa.Column("reason", sa.Text(), autoincrement=False, nullable=False, comment="Why it was refused"),
        sa.Column(
            "payload",
            postgresql.JSONB(astext_type=sa.Text()),
            autoincrement=False,
            nullable=True,
            comment="The refused input, cut to 10,000 characters",
        ),
        sa.Column("occurred_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When it was refused first"),
        sa.PrimaryKeyConstraint("dead_letter_id", name=op.f("dead_letters_pkey")),
        schema="raw",
        comment="Inputs that were refused, each with the reason; everything else of their batch went on",
    )
    op.create_index(op.f("dead_letters_occurred_at_idx"), "dead_letters", ["occurred_at"], unique=False, schema="raw")
    op.create_table(
        "telegram_channels",
        sa.Column(
            "channel_id",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="Telegram's channel id, without the -100 prefix; negative where only a link is known yet",
        ),
        sa.Column("title", sa.Text(), autoincrement=False, nullable=True, comment="Last title seen"),
        sa.Column("username", sa.Text(), autoincrement=False, nullable=True, comment="Public name without @"),
        sa.Column("link", sa.Text(), autoincrement=False, nullable=True, comment="Link by which the channel was found"),
        sa.Column("description", sa.Text(), autoincrement=False, nullable=True, comment="Channel description as last seen"),
        sa.Column("participants", sa.BigInteger(), autoincrement=False, nullable=True, comment="Members as last seen"),
        sa.Column(
            "found_via",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="How it was found: tgstat, link list, snowball, archive, simulated",
        ),
        sa.Column(
            "found_from_channel_id",
            sa.BigInteger(),
            autoincrement=False,
            nullable=True,
            comment="The channel whose message led here, for snowball finds",
        ),
        sa.Column(
            "pump_share_ratio",
            sa.Double(),
            autoincrement=False,
            nullable=True,
            comment="Share of sampled messages that the classifier calls pump messages",
        ),
        sa.Column(
            "status", sa.Text(), autoincrement=False, nullable=False, comment="candidate until a human decides: validated or rejected"
        ),
        sa.Column(
            "status_reason",
            sa.Text(),
            autoincrement=False,
            nullable=True,
            comment="Why it was validated or rejected; 'vanished' when Telegram no longer knows it",
        ),
        sa.Column(
            "is_vanished", sa.Boolean(), autoincrement=False, nullable=False, comment="True when Telegram no longer serves the channel"
        ),
        sa.Column("discovered_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When we first knew of it"),
        sa.Column(
            "decided_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=True, comment="When a human validated or rejected it"
        ),
        sa.CheckConstraint("status IN ('candidate', 'validated', 'rejected')", name=op.f("telegram_channels_status_check")),
        sa.PrimaryKeyConstraint("channel_id", name=op.f("telegram_channels_pkey")),
        schema="raw",
        comment="Telegram channels, one row each, with how they were found and what a human decided",
    )
    op.create_table(
        "telegram_cursors",
        sa.Column("channel_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Telegram's channel id"),
        sa.Column(
            "oldest_message_id", sa.BigInteger(), autoincrement=False, nullable=True, comment="History has been read down to this message"
        ),
        sa.Column(
            "newest_message_id", sa.BigInteger(), autoincrement=False, nullable=True, comment="History has been read up to this message"
        ),
        sa.Column(
            "is_history_complete",
            sa.Boolean(),
            autoincrement=False,
            nullable=False,
            comment="True once the channel's first message was reached",
        ),
        sa.Column(
            "pts",
            sa.BigInteger(),
            autoincrement=False,
            nullable=True,
            comment="Telegram's update counter of the channel, for recovery by difference",
        ),
        sa.Column("updated_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When this cursor moved last"),
        sa.PrimaryKeyConstraint("channel_id", name=op.f("telegram_cursors_pkey")),
        schema="raw",
        comment="How far each channel has been read, so that history and the listener resume where they stopped",
    )
    op.create_table(
        "telegram_message_stats",
        sa.Column("channel_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Telegram's channel id"),
        sa.Column("message_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Message id, unique within the channel"),
        sa.Column("views", sa.BigInteger(), autoincrement=False, nullable=True, comment="Views as last seen"),
        sa.Column("forwards", sa.BigInteger(), autoincrement=False, nullable=True, comment="Forwards as last seen"),
        sa.Column("replies", sa.BigInteger(), autoincrement=False, nullable=True, comment="Replies as last seen"),
        sa.Column("observed_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When these counts were read"),
        sa.PrimaryKeyConstraint("channel_id", "message_id", name=op.f("telegram_message_stats_pkey")),
        schema="raw",
        comment="Views, forwards and replies as last seen; kept apart so that a new count is not a new revision",
    )
    op.create_table(
        "telegram_messages",
        sa.Column(
            "channel_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Telegram's channel id, without the -100 prefix"
        ),
        sa.Column("message_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Message id, unique within the channel"),
        sa.Column(
            "revision_id",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="Hash of (edited_at, text, media, is_deleted): the order of imports does not matter",
        ),
        sa.Column("occurred_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When the message was posted"),
        sa.Column(
            "edited_at",
            sa.TIMESTAMP(timezone=True),
            autoincrement=False,
            nullable=True,
            comment="When this revision was written, NULL for an unedited message",
        ),
        sa.Column("ingested_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When we knew of this revision"),
        sa.Column("is_deleted", sa.Boolean(), autoincrement=False, nullable=False, comment="True for the revision that records a deletion"),
        sa.Column("kind", sa.Text(), autoincrement=False, nullable=False, comment="message or service"),
        sa.Column(
            "text",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="Text or caption; NUL bytes and lone surrogates became U+FFFD, '' when media only",
        ),
        sa.Column(
            "media_type", sa.Text(), autoincrement=False, nullable=True, comment="Telethon class name of the media, e.g. MessageMediaPhoto"
        ),
        sa.Column(
            "media_file", sa.Text(), autoincrement=False, nullable=True, comment="Name of the downloaded file, relative to the media folder"
        ),
        sa.Column("reply_to_message_id", sa.BigInteger(), autoincrement=False, nullable=True, comment="Message this one answers"),
        sa.Column("forwarded_from_channel_id", sa.BigInteger(), autoincrement=False, nullable=True, comment="Source channel of a forward"),
        sa.Column("forwarded_from_message_id", sa.BigInteger(), autoincrement=False, nullable=True, comment="Source message of a forward"),
        sa.Column("grouped_id", sa.BigInteger(), autoincrement=False, nullable=True, comment="Album id"),
        sa.Column("is_pinned", sa.Boolean(), autoincrement=False, nullable=True, comment="Pinned when it was read"),
        sa.Column(
            "is_from_member",
            sa.Boolean(),
            autoincrement=False,
            nullable=True,
            comment="True when a group member posted it, not the channel",
        ),
        sa.Column(
            "service_action", sa.Text(), autoincrement=False, nullable=True, comment="Telethon class name of a service message's action"
        ),
        sa.Column(
            "source",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="Where it was read: archive, desktop export, history, live, simulated",
        ),
        sa.CheckConstraint("kind IN ('message', 'service')", name=op.f("telegram_messages_kind_check")),
        sa.PrimaryKeyConstraint("channel_id", "message_id", "revision_id", name=op.f("telegram_messages_pkey")),
        schema="raw",
        comment="Message revisions of Telegram channels: edits and deletions add rows, nothing is overwritten",
    )
    op.create_index(op.f("telegram_messages_ingested_at_idx"), "telegram_messages", ["ingested_at"], unique=False, schema="raw")
    op.create_index(op.f("telegram_messages_occurred_at_idx"), "telegram_messages", ["occurred_at"], unique=False, schema="raw")


def downgrade() -> None:
    op.drop_index(op.f("telegram_messages_occurred_at_idx"), table_name="telegram_messages", schema="raw")
    op.drop_index(op.f("telegram_messages_ingested_at_idx"), table_name="telegram_messages", schema="raw")
    op.drop_table("telegram_messages", schema="raw")
    op.drop_table("telegram_message_stats", schema="raw")
    op.drop_table("telegram_cursors", schema="raw")
    op.drop_table("telegram_channels", schema="raw")
    op.drop_index(op.f("dead_letters_occurred_at_idx"), table_name="dead_letters", schema="raw")
    op.drop_table("dead_letters", schema="raw")
    op.drop_index(op.f("scheduled_pumps_scheduled_at_idx"), table_name="scheduled_pumps", schema="core")
    op.drop_table("scheduled_pumps", schema="core")
    op.drop_index(op.f("pump_releases_released_at_idx"), table_name="pump_releases", schema="core")
    op.drop_index(op.f("pump_releases_event_id_idx"), table_name="pump_releases", schema="core")
    op.drop_table("pump_releases", schema="core")
    op.drop_index(op.f("pump_events_released_at_idx"), table_name="pump_events", schema="core")
    op.drop_table("pump_events", schema="core")
    op.drop_index(op.f("pump_announcements_scheduled_at_idx"), table_name="pump_announcements", schema="core")
    op.drop_index(op.f("pump_announcements_channel_id_idx"), table_name="pump_announcements", schema="core")
    op.drop_table("pump_announcements", schema="core")
    op.drop_index(op.f("message_labels_labelled_at_idx"), table_name="message_labels", schema="core")
    op.drop_table("message_labels", schema="core")
    op.drop_table("heartbeats", schema="core")
    op.drop_table("channel_builds", schema="core")
