"""`pnd replay`: a watch as it went, slower or faster."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import sqlalchemy as sa
import typer
from rich.markup import escape
from rich.table import Table

from pnd_dagster.cli.console import OUT, say
from pnd_dagster.settings import settings
from pnd_dagster.storage import connect

if TYPE_CHECKING:
    from pnd_dagster.services.replay import Moment, Watch

SHOWN = 10
# Nobody waits for hours between an announcement and its watch.
LONGEST_PAUSE_SECONDS = 10.0


def replay(
    event: Annotated[str, typer.Argument(help="Id of an event, pump or watch, or its beginning.")],
    speed: Annotated[float, typer.Option(min=0.1, help="So many times as fast as it went.")] = 10.0,
    recompute: Annotated[bool, typer.Option(help="Also rank every tick again from the stored metrics, and say whether it agrees.")] = False,
) -> None:
    """Play a watched pump again from what is stored: its messages, rankings and alerts in time order."""
    from pnd_dagster.services.replay import find_watch, moments, rank_again

    engine = connect(settings())
    watch = find_watch(engine, event)
    happened = moments(engine, watch)
    coin = f", {watch.symbol} was released" if watch.symbol else ""
    say(escape(f"watch {watch.watch_id} towards {watch.scheduled_at:%Y-%m-%d %H:%M} UTC{coin}; {speed:g} times as fast as it went"))
    with _shown(engine, watch) as show:
        last: datetime | None = None
        for moment in happened:
            if last is not None:
                time.sleep(min((moment.at - last).total_seconds() / speed, LONGEST_PAUSE_SECONDS))
            last = moment.at
            show(moment)
    if recompute:
        found = rank_again(engine, watch)
        say(
            f"ranked again: {found.same_ticks} of {found.ticks} ticks agree in every rank, {found.same_leaders} in who the first five are, "
            f"the largest difference of a rank is {found.largest_difference:g}; {found.skipped} ticks are without stored metrics"
        )


@contextmanager
def _shown(engine: sa.Engine, watch: Watch) -> Generator[Callable[[Moment], None]]:
    """Shows moments: rankings as one live table in a terminal, else a line each; messages and alerts as lines."""
    from pnd_dagster.ranking.store import read_ranking

    def tell(moment: Moment) -> None:
        lead = (watch.scheduled_at - moment.at).total_seconds()
        OUT.print(f"{moment.at:%H:%M:%S} ({_side(lead)}) {moment.kind}  {escape(moment.text)}", highlight=False, soft_wrap=True)

    if not OUT.is_terminal:

        def show_line(moment: Moment) -> None:
            if moment.ranking_id is None:
                tell(moment)
                return
            leaders = read_ranking(engine, moment.ranking_id, top=5)
            places = [f"{row['rank']:.0f} {row['symbol']} {row['score']:+.1f}" for row in leaders.iter_rows(named=True)]
            tell(moment._replace(text=f"{moment.text}: {'  '.join(places)}"))

        yield show_line
        return

    from rich.live import Live

    with Live(console=OUT, refresh_per_second=8) as live:

        def show(moment: Moment) -> None:
            if moment.ranking_id is None:
                tell(moment)
            else:
                live.update(_table(engine, watch, moment, moment.ranking_id))

        yield show


def _table(engine: sa.Engine, watch: Watch, moment: Moment, ranking_id: int) -> Table:
    from pnd_dagster.ranking.store import read_ranking

    lead = (watch.scheduled_at - moment.at).total_seconds()
    table = Table(title=f"{moment.text}, {moment.at:%H:%M:%S} UTC, {_side(lead)}", title_justify="left", header_style="bold")
    for name in ("rank", "coin", "score"):
        table.add_column(name, justify="left" if name == "coin" else "right", no_wrap=True)
    for row in read_ranking(engine, ranking_id, top=SHOWN).iter_rows(named=True):
        style = "bold green" if watch.symbol is not None and row["base_symbol"] == watch.symbol else None
        table.add_row(f"{row['rank']:g}", escape(str(row["symbol"])), f"{row['score']:+.2f}", style=style)
    return table


def _side(lead_seconds: float) -> str:
    return f"{abs(lead_seconds):.0f} s {'before' if lead_seconds >= 0 else 'after'} the start"
