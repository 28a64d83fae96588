"""Language model replies, pictures, warning signs, agreement of labellers

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "channel_warning_signs",
        sa.Column("channel_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Telegram's channel id"),
        sa.Column("sign", sa.Text(), autoincrement=False, nullable=False, comment="Warning sign"),
        sa.Column(
            "message_count",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="Messages of the channel, latest revision of each, with text",
        ),
        sa.Column("signed_count", sa.BigInteger(), autoincrement=False, nullable=False, comment="Those of them with this sign"),
        sa.Column("signed_ratio", sa.Double(), autoincrement=False, nullable=False, comment="Their share"),
        sa.Column("lexicon_version", sa.Text(), autoincrement=False, nullable=False, comment="Version of the lexicon"),
        sa.PrimaryKeyConstraint("channel_id", "sign", name=op.f("channel_warning_signs_pkey")),
        schema="core",
        comment="How often each channel's messages show each warning sign",
    )
    op.create_table(
        "image_readings",
        sa.Column(
            "media_file", sa.Text(), autoincrement=False, nullable=False, comment="Name of the picture, relative to the media folder"
        ),
        sa.Column("reader_version", sa.Text(), autoincrement=False, nullable=False, comment="Version of the reader"),
        sa.Column(
            "image_sha256",
            sa.Text(),
            autoincrement=False,
            nullable=True,
            comment="Hash of the file that was read; NULL if it could not be opened",
        ),
        sa.Column(
            "status",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="reveal: names a coin; none: names none; doubtful: for review; refused: too large, broken or too slow",
        ),
        sa.Column("symbol", sa.Text(), autoincrement=False, nullable=True, comment="Coin, upper case; NULL unless a reveal or doubtful"),
        sa.Column("confidence", sa.Double(), autoincrement=False, nullable=True, comment="Confidence in the symbol"),
        sa.Column(
            "texts",
            postgresql.ARRAY(sa.Text()),
            autoincrement=False,
            nullable=False,
            comment="Texts found in the picture, at most 100 of 200 characters each",
        ),
        sa.Column("reason", sa.Text(), autoincrement=False, nullable=True, comment="Why it was refused or is doubtful"),
        sa.Column("read_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When it was read"),
        sa.CheckConstraint("status IN ('reveal', 'none', 'doubtful', 'refused')", name=op.f("image_readings_status_check")),
        sa.PrimaryKeyConstraint("media_file", "reader_version", name=op.f("image_readings_pkey")),
        schema="core",
        comment="What an offline reader found in the pictures of messages: the coin of an image reveal, or none",
    )
    op.create_table(
        "label_agreement",
        sa.Column(
            "labeller_a", sa.Text(), autoincrement=False, nullable=False, comment="One labeller, with its version: the first by name"
        ),
        sa.Column("labeller_b", sa.Text(), autoincrement=False, nullable=False, comment="The other labeller, with its version"),
        sa.Column("message_count", sa.BigInteger(), autoincrement=False, nullable=False, comment="Message revisions that both labelled"),
        sa.Column("agreement_ratio", sa.Double(), autoincrement=False, nullable=False, comment="Share of them with the same label"),
        sa.Column(
            "kappa", sa.Double(), autoincrement=False, nullable=True, comment="Cohen's kappa; NULL where chance agreement is complete"
        ),
        sa.Column(
            "kappa_low", sa.Double(), autoincrement=False, nullable=True, comment="Lower end of its 95% bootstrap interval over channels"
        ),
        sa.Column("kappa_high", sa.Double(), autoincrement=False, nullable=True, comment="Upper end"),
        sa.Column(
            "confusion",
            postgresql.JSONB(astext_type=sa.Text()),
            autoincrement=False,
            nullable=False,
            comment="Counts by label of a (rows) and of b (columns), 6 by 6",
        ),
        sa.PrimaryKeyConstraint("labeller_a", "labeller_b", name=op.f("label_agreement_pkey")),
        schema="core",
        comment="How far labellers agree on the messages that both labelled",
    )
    op.create_table(
        "llm_extractions",
        sa.Column("channel_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Telegram's channel id"),
        sa.Column("message_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Message id, unique within the channel"),
        sa.Column("revision_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Revision of the message that was read"),
        sa.Column(
            "task", sa.Text(), autoincrement=False, nullable=False, comment="announcement, or change for a postponement or cancellation"
        ),
        sa.Column("model", sa.Text(), autoincrement=False, nullable=False, comment="Model that read it"),
        sa.Column("prompt_version", sa.Text(), autoincrement=False, nullable=False, comment="Version of our prompt and schema"),
        sa.Column(
            "is_fallback",
            sa.Boolean(),
            autoincrement=False,
            nullable=False,
            comment="True when no reply was believed and our rules' reading stands here",
        ),
        sa.Column(
            "exchange", sa.Text(), autoincrement=False, nullable=True, comment="Exchange, canonical lower-case id; NULL if none was found"
        ),
        sa.Column("base_symbol", sa.Text(), autoincrement=False, nullable=True, comment="Coin, if the message names it"),
        sa.Column("quote_symbol", sa.Text(), autoincrement=False, nullable=True, comment="Quote currency, if named"),
        sa.Column(
            "scheduled_at",
            sa.TIMESTAMP(timezone=True),
            autoincrement=False,
            nullable=True,
            comment="Start of the pump; for a change the new start",
        ),
        sa.Column(
            "is_inferred",
            sa.Boolean(),
            autoincrement=False,
            nullable=True,
            comment="True when date, zone or year was not written and had to be inferred",
        ),
        sa.Column("is_cancelled", sa.Boolean(), autoincrement=False, nullable=True, comment="For a change: cancelled"),
        sa.Column("is_postponed", sa.Boolean(), autoincrement=False, nullable=True, comment="For a change: moved to another time"),
        sa.Column(
            "disagreement",
            sa.Text(),
            autoincrement=False,
            nullable=True,
            comment="What our rules read otherwise, in words; NULL where they agree. Such rows go to review",
        ),
        sa.Column("extracted_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When it was read"),
        sa.CheckConstraint("task IN ('announcement', 'change')", name=op.f("llm_extractions_task_check")),
        sa.PrimaryKeyConstraint(
            "channel_id", "message_id", "revision_id", "task", "model", "prompt_version", name=op.f("llm_extractions_pkey")
        ),
        schema="core",
        comment="What a language model read in announcements and in postponements or cancellations, verified against the text",
    )
    op.create_table(
        "message_warning_signs",
        sa.Column("channel_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Telegram's channel id"),
        sa.Column("message_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Message id, unique within the channel"),
        sa.Column("revision_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Revision of the message"),
        sa.Column("signs", postgresql.ARRAY(sa.Text()), autoincrement=False, nullable=False, comment="Warning signs found, sorted"),
        sa.Column(
            "phrases",
            postgresql.ARRAY(sa.Text()),
            autoincrement=False,
            nullable=False,
            comment="The words that made each sign, in the order of signs",
        ),
        sa.Column("lexicon_version", sa.Text(), autoincrement=False, nullable=False, comment="Version of the lexicon"),
        sa.PrimaryKeyConstraint("channel_id", "message_id", "revision_id", name=op.f("message_warning_signs_pkey")),
        schema="core",
        comment="Message revisions with a warning sign of the general guides (pressure, guaranteed profit, ...); others have no row",
    )
    op.create_table(
        "llm_replies",
        sa.Column(
            "reply_id",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="Hash of task, prompt version, model, message revision, time of the request and attempt",
        ),
        sa.Column(
            "task",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="label, announcement (extraction) or change (postponement or cancellation)",
        ),
        sa.Column("model", sa.Text(), autoincrement=False, nullable=False, comment="Model that was asked"),
        sa.Column("prompt_version", sa.Text(), autoincrement=False, nullable=False, comment="Version of our prompt and schema"),
        sa.Column("channel_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Telegram's channel id"),
        sa.Column("message_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Message id, unique within the channel"),
        sa.Column(
            "revision_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Revision of the message that was asked about"
        ),
        sa.Column("attempt", sa.SmallInteger(), autoincrement=False, nullable=False, comment="0 for the first reply, 1 and 2 for repairs"),
        sa.Column("status", sa.Text(), autoincrement=False, nullable=False, comment="accepted, or why the reply was not believed"),
        sa.Column("problem", sa.Text(), autoincrement=False, nullable=True, comment="What was wrong with it, in words; NULL if accepted"),
        sa.Column(
            "reply",
            sa.Text(),
            autoincrement=False,
            nullable=True,
            comment="The reply as received, NUL bytes replaced, cut to 20,000 characters; NULL if none came",
        ),
        sa.Column("prompt_tokens", sa.Integer(), autoincrement=False, nullable=True, comment="Tokens of the request, as billed"),
        sa.Column("completion_tokens", sa.Integer(), autoincrement=False, nullable=True, comment="Tokens of the reply, as billed"),
        sa.Column("cost_usd", sa.Double(), autoincrement=False, nullable=True, comment="Cost by the price list of the settings"),
        sa.Column("latency_seconds", sa.Double(), autoincrement=False, nullable=True, comment="From request to reply; NULL in a batch"),
        sa.Column("batch_id", sa.Text(), autoincrement=False, nullable=True, comment="The vendor's batch, NULL for a single request"),
        sa.Column("requested_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When we asked"),
        sa.Column("replied_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=True, comment="When the reply came"),
        sa.CheckConstraint(
            "status IN ('accepted', 'invalid', 'unverified', 'refused', 'truncated', 'failed')", name=op.f("llm_replies_status_check")
        ),
        sa.CheckConstraint("task IN ('label', 'announcement', 'change')", name=op.f("llm_replies_task_check")),
        sa.PrimaryKeyConstraint("reply_id", name=op.f("llm_replies_pkey")),
        schema="raw",
        comment="Every reply of a language model, as received, with what it cost and whether it was believed",
    )
    op.create_index(op.f("llm_replies_channel_id_message_id_idx"), "llm_replies", ["channel_id", "message_id"], unique=False, schema="raw")
    op.create_index(op.f("llm_replies_requested_at_idx"), "llm_replies", ["requested_at"], unique=False, schema="raw")
    op.add_column(
        "message_labels",
        sa.Column(
            "is_abstained",
            sa.Boolean(),
            autoincrement=False,
            nullable=False,
            server_default=sa.false(),
            comment="True when the labeller was too unsure: a better one should decide",
        ),
        schema="core",
    )
    # The default only fills the rows that are there.
    op.alter_column("message_labels", "is_abstained", server_default=None, schema="core")
    # The linear classifier was PumpBERT's first version: its labels count until a message is labelled anew.
    op.execute("UPDATE core.message_labels SET labeller = 'pumpbert' WHERE labeller = 'ngram-linear'")


def downgrade() -> None:
    op.drop_column("message_labels", "is_abstained", schema="core")
    op.drop_index(op.f("llm_replies_requested_at_idx"), table_name="llm_replies", schema="raw")
    op.drop_index(op.f("llm_replies_channel_id_message_id_idx"), table_name="llm_replies", schema="raw")
    op.drop_table("llm_replies", schema="raw")
    op.drop_table("message_warning_signs", schema="core")
    op.drop_table("llm_extractions", schema="core")
    op.drop_table("label_agreement", schema="core")
    op.drop_table("image_readings", schema="core")
    op.drop_table("channel_warning_signs", schema="core")
