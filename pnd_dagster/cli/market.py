"""`pnd collect` and `pnd plot`: order books and trades live, and a coin's day as it was stored."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pnd_dagster.cli.console import ERR, say
from pnd_dagster.errors import SettingError
from pnd_dagster.settings import settings

if TYPE_CHECKING:
    from pnd_dagster.services.collect_health import ShardStatus

LOG_SECONDS = 30.0
log = logging.getLogger(__name__)


def collect(
    exchange: Annotated[
        str, typer.Option(help="An exchange by its id, or all: those of PND_EXCHANGES, each in a process of its own.")
    ] = "all",
    shard: Annotated[str, typer.Option(help="i/n: the i-th of n parts of the exchange's coins.")] = "1/1",
) -> None:
    """Follow order books and trades of the watched coins until Ctrl-C; every 5 s their metrics are stored."""
    from pnd_dagster.market.shards import parse_shard
    from pnd_dagster.services.collect_exchanges import collect_exchange, collect_exchanges, configure_logging

    part, names = parse_shard(shard), settings().exchanges if exchange == "all" else [exchange.lower()]
    if unknown := [name for name in names if name not in settings().exchanges]:
        raise SettingError(f"PND_EXCHANGES: {', '.join(unknown)} is not among {', '.join(settings().exchanges)}")
    configure_logging()
    with _shown() as show:
        if len(names) == 1:
            collect_exchange(settings(), names[0], part, show)
        else:
            collect_exchanges(settings(), names, part, show)


def plot(
    coin: Annotated[str, typer.Argument(help="Base symbol or pair, e.g. ABC or ABC/USDT.")],
    exchange: Annotated[str | None, typer.Option(help="Exchange; by default the one with the most rows.")] = None,
    day: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="UTC day; by default the last one with rows.")] = None,
    output: Annotated[Path | None, typer.Option(help="Picture to write, .png, .svg or .pdf.")] = None,
) -> None:
    """Draw a coin's day from what was collected: price, spread, pressure, trades; gaps are shaded."""
    from pnd_dagster.cli.coin_plot import default_path, describe, draw_coin_day
    from pnd_dagster.market.coin_day import read_coin_day
    from pnd_dagster.storage import connect

    found = read_coin_day(connect(settings()), coin, exchange=exchange, day=day.date() if day else None)
    path = output or default_path(found)
    draw_coin_day(found, path)
    say(f"{describe(found)}; drawn to {path}")


@contextmanager
def _shown() -> Generator[Callable[[ShardStatus], None]]:
    """Shows the collectors' states: a live table in a terminal, else a line now and then."""
    latest: dict[tuple[str, str], ShardStatus] = {}
    if not ERR.is_terminal:
        said: dict[tuple[str, str], float] = {}

        def log_now_and_then(status: ShardStatus) -> None:
            key, before = (status.exchange, status.shard), latest.get((status.exchange, status.shard))
            latest[key] = status
            if before is None or before.state != status.state or time.monotonic() - said[key] >= LOG_SECONDS:
                said[key] = time.monotonic()
                log.info("%s", _line(status))

        yield log_now_and_then
        return

    from rich.live import Live
    from rich.logging import RichHandler

    root = logging.getLogger()
    root.handlers = [RichHandler(console=ERR, show_path=False)]
    with Live(console=ERR, refresh_per_second=2) as live:

        def redraw(status: ShardStatus) -> None:
            latest[status.exchange, status.shard] = status
            live.update(_table(list(latest.values())))

        yield redraw


def _line(status: ShardStatus) -> str:
    return (
        f"{status.exchange} {status.shard}: {status.state}, {status.connected}/{status.connections} connections, "
        f"{status.seen}/{status.watched} coins, {status.messages_per_second:.0f} messages/s, "
        f"lag {_seconds(status.lag_p50_seconds)} p50 {_seconds(status.lag_p99_seconds)} p99, {status.buckets} buckets, "
        f"{status.gaps} in a gap, {status.rejected} rejected, {_size(status)} on disk"
    )


def _table(statuses: list[ShardStatus]) -> Table:
    table = Table(title=f"collecting, {datetime.now(UTC):%H:%M:%S} UTC; Ctrl-C ends it", title_justify="left", header_style="bold")
    names = (
        "exchange",
        "shard",
        "state",
        "connections",
        "coins",
        "messages/s",
        "lag p50",
        "p99",
        "buckets",
        "in a gap",
        "rejected",
        "on disk",
    )
    for name in names:
        table.add_column(name, justify="left" if name in ("exchange", "shard", "state") else "right", no_wrap=True)
    for status in sorted(statuses):
        state_color = {"leading": "green", "standing by": "blue"}.get(status.state, "red")
        table.add_row(
            status.exchange,
            status.shard,
            f"[{state_color}]{status.state}[/]",
            f"{status.connected}/{status.connections}",
            f"{status.seen:,}/{status.watched:,}",
            f"{status.messages_per_second:,.0f}",
            _seconds(status.lag_p50_seconds),
            _seconds(status.lag_p99_seconds),
            f"{status.buckets:,}",
            f"{status.gaps:,}",
            f"{status.rejected:,}",
            _size(status),
        )
    return table


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"


def _size(status: ShardStatus) -> str:
    return f"{status.waiting} ticks, {status.spill_bytes / 1e6:.1f} MB" if status.waiting else "-"
