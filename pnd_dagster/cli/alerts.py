"""`pnd deliver` and `pnd alert`: sending alerts, trying the channels, and keeping them quiet."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Annotated, Any, cast

import polars as pl
import sqlalchemy as sa
import typer

from pnd_dagster.cli.console import print_json, print_table, say
from pnd_dagster.errors import PndError
from pnd_dagster.settings import settings

app = typer.Typer(no_args_is_help=True)


def deliver() -> None:
    """Send queued alerts as they come, until Ctrl-C: webhook, e-mail, file and log, as the settings say."""
    from pnd_dagster.alerts.alert import channels
    from pnd_dagster.services.deliver import run_until_told
    from pnd_dagster.storage import connect

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    engine = connect(settings())
    say(f"delivering alerts to {', '.join(channels(settings()))}; Ctrl-C ends it after the one in hand")
    run_until_told(engine, settings())


@app.command("test")
def test() -> None:
    """Send a test alert through every channel that is set up, now, and say what became of it. Needs no database."""
    from pnd_dagster.alerts.alert import Alert, body_of, channels
    from pnd_dagster.alerts.senders import sender_of

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    now = datetime.now(UTC)
    lines = ["Nothing happened: somebody tried whether alerts arrive."]
    body = body_of(Alert("test", "test", now.isoformat(), None, None, "Test alert of pnd-dagster", lines, {"sent_at": now.isoformat()}))
    is_failed = False
    for channel in channels(settings()):
        try:
            note = sender_of(settings(), channel)(body)
        except PndError as error:
            is_failed = True
            say(f"[red]{channel}: failed[/]: {_escaped(error)}")
        else:
            say(f"[green]{channel}: sent[/]{f' ({_escaped(note)})' if note else ''}")
    if is_failed:
        raise typer.Exit(1)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="All columns, as JSON.")] = False,
) -> None:
    """Show the newest alerts with what became of them on each channel, and what is muted."""
    from pnd_dagster.alerts.mutes import mutes
    from pnd_dagster.storage import connect, read_frame
    from pnd_dagster.tables import ALERTS

    engine = connect(settings())
    newest = read_frame(engine, sa.select(ALERTS).order_by(ALERTS.c.created_at.desc(), ALERTS.c.channel).limit(limit))
    muted = mutes(engine)
    if as_json:
        print_json({"alerts": _with_bodies(newest), "mutes": muted.to_dicts()})
        return
    shown = newest.select("created_at", "stage", "title", "channel", "state", "attempts", "last_error")
    print_table(shown, "alerts, newest first")
    if not muted.is_empty():
        print_table(muted, "muted")


@app.command("mute")
def mute(
    scope: Annotated[str, typer.Argument(help="all, stage:NAME, exchange:ID, symbol:BASE, channel:NAME or pump:ID.")],
    duration: Annotated[str, typer.Option("--for", help="How long, e.g. 90s, 15m, 2h, 3d.")],
    reason: Annotated[str | None, typer.Option(help="Why; it stands with every alert that is not sent.")] = None,
) -> None:
    """Send nothing of a scope for a while; what is due meanwhile is kept, as muted, and not sent later."""
    from pnd_dagster.alerts.mutes import mute, read_duration
    from pnd_dagster.storage import connect

    length = read_duration(duration)
    known, until = mute(connect(settings()), scope, length, reason)
    say(f"muted {_escaped(known)} until {until:%Y-%m-%d %H:%M:%S} UTC")


@app.command("unmute")
def unmute(scope: Annotated[str, typer.Argument(help="The scope as it was muted.")]) -> None:
    """End a mute."""
    from pnd_dagster.alerts.mutes import unmute
    from pnd_dagster.storage import connect

    was_muted = unmute(connect(settings()), scope)
    say(f"{_escaped(scope)}: {'alerts are sent again' if was_muted else 'it was not muted'}")


def _with_bodies(alerts: pl.DataFrame) -> list[dict[str, Any]]:
    return [{**row, "body": json.loads(cast("str", row["body"]))} for row in alerts.to_dicts()]


def _escaped(text: object) -> str:
    from rich.markup import escape

    return escape(str(text))
