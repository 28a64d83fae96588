"""`pnd channels`: the channels we know, and what a human decides about them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import polars as pl
import sqlalchemy as sa
import typer

from pnd_dagster.cli.console import print_json, print_table, say
from pnd_dagster.errors import SettingError, SourceError
from pnd_dagster.settings import settings
from pnd_dagster.storage import connect, read_frame, upsert
from pnd_dagster.tables import CHANNEL_STATUSES, DEAD_LETTERS, TELEGRAM_CHANNELS

app = typer.Typer(no_args_is_help=True)
Ids = Annotated[list[int], typer.Argument(help="Channel ids, as `pnd channels list` shows them.")]
Reason = Annotated[str | None, typer.Option(help="Why; it is stored with the decision.")]


@app.command("list")
def list_(
    status: Annotated[str | None, typer.Option(help="candidate, validated or rejected; all by default.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """List channels, those that look most like pump channels first."""
    if status is not None and status not in CHANNEL_STATUSES:
        raise SettingError(f"--status: {status} is none of {', '.join(CHANNEL_STATUSES)}")
    channel = TELEGRAM_CHANNELS.c
    columns = (
        channel.channel_id,
        channel.title,
        channel.link,
        channel.found_via,
        channel.pump_share_ratio,
        channel.participants,
        channel.status,
    )
    statement = sa.select(*columns).order_by(channel.pump_share_ratio.desc().nulls_last(), channel.channel_id).limit(limit)
    frame = read_frame(connect(settings()), statement if status is None else statement.where(channel.status == status))
    if as_json:
        print_json(frame.to_dicts())
    else:
        print_table(frame, f"{frame.height} channels")


@app.command("validate")
def validate(channel_ids: Ids, reason: Reason = None) -> None:
    """Mark channels as pump channels: their messages are collected from now on."""
    _decide(channel_ids, "validated", reason)


@app.command("reject")
def reject(channel_ids: Ids, reason: Reason = None) -> None:
    """Mark channels as no pump channels: they are left alone and not suggested again."""
    _decide(channel_ids, "rejected", reason)


@app.command("discover")
def discover(
    links: Annotated[Path | None, typer.Option(help="A saved list of links to add instead of searching.")] = None,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Follow channels with at least this share of pump messages.")] = 0.1,
    depth: Annotated[int, typer.Option(min=0, max=5, help="Links to follow away from a known channel.")] = 2,
) -> None:
    """Find candidates: by TGStat (PND_TGSTAT_TOKEN), by links and forwards of known channels, or from a list of links."""
    engine = connect(settings())
    if links is not None:
        from pnd_dagster.telegram.links import read_link_list

        read = read_link_list(links, discovered_at=datetime.now(UTC))
        upsert(engine, DEAD_LETTERS, read.dead_letters)
        written = upsert(engine, TELEGRAM_CHANNELS, read.channels)
        say(f"{written.inserted} new candidates, {written.updated + written.unchanged} known, {read.dead_letters.height} lines refused")
        return
    from pnd_dagster.services.discover import discover_channels

    found = discover_channels(engine, settings(), threshold=threshold, max_depth=depth, on_progress=say)
    print_table(found.candidates, f"{found.candidates.height} new candidates; decide with `pnd channels validate|reject ID`")


def _decide(channel_ids: list[int], status: str, reason: str | None) -> None:
    channel = TELEGRAM_CHANNELS.c
    engine = connect(settings())
    known = read_frame(engine, sa.select(channel.channel_id).where(channel.channel_id.in_(channel_ids)))
    if unknown := sorted(set(channel_ids) - set(known["channel_id"].to_list())):
        raise SourceError(f"unknown channels {', '.join(map(str, unknown))}; see `pnd channels list`. Nothing was changed")
    with engine.begin() as connection:
        connection.execute(
            sa.update(TELEGRAM_CHANNELS)
            .where(channel.channel_id.in_(channel_ids))
            .values(status=status, status_reason=reason, decided_at=datetime.now(UTC))
        )
    say(f"{pl.Series(channel_ids).n_unique()} channels are now {status}")
