"""`pnd watch`: the ranking run of a pump by hand, with its table in the terminal."""

from __future__ import annotations

import logging
import re
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from pnd_dagster.cli.console import ERR, say
from pnd_dagster.errors import SettingError
from pnd_dagster.settings import settings

if TYPE_CHECKING:
    from pnd_dagster.services.watch_market import RankedTick

SHOWN = 10
AFTER_START = timedelta(minutes=2)
log = logging.getLogger(__name__)


def watch(
    exchange: Annotated[str | None, typer.Option(help="Exchange whose coins are ranked, by its id.")] = None,
    at: Annotated[
        str | None, typer.Option(help="When the pump shall start: HH:MM (UTC), or an ISO time such as 2026-03-06T17:00Z.")
    ] = None,
    pump: Annotated[str | None, typer.Option(help="A pump of core.scheduled_pumps instead, by its id.")] = None,
) -> None:
    """Rank an exchange's coins every 5 s until two minutes past a pump's start, or Ctrl-C."""
    from pnd_dagster.ranking.rules import rule_by_name
    from pnd_dagster.services.watch import watch as run
    from pnd_dagster.services.watch_orders import order_by_hand, order_for_pump
    from pnd_dagster.storage import connect

    if (pump is None) == (exchange is None) or (exchange is None) != (at is None):
        raise SettingError("say which: --exchange NAME --at TIME, or --pump ID")
    rule_by_name(settings().score_rule)
    now = datetime.now(UTC)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger(__name__).setLevel(logging.INFO)
    if pump is not None:
        engine = connect(settings())
        order = order_for_pump(engine, settings(), pump, now)
    else:
        order = order_by_hand(settings(), str(exchange).lower(), parse_time(str(at), now))
        engine = connect(settings())
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    say(f"watching {', '.join(order.exchanges)} towards {order.scheduled_at:%Y-%m-%d %H:%M:%S} UTC; Ctrl-C ends it")
    with _shown() as show:
        ended = run(engine, settings(), order, stop, show)
    say(f"{ended.state or 'left'}: {ended.detail}; {ended.tick_count} rankings of watch {order.watch_id}")
    if ended.state == "failed":
        raise typer.Exit(1)


def parse_time(text: str, now: datetime) -> datetime:
    """A time as a person writes it: HH:MM of the next such moment in UTC, or an ISO time, UTC where it names no zone.

    Raises:
        SettingError: it is neither, or past for longer than a watch lasts.
    """
    if match := re.fullmatch(r"(\d{1,2}):(\d{2})", text.strip()):
        hour, minute = int(match[1]), int(match[2])
        if hour > 23 or minute > 59:
            raise SettingError(f"--at {text}: there is no such time of day")
        today = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
        return today if today + AFTER_START > now else today + timedelta(days=1)
    try:
        named = datetime.fromisoformat(text.strip())
    except ValueError:
        raise SettingError(f"--at {text}: expected HH:MM in UTC, or a time such as 2026-03-06T17:00Z") from None
    at = named.replace(tzinfo=UTC) if named.tzinfo is None else named.astimezone(UTC)
    if at + AFTER_START <= now:
        raise SettingError(f"--at {text}: that is past")
    return at


def ranking_table(tick: RankedTick, before: RankedTick | None, now: datetime) -> Table:
    """The best of a ranking: rank, how many ranks it gained since the one before, score, and why."""
    from pnd_dagster.ranking.explanation import explain, in_words

    ranking = tick.ranking
    ranks_before = dict(zip(before.ranking.instrument_ids.tolist(), before.ranking.rank.tolist(), strict=True)) if before else {}
    lag = (now - tick.bucket_end_at).total_seconds()
    title = f"{tick.exchange} at {tick.bucket_end_at:%H:%M:%S} UTC, {countdown(tick.lead_seconds)}; "
    title += f"{int(ranking.is_active.sum())} of {len(ranking.rank)} candidates known; rule {tick.rule.name}; {lag:.1f} s behind"
    table = Table(title=title, title_justify="left", header_style="bold", expand=True)
    for name in ("rank", "+/-", "coin", "score", "why"):
        table.add_column(
            name, justify="left" if name in ("coin", "why") else "right", no_wrap=name != "why", ratio=1 if name == "why" else None
        )
    for place in map(int, ranking.rank.argsort(kind="stable")[:SHOWN]):
        rank = float(ranking.rank[place])
        why = in_words(explain(ranking.z[place], tick.rule)) if ranking.is_active[place] else "no history, or out of sight: neutral"
        symbol = "".join(letter for letter in tick.symbols[place] if letter.isprintable())
        gained = ranks_before.get(int(ranking.instrument_ids[place]), rank) - rank
        table.add_row(f"{rank:g}", _change(gained), escape(symbol), f"{ranking.score[place]:.2f}", why)
    return table


def countdown(lead_seconds: float) -> str:
    """Time to the announced start, e.g. "T - 1:05"."""
    minutes, seconds = divmod(round(abs(lead_seconds)), 60)
    return f"T {'-' if lead_seconds >= 0 else '+'} {minutes}:{seconds:02d}"


def _change(gained: float) -> str:
    if gained == 0:
        return ""
    return f"[green]+{gained:g}[/]" if gained > 0 else f"[red]{gained:g}[/]"


@contextmanager
def _shown() -> Generator[Callable[[RankedTick], None]]:
    """Shows rankings: a live table per exchange in a terminal, else a line per ranking."""
    before: dict[str, RankedTick] = {}
    if not ERR.is_terminal:

        def tell(tick: RankedTick) -> None:
            best: list[str] = [tick.symbols[int(place)] for place in tick.ranking.rank.argsort(kind="stable")[:5]]
            known = int(tick.ranking.is_active.sum())
            log.info("%s %s: %s; %d of %d known", tick.exchange, countdown(tick.lead_seconds), ", ".join(best), known, len(tick.symbols))

        yield tell
        return

    from rich.live import Live
    from rich.logging import RichHandler

    logging.getLogger().handlers = [RichHandler(console=ERR, show_path=False)]
    tables: dict[str, Table] = {}
    with Live(console=ERR, refresh_per_second=4) as live:

        def redraw(tick: RankedTick) -> None:
            tables[tick.exchange] = ranking_table(tick, before.get(tick.exchange), datetime.now(UTC))
            before[tick.exchange] = tick
            live.update(Group(*(tables[name] for name in sorted(tables))))

        yield redraw
