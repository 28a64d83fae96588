"""A coin's day as a picture: price, spread, pressure, trades; gaps are shaded."""

from __future__ import annotations

from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from pnd_dagster.errors import SourceError
from pnd_dagster.market.coin_day import CoinDay


def draw_coin_day(coin: CoinDay, path: Path) -> None:
    """Draws a coin's day into a file; its ending says which kind.

    Raises:
        SourceError: the file cannot be written, or is of no kind that can be drawn.
    """
    import matplotlib as mpl
    from matplotlib.dates import ConciseDateFormatter
    from matplotlib.figure import Figure

    with mpl.rc_context({"timezone": "UTC", "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25}):
        figure = Figure(figsize=(13, 10), layout="constrained")
        axes: Any = figure.subplots(5, 1, sharex=True, height_ratios=(3, 1, 1, 1, 1))
        price, spread, pressure, count, volume = axes
        _line(price, coin, "mid_price", "tab:blue", label="mid price")
        traded = coin.trades.filter(pl.col("vwap").is_not_null())
        price.scatter(traded["bucket_end_at"], traded["vwap"], s=6, color="tab:orange", label="vwap of trades", zorder=3)
        _line(spread, coin, "relative_spread", "tab:purple", scale=10_000)
        _line(pressure, coin, "order_book_pressure", "tab:green")
        pressure.axhline(0.5, color="grey", linewidth=0.8, linestyle="--")
        pressure.set_ylim(0, 1)
        for axis, name in ((count, "trade_count"), (volume, "volume")):
            axis.vlines(coin.trades["bucket_end_at"], 0, coin.trades[name], color="tab:orange", linewidth=1)
            axis.set_ylim(bottom=0)
        for axis, label in zip(axes, ("USDT", "spread, bps", "pressure", "trades / 5 s", "volume / 5 s"), strict=True):
            axis.set_ylabel(label)
            for start, end in coin.gaps.select("started_at", "ended_at").iter_rows():
                axis.axvspan(start, end, color="tab:red", alpha=0.12, linewidth=0)
        if not coin.gaps.is_empty():
            price.fill_between([], [], color="tab:red", alpha=0.12, label="gap")
        price.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False)
        axes[-1].xaxis.set_major_formatter(ConciseDateFormatter(axes[-1].xaxis.get_major_locator(), tz=UTC))
        figure.suptitle(f"{coin.symbol} on {coin.exchange}, {coin.day} (UTC)")
        try:
            figure.savefig(path, dpi=110)
        except (OSError, ValueError) as error:
            raise SourceError(f"{path}: cannot be written: {str(error).splitlines()[0]}") from error


def _line(axis: Any, coin: CoinDay, name: str, color: str, *, scale: float = 1.0, label: str | None = None) -> None:
    """A step per book: outside a gap a book stands until the next one, inside nothing is known, and nothing is drawn."""
    books = coin.books.select("bucket_end_at", pl.col(name).cast(pl.Float64) * scale)
    breaks = coin.gaps.select(pl.col("started_at").alias("bucket_end_at"), pl.lit(None, pl.Float64).alias(name))
    points = pl.concat([books, breaks]).sort("bucket_end_at")
    axis.plot(points["bucket_end_at"], points[name], color=color, linewidth=1.2, label=label, drawstyle="steps-post")


def default_path(coin: CoinDay) -> Path:
    """Name of the picture beside which the user stands."""
    return Path(f"{coin.exchange}-{coin.symbol.replace('/', '-')}-{coin.day}.png")


def describe(coin: CoinDay) -> str:
    """What was drawn, in a line."""
    blind = sum((end - start for start, end in coin.gaps.select("started_at", "ended_at").iter_rows()), timedelta())
    at = pl.concat([coin.books["bucket_end_at"], coin.trades["bucket_end_at"]]).sort()
    return (
        f"{coin.symbol} on {coin.exchange}, {coin.day} from {at[0]:%H:%M:%S} to {at[-1]:%H:%M:%S} UTC: {coin.books.height:,} books, "
        f"{coin.trades['trade_count'].sum():,} trades in {coin.trades.height:,} buckets, "
        f"{coin.gaps.height} {'gap' if coin.gaps.height == 1 else 'gaps'} ({blind.total_seconds():,.0f} s)"
    )
