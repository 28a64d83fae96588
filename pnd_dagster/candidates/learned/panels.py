"""What was observed of many coins in bars of one length, and their pumps."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

import numpy as np
import polars as pl

from pnd_dagster.candidates.learned.series import OBSERVED, Floats
from pnd_dagster.errors import SourceError

DAY = timedelta(days=1)


class Panel(NamedTuple):
    """Observations by coin and bar.

    Attributes:
        coins: [coins], unique names, e.g. `kucoin ABC/USDT`.
        symbols: [coins], base symbols; a pump of a symbol rules out all coins of that symbol as others.
        markets: [coins]; others are drawn from the pumped coin's own market.
        starts_at: start of the first bar.
        bar: length of a bar.
        observed: series -> [coins, bars], NaN where nothing was seen.
        reference: place of Bitcoin among the coins, None where it is not among them.
    """

    coins: list[str]
    symbols: list[str]
    markets: list[str]
    starts_at: datetime
    bar: timedelta
    observed: dict[str, Floats]
    reference: int | None

    @property
    def bars(self) -> int:
        """How many there are."""
        return next(iter(self.observed.values())).shape[1] if self.observed else 0


class Pump(NamedTuple):
    """A coin of a panel (its place there) and when its name was published."""

    coin: int
    at: datetime


class Source(NamedTuple):
    """A panel with its pumps, and what a reader should know, a line each."""

    panel: Panel
    pumps: list[Pump]
    notes: list[str]


def daily_panel(days: pl.DataFrame, reference: str | None = None) -> Panel:
    """A panel of days; series without a single value are left out.

    Args:
        days: coin, symbol, market, day, and any of the observed series; one row per coin and day, any order.
        reference: coin that is Bitcoin, if it is among them.

    Raises:
        SourceError: a coin has a day twice.
    """
    coins = days.group_by("coin").agg(pl.col("symbol").first(), pl.col("market").first()).sort("coin")
    names = coins["coin"].to_list()
    if days.is_empty():
        return Panel([], [], [], datetime(1970, 1, 1, tzinfo=UTC), DAY, {}, None)
    first, last = _day(days["day"].min()), _day(days["day"].max())
    if (twice := days.filter(pl.struct("coin", "day").is_duplicated())).height:
        raise SourceError(f"{twice['coin'][0]} has {twice['day'][0]} twice")
    rows = days["coin"].replace_strict(names, list(range(len(names))), return_dtype=pl.Int64).to_numpy()
    bars = (days["day"] - first).dt.total_days().to_numpy()
    observed: dict[str, Floats] = {}
    for name in (name for group in OBSERVED.values() for name in group if name in days.columns):
        values = days[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        if np.isfinite(values).any():
            table = np.full((len(names), (last - first).days + 1), np.nan)
            table[rows, bars] = values
            observed[name] = table
    place = names.index(reference) if reference in names else None
    return Panel(
        names,
        coins["symbol"].to_list(),
        coins["market"].to_list(),
        datetime.combine(first, time(), UTC),
        DAY,
        observed,
        place,
    )


def _day(value: object) -> date:
    assert isinstance(value, date)  # noqa: S101 - what a column of dates holds
    return value
