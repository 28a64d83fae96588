"""Links between channels and their organiser groups, from the database and into it."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.analysis import coordination
from pnd_dagster.analysis.intervals import of_share
from pnd_dagster.storage import Written, read_frame, replace_window
from pnd_dagster.tables import CHANNEL_GROUPS, CHANNEL_LINKS, PUMP_RELEASES, TELEGRAM_MESSAGES


class Coordination(NamedTuple):
    """What was found and written.

    Attributes:
        links_written, groups_written: rows of out.channel_links and out.channel_groups.
        links: columns of `coordination.LINK_COLUMNS`.
        groups: rows of out.channel_groups.
        figures: what was counted, value and its 95% interval.
        notes: what a reader should know, a line each.
    """

    links_written: Written
    groups_written: Written
    links: pl.DataFrame
    groups: pl.DataFrame
    figures: pl.DataFrame
    notes: list[str]


def write_coordination(engine: sa.Engine, now: datetime) -> Coordination:
    """Makes out.channel_links and out.channel_groups what the messages and releases say. Run twice, nothing changes.

    Members' posts count for no channel; of an edited message every wording counts from its posting on.

    Raises:
        DatabaseError: Postgres refused.
    """
    message, release = TELEGRAM_MESSAGES.c, PUMP_RELEASES.c
    is_own = sa.and_(message.kind == "message", ~message.is_deleted, sa.func.coalesce(message.is_from_member, sa.false()).is_(False))
    is_text = sa.and_(is_own, message.text != "", message.forwarded_from_channel_id.is_(None))
    messages = read_frame(engine, sa.select(message.channel_id, message.text, message.occurred_at).where(is_text))
    releases = read_frame(engine, sa.select(release.channel_id, release.event_id, release.symbol, release.released_at))
    forwards = read_frame(engine, _forwards(is_own))
    texts, authors = messages.height, messages["channel_id"].n_unique()
    uses = coordination.first_uses(messages)
    del messages  # the largest frame by far
    copies, shared = coordination.copy_links(uses), coordination.shared_event_links(releases)
    links = pl.concat((copies, shared, coordination.forward_links(forwards)))
    groups = _groups(uses, releases, forwards, shared)
    links_written = replace_window(engine, CHANNEL_LINKS, links.with_columns(computed_at=pl.lit(now)), sa.true())
    groups_written = replace_window(engine, CHANNEL_GROUPS, groups.with_columns(computed_at=pl.lit(now)), sa.true())
    notes = [f"{texts:,} texts of {authors:,} channels, forwards and members' posts left out"]
    if not texts:
        notes.append("no messages: run `pnd import`, then the job of the messages")
    if releases.is_empty():
        notes.append("no releases: materialise core/pump_events")
    return Coordination(links_written, groups_written, links, groups, _figures(uses, releases, links, groups), notes)


def _forwards(is_own: sa.ColumnElement[bool]) -> sa.Select[tuple[int, int, datetime, datetime | None]]:
    """Forwards from channels whose messages we hold, with the time of the message that was forwarded, where we hold that."""
    message, source = TELEGRAM_MESSAGES.c, TELEGRAM_MESSAGES.alias("source").c
    posted = sa.select(sa.func.min(source.occurred_at)).where(
        source.channel_id == message.forwarded_from_channel_id, source.message_id == message.forwarded_from_message_id
    )
    known = sa.select(TELEGRAM_MESSAGES.c.channel_id).distinct().scalar_subquery()
    return (
        sa.select(
            message.forwarded_from_channel_id.label("from_channel_id"),
            message.channel_id.label("to_channel_id"),
            message.occurred_at.label("at"),
            posted.scalar_subquery().label("source_at"),
        )
        .where(is_own, message.forwarded_from_channel_id.in_(known), message.forwarded_from_channel_id != message.channel_id)
        .distinct(message.channel_id, message.message_id)
        .order_by(message.channel_id, message.message_id)
    )


def _groups(uses: pl.DataFrame, releases: pl.DataFrame, forwards: pl.DataFrame, shared: pl.DataFrame) -> pl.DataFrame:
    """Rows of out.channel_groups: every channel that released, copied, was copied, forwarded or was forwarded."""
    at, first = pl.col("at"), pl.col("at").min().over("wording")
    near = uses.filter(pl.col("channels") > 1).with_columns(is_first=at == first, is_soon=at - first <= coordination.COPY_WINDOW)
    # A wording that nobody repeated within a day was not copied.
    repeated = near.filter(((at > first) & pl.col("is_soon")).any().over("wording"))
    counts = (
        coordination.release_order(releases),
        coordination.organiser_groups(shared),
        repeated.group_by("channel_id").agg(
            copied_count=(pl.col("is_soon") & ~pl.col("is_first")).sum(), was_copied_count=pl.col("is_first").sum()
        ),
        forwards.group_by(channel_id="to_channel_id").agg(forwarded_count=pl.len()),
        forwards.group_by(channel_id="from_channel_id").agg(was_forwarded_count=pl.len()),
    )
    groups = pl.concat([frame.select("channel_id") for frame in counts]).unique().sort("channel_id")
    for frame in counts:
        groups = groups.join(frame, on="channel_id", how="left")
    zeros = [c.name for c in CHANNEL_GROUPS.columns if not c.nullable and c.name.endswith("_count")]
    return groups.with_columns(pl.col(zeros).fill_null(0))


def _figures(uses: pl.DataFrame, releases: pl.DataFrame, links: pl.DataFrame, groups: pl.DataFrame) -> pl.DataFrame:
    """what, count, n, share, low, high."""
    events = releases.group_by("event_id").agg(channels=pl.col("channel_id").n_unique())
    per_wording = uses.unique("wording")
    rows = [
        ("events that several channels released", int((events["channels"] > 1).sum()), events.height),
        ("rare wordings that several channels used", int((per_wording["channels"] > 1).sum()), per_wording.height),
        *(
            (f"pairs of channels linked by {kind}", int(part["is_linked"].sum()), part.height)
            for (kind,), part in links.group_by("kind", maintain_order=True)
        ),
        ("releasing channels in an organiser group", int(groups["group_id"].is_not_null().sum()), int((groups["event_count"] > 0).sum())),
    ]
    shares = [(what, count, n, count / n if n else None, *of_share(count, n)) for what, count, n in rows]
    schema = {"what": pl.String, "count": pl.Int64, "n": pl.Int64, "share": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    return pl.DataFrame(shares, schema=schema, orient="row")
