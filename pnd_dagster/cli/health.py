"""`pnd health`: whether a service lives, for health checks of containers and supervisors."""

from __future__ import annotations

from typing import Annotated

import sqlalchemy as sa
import typer

from pnd_dagster.cli.console import fail, say
from pnd_dagster.settings import settings


def health(
    service: Annotated[str, typer.Argument(help="Its name in core.heartbeats: listen, deliver, detect, collect:kucoin:1/1, ...")],
    within: Annotated[float, typer.Option(min=1, help="Its last sign of life is no older than so many seconds.")] = 90.0,
) -> None:
    """Ask whether a service lives and calls itself healthy; exit code 1 if not."""
    from pnd_dagster.storage import database_url, transaction
    from pnd_dagster.storage.engine import create_engine
    from pnd_dagster.tables import HEARTBEATS

    beat = HEARTBEATS.c
    age = sa.extract("epoch", sa.func.clock_timestamp() - beat.beat_at)
    with transaction(create_engine(database_url(settings()))) as connection:
        row = connection.execute(sa.select(age, beat.is_healthy, beat.details).where(beat.name == service)).one_or_none()
    if row is None:
        problem = "never gave a sign of life"
    elif row[0] > within:
        problem = f"gave its last sign of life {row[0]:,.0f} s ago"
    elif not row[1]:
        problem = f"says that it is not healthy: {row[2]}"
    else:
        say(f"{service} gave a sign of life {row[0]:.0f} s ago")
        return
    fail(f"{service} {problem}")
    raise typer.Exit(1)
