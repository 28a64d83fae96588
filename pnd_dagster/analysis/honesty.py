"""Promised against realised: what channels announced, what came of it, and how far the promised gains were reached."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.analysis.intervals import of_median, of_share
from pnd_dagster.analysis.promises import promised_gain
from pnd_dagster.storage import Written, read_frame, replace_window
from pnd_dagster.tables import (
    CHANNEL_HONESTY,
    MESSAGE_LABELS,
    PUMP_ANNOUNCEMENTS,
    PUMP_EVENTS,
    PUMP_OUTCOMES,
    PUMP_RELEASES,
    TELEGRAM_MESSAGES,
    polars_schema,
)

LATE = timedelta(minutes=5)
"""A promise belongs to a pump if it was made from its announcement until so long after its start."""
_PROMISING_LABELS = (0, 1)
# Without a backslash, which is doubled on the way to Postgres.
_MAY_PROMISE = "[%\N{FULLWIDTH PERCENT SIGN}]|[0-9] *x|x *[0-9]"


class Honesty(NamedTuple):
    """What was found and written.

    Attributes:
        written: rows of out.channel_honesty.
        channels: those rows without the time of computing.
        figures: over all channels: what, value, low, high (95%), n.
        notes: what a reader should know, a line each.
    """

    written: Written
    channels: pl.DataFrame
    figures: pl.DataFrame
    notes: list[str]


def write_honesty(engine: sa.Engine, now: datetime) -> Honesty:
    """Makes out.channel_honesty what announcements, their messages and out.pump_outcomes say. Run twice, nothing changes.

    Raises:
        DatabaseError: Postgres refused.
    """
    announcement, event, release, outcome = PUMP_ANNOUNCEMENTS.c, PUMP_EVENTS.c, PUMP_RELEASES.c, PUMP_OUTCOMES.c
    names = ("announcement_id", "channel_id", "announced_at", "scheduled_at", "schedule_revision", "status", "status_at")
    announcements = read_frame(engine, sa.select(*(announcement[name] for name in names)))
    messages = read_frame(engine, _promising_messages())
    links = read_frame(engine, sa.select(event.event_id, event.announcement_ids))
    releases = read_frame(engine, sa.select(release.channel_id, release.event_id).distinct())
    measured = sa.select(outcome.event_id, outcome.gain_ratio, outcome.is_moved, outcome.bought_30s_1h_ratio)
    outcomes = read_frame(engine, measured.where(outcome.resolution.in_(("trade", "5 s"))))

    promises = promises_of(announcements, messages)
    channels = honesty(announcements, promises, links, releases, outcomes)
    written = replace_window(engine, CHANNEL_HONESTY, channels.with_columns(computed_at=pl.lit(now)), sa.true())
    compared = _compared(announcements, promises, links, outcomes)
    notes = [
        f"{announcements.height:,} announcements of {announcements['channel_id'].n_unique():,} channels",
        f"{messages.height:,} announcing and counting messages with a percentage or a multiple; {promises.height:,} pumps promise a gain",
        f"{outcomes.height:,} outcomes by trades or 5 s buckets; a release that no message names counts as never released",
    ]
    if announcements.is_empty():
        notes.append("no announcements: materialise core/pump_announcements")
    return Honesty(written, channels, _figures(announcements, promises, compared, outcomes), notes)


def promises_of(announcements: pl.DataFrame, messages: pl.DataFrame) -> pl.DataFrame:
    """The gain that each pump was promised: announcement_id, promised, the median over its messages.

    A message speaks of the channel's last pump that was announced before it and is not over.

    Args:
        announcements: announcement_id, channel_id, announced_at, scheduled_at, status, status_at.
        messages: channel_id, occurred_at, text.
    """
    texts = messages.select(pl.col("text").unique(maintain_order=True))
    gains = texts.with_columns(promised=pl.Series([promised_gain(text) for text in texts["text"]], dtype=pl.Float64)).drop_nulls()
    said = messages.join(gains, on="text").sort("occurred_at")
    over = pl.when(pl.col("status") == "released").then("status_at").otherwise(pl.max_horizontal("scheduled_at", "announced_at"))
    pumps = announcements.select("announcement_id", "channel_id", "announced_at", over_at=over + LATE).sort(
        "announced_at", "announcement_id"
    )
    joined = said.join_asof(
        pumps, left_on="occurred_at", right_on="announced_at", by="channel_id", strategy="backward", check_sortedness=False
    )
    return (
        joined.filter(pl.col("occurred_at") <= pl.col("over_at"))
        .group_by("announcement_id")
        .agg(promised=pl.col("promised").median())
        .sort("announcement_id")
    )


def honesty(
    announcements: pl.DataFrame, promises: pl.DataFrame, links: pl.DataFrame, releases: pl.DataFrame, outcomes: pl.DataFrame
) -> pl.DataFrame:
    """Rows of out.channel_honesty without the time of computing.

    Args:
        announcements: announcement_id, channel_id, schedule_revision, status.
        promises: of `promises_of`.
        links: event_id, announcement_ids.
        releases: channel_id, event_id, a row per pair.
        outcomes: event_id, gain_ratio, is_moved, bought_30s_1h_ratio; only of trades and 5 s buckets.
    """
    status = pl.col("status")
    announced = announcements.group_by("channel_id").agg(
        announced_count=pl.len(),
        released_announced_count=(status == "released").sum(),
        cancelled_count=(status == "cancelled").sum(),
        postponed_count=((pl.col("schedule_revision") > 0) | (status == "postponed")).sum(),
        never_released_count=(status == "expired").sum(),
    )
    decided = pl.col("released_announced_count") + pl.col("cancelled_count") + pl.col("never_released_count")
    announced = announced.with_columns(kept_ratio=pl.when(decided > 0).then(pl.col("released_announced_count") / decided))
    released = releases.join(outcomes, on="event_id", how="left")
    events = released.group_by("channel_id").agg(
        event_count=pl.len(),
        outcome_count=pl.col("gain_ratio").count(),
        unmoved_count=(~pl.col("is_moved")).sum(),
        realised_median_ratio=pl.col("gain_ratio").median(),
        late_buyer_median_ratio=pl.col("bought_30s_1h_ratio").median(),
    )
    promised = (
        promises.join(announcements.select("announcement_id", "channel_id"), on="announcement_id")
        .group_by("channel_id")
        .agg(promised_count=pl.len(), promised_median_ratio=pl.col("promised").median())
    )
    compared = (
        _compared(announcements, promises, links, outcomes)
        .group_by("channel_id")
        .agg(
            compared_count=pl.len(),
            realised_over_promised=pl.col("over_promised").median(),
            promise_kept_count=(pl.col("over_promised") >= 1).sum(),
        )
    )
    channels = announced.select("channel_id").vstack(events.select("channel_id")).unique().sort("channel_id")
    for part in (announced, events, promised, compared):
        channels = channels.join(part, on="channel_id", how="left")
    counts = [name for name in channels.columns if name.endswith("_count")]
    return channels.with_columns(pl.col(counts).fill_null(0)).select(
        pl.col(name).cast(dtype) for name, dtype in polars_schema(CHANNEL_HONESTY).items() if name != "computed_at"
    )


def _compared(announcements: pl.DataFrame, promises: pl.DataFrame, links: pl.DataFrame, outcomes: pl.DataFrame) -> pl.DataFrame:
    """Pumps of which both are known: channel_id, event_id, promised, gain_ratio, over_promised; one per channel and event."""
    pumps = links.explode("announcement_ids", empty_as_null=True).rename({"announcement_ids": "announcement_id"}).drop_nulls()
    return (
        promises.join(announcements.select("announcement_id", "channel_id"), on="announcement_id")
        .join(pumps, on="announcement_id")
        .join(outcomes.drop_nulls("gain_ratio"), on="event_id")
        .group_by("channel_id", "event_id")
        .agg(pl.col("promised").median(), pl.col("gain_ratio").first())
        .with_columns(over_promised=pl.col("gain_ratio") / pl.col("promised"))
        .sort("channel_id", "event_id")
    )


def _figures(announcements: pl.DataFrame, promises: pl.DataFrame, compared: pl.DataFrame, outcomes: pl.DataFrame) -> pl.DataFrame:
    """what, value, low, high, n."""
    status = announcements["status"]
    decided = int(status.is_in(["released", "cancelled", "expired"]).sum())
    moved = outcomes["is_moved"].drop_nulls()
    # Channels that promise for one pump are no independent witnesses: a pump counts once, with their median.
    pumps = compared.group_by("event_id").agg(pl.col("over_promised").median()).sort("event_id")["over_promised"]
    kept = int((pumps >= 1).sum())
    rows: list[tuple[Any, ...]] = []
    for what, count, n in (
        *((f"announced pumps that ended {name}", int((status == name).sum()), decided) for name in ("released", "cancelled", "expired")),
        ("announced pumps whose time was changed", int((announcements["schedule_revision"] > 0).sum()), announcements.height),
        ("announced pumps with a promised gain", promises.height, announcements.height),
        ("outcomes in which the coin did not move", int((~moved).sum()), len(moved)),
        ("pumps whose peak reached the promise", kept, len(pumps)),
    ):
        rows.append((what, count / n if n else None, *of_share(count, n), n))
    for what, values in (
        ("median promised gain", promises["promised"]),
        ("median gain at the peak", outcomes["gain_ratio"].drop_nulls()),
        ("median of realised over promised gain", pumps),
    ):
        rows.append((what, values.median(), *of_median(values.to_numpy()), len(values)))
    schema = {"what": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64, "n": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _promising_messages() -> sa.Select[tuple[int, datetime, str]]:
    """Announcing and counting messages, by any labeller, whose text may hold a gain."""
    message, label = TELEGRAM_MESSAGES.c, MESSAGE_LABELS.c
    is_same = sa.and_(
        *(message[name] == label[name] for name in ("channel_id", "message_id", "revision_id")), label.label.in_(_PROMISING_LABELS)
    )
    may_promise = message.text.regexp_match(_MAY_PROMISE, flags="i")
    return sa.select(message.channel_id, message.occurred_at, message.text).where(
        message.kind == "message",
        sa.func.coalesce(message.is_from_member, sa.false()).is_(False),
        may_promise,
        sa.exists().where(is_same),
    )
