"""What others than the classifier read in messages: a language model's replies, pictures, warning signs, and how labellers agree."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from pnd_dagster.tables._columns import METADATA, TEXT_ARRAY, column, key, one_of

LLM_TASKS = ("label", "announcement", "change")
# accepted: fits the schema and the text; the others say why a reply was not believed.
LLM_STATUSES = ("accepted", "invalid", "unverified", "refused", "truncated", "failed")
IMAGE_STATUSES = ("reveal", "none", "doubtful", "refused")

LLM_REPLIES = sa.Table(
    "llm_replies",
    METADATA,
    key("reply_id", sa.Text, "Hash of task, prompt version, model, message revision, time of the request and attempt"),
    column("task", sa.Text, "label, announcement (extraction) or change (postponement or cancellation)", nullable=False),
    column("model", sa.Text, "Model that was asked", nullable=False),
    column("prompt_version", sa.Text, "Version of our prompt and schema", nullable=False),
    column("channel_id", sa.BigInteger, "Telegram's channel id", nullable=False),
    column("message_id", sa.BigInteger, "Message id, unique within the channel", nullable=False),
    column("revision_id", sa.BigInteger, "Revision of the message that was asked about", nullable=False),
    column("attempt", sa.SmallInteger, "0 for the first reply, 1 and 2 for repairs", nullable=False),
    column("status", sa.Text, "accepted, or why the reply was not believed", nullable=False),
    column("problem", sa.Text, "What was wrong with it, in words; NULL if accepted"),
    column("reply", sa.Text, "The reply as received, NUL bytes replaced, cut to 20,000 characters; NULL if none came"),
    column("prompt_tokens", sa.Integer, "Tokens of the request, as billed", unit="tokens"),
    column("completion_tokens", sa.Integer, "Tokens of the reply, as billed", unit="tokens"),
    column("cost_usd", sa.Double, "Cost by the price list of the settings", unit="USD"),
    column("latency_seconds", sa.Double, "From request to reply; NULL in a batch", unit="s"),
    column("batch_id", sa.Text, "The vendor's batch, NULL for a single request"),
    column("requested_at", sa.TIMESTAMP, "When we asked", nullable=False),
    column("replied_at", sa.TIMESTAMP, "When the reply came"),
    one_of("task", LLM_TASKS),
    one_of("status", LLM_STATUSES),
    sa.Index(None, "channel_id", "message_id"),
    sa.Index(None, "requested_at"),
    schema="raw",
    comment="Every reply of a language model, as received, with what it cost and whether it was believed",
)

LLM_EXTRACTIONS = sa.Table(
    "llm_extractions",
    METADATA,
    key("channel_id", sa.BigInteger, "Telegram's channel id"),
    key("message_id", sa.BigInteger, "Message id, unique within the channel"),
    key("revision_id", sa.BigInteger, "Revision of the message that was read"),
    key("task", sa.Text, "announcement, or change for a postponement or cancellation"),
    key("model", sa.Text, "Model that read it"),
    key("prompt_version", sa.Text, "Version of our prompt and schema"),
    column("is_fallback", sa.Boolean, "True when no reply was believed and our rules' reading stands here", nullable=False),
    column("exchange", sa.Text, "Exchange, canonical lower-case id; NULL if none was found"),
    column("base_symbol", sa.Text, "Coin, if the message names it"),
    column("quote_symbol", sa.Text, "Quote currency, if named"),
    column("scheduled_at", sa.TIMESTAMP, "Start of the pump; for a change the new start"),
    column("is_inferred", sa.Boolean, "True when date, zone or year was not written and had to be inferred"),
    column("is_cancelled", sa.Boolean, "For a change: cancelled"),
    column("is_postponed", sa.Boolean, "For a change: moved to another time"),
    column("disagreement", sa.Text, "What our rules read otherwise, in words; NULL where they agree. Such rows go to review"),
    column("extracted_at", sa.TIMESTAMP, "When it was read", nullable=False, on_update="change"),
    sa.CheckConstraint("task IN ('announcement', 'change')", name="task"),
    schema="core",
    comment="What a language model read in announcements and in postponements or cancellations, verified against the text",
)

IMAGE_READINGS = sa.Table(
    "image_readings",
    METADATA,
    key("media_file", sa.Text, "Name of the picture, relative to the media folder"),
    key("reader_version", sa.Text, "Version of the reader"),
    column("image_sha256", sa.Text, "Hash of the file that was read; NULL if it could not be opened"),
    column(
        "status",
        sa.Text,
        "reveal: names a coin; none: names none; doubtful: for review; refused: too large, broken or too slow",
        nullable=False,
    ),
    column("symbol", sa.Text, "Coin, upper case; NULL unless a reveal or doubtful"),
    column("confidence", sa.Double, "Confidence in the symbol", unit="ratio"),
    column("texts", TEXT_ARRAY, "Texts found in the picture, at most 100 of 200 characters each", nullable=False),
    column("reason", sa.Text, "Why it was refused or is doubtful"),
    column("read_at", sa.TIMESTAMP, "When it was read", nullable=False, on_update="change"),
    one_of("status", IMAGE_STATUSES),
    schema="core",
    comment="What an offline reader found in the pictures of messages: the coin of an image reveal, or none",
)

MESSAGE_WARNING_SIGNS = sa.Table(
    "message_warning_signs",
    METADATA,
    key("channel_id", sa.BigInteger, "Telegram's channel id"),
    key("message_id", sa.BigInteger, "Message id, unique within the channel"),
    key("revision_id", sa.BigInteger, "Revision of the message"),
    column("signs", TEXT_ARRAY, "Warning signs found, sorted", nullable=False),
    column("phrases", TEXT_ARRAY, "The words that made each sign, in the order of signs", nullable=False),
    column("lexicon_version", sa.Text, "Version of the lexicon", nullable=False),
    schema="core",
    comment="Message revisions with a warning sign of the general guides (pressure, guaranteed profit, ...); others have no row",
)

CHANNEL_WARNING_SIGNS = sa.Table(
    "channel_warning_signs",
    METADATA,
    key("channel_id", sa.BigInteger, "Telegram's channel id"),
    key("sign", sa.Text, "Warning sign"),
    column("message_count", sa.BigInteger, "Messages of the channel, latest revision of each, with text", unit="messages", nullable=False),
    column("signed_count", sa.BigInteger, "Those of them with this sign", unit="messages", nullable=False),
    column("signed_ratio", sa.Double, "Their share", unit="ratio", nullable=False),
    column("lexicon_version", sa.Text, "Version of the lexicon", nullable=False),
    schema="core",
    comment="How often each channel's messages show each warning sign",
)

LABEL_AGREEMENT = sa.Table(
    "label_agreement",
    METADATA,
    key("labeller_a", sa.Text, "One labeller, with its version: the first by name"),
    key("labeller_b", sa.Text, "The other labeller, with its version"),
    column("message_count", sa.BigInteger, "Message revisions that both labelled", unit="messages", nullable=False),
    column("agreement_ratio", sa.Double, "Share of them with the same label", unit="ratio", nullable=False),
    column("kappa", sa.Double, "Cohen's kappa; NULL where chance agreement is complete", unit="ratio"),
    column("kappa_low", sa.Double, "Lower end of its 95% bootstrap interval over channels", unit="ratio"),
    column("kappa_high", sa.Double, "Upper end", unit="ratio"),
    column("confusion", pg.JSONB, "Counts by label of a (rows) and of b (columns), 6 by 6", nullable=False),
    schema="core",
    comment="How far labellers agree on the messages that both labelled",
)
