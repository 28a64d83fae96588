"""Pumped coins before their pumps, and other coins in the very same windows.

Belongs here: which coin and window is a sample, and its arrays. Does not belong here: where the observations come from (`platform`,
`public_data`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pnd_dagster.candidates.learned.panels import Panel, Pump
from pnd_dagster.candidates.learned.series import Floats, Form, comparable, divisors

CUT_BEFORE = timedelta(hours=1)
"""Nothing later than this before a pump is read (paper, section IV)."""

QUIET_AFTER = timedelta(days=7)
"""A coin that is pumped so soon after a pump is no other coin beside it: it may be bought up already."""

OTHERS_PER_EVENT = 2
"""The paper has 1,071 others for 643 pumped coins, 1.7 each."""


ROW_SCHEMA = {"event": pl.Int64, "coin": pl.String, "symbol": pl.String, "at": pl.Datetime("us", "UTC"), "is_pumped": pl.Boolean}


class Others(StrEnum):
    """Which coins stand beside the pumped ones."""

    ANY = "any other coin"
    PUMPED_ANOTHER_TIME = "coins pumped at another time"


class Plan(NamedTuple):
    """How samples are drawn.

    Attributes:
        bars: length of a window.
        least_bars: a coin with fewer observed bars in the window is no sample.
        others: which coins stand beside the pumped ones.
        others_per_event: how many.
        form: of the series.
        seed: of the draw.
    """

    bars: int = 30
    least_bars: int = 20
    others: Others = Others.ANY
    others_per_event: int = OTHERS_PER_EVENT
    form: Form = Form.CHANGES
    seed: int = 0


class Samples(NamedTuple):
    """Coins in windows.

    Attributes:
        rows: [samples], ascending in time: event (number), coin, symbol, at (of the pump), is_pumped.
        series: names of the series that the panel allows.
        windows: [samples, series, bars], 0..1 across the coins of the window, NaN before a coin's first bar.
        left_out: why events gave no sample -> how many.
    """

    rows: pl.DataFrame
    series: list[str]
    windows: Floats
    left_out: dict[str, int]


def last_bar(panel: Panel, at: datetime) -> int:
    """The last bar that had ended an hour before `at`; negative where there is none."""
    return (at - CUT_BEFORE - panel.starts_at) // panel.bar - 1


def draw_samples(panel: Panel, pumps: Sequence[Pump], plan: Plan) -> Samples:
    """Each pump with coins that were not pumped from the window's end to a week after the pump, in the same bars and market.

    Others may have been pumped inside the window, as the pumped coin may: were they not, an earlier pump would tell the two apart, and
    that by the choice of the others only. Bitcoin is none of them. Pumps without a window of `least_bars` observed bars are left out and
    counted, and so are those with no other coin beside them.
    """
    rng = np.random.default_rng(plan.seed)
    has_bar = _has_bar(panel)
    times = _times_by_symbol(panel, pumps)
    markets = np.array(panel.markets)
    ever_pumped = np.array([symbol in times for symbol in panel.symbols])
    is_bitcoin = np.array([panel.reference is not None and symbol == panel.symbols[panel.reference] for symbol in panel.symbols], bool)
    left_out = Counter[str]()
    rows: list[tuple[int, str, str, datetime, bool]] = []
    windows: list[Floats] = []
    series: list[str] = []
    for number, pump in enumerate(sorted(pumps, key=lambda pump: (pump.at, pump.coin))):
        last = last_bar(panel, pump.at)
        first = last - plan.bars + 1
        if first < 0 or last >= panel.bars:
            left_out["the data does not reach over the window"] += 1
            continue
        is_held = has_bar[:, first : last + 1].sum(axis=1) >= plan.least_bars
        if not is_held[pump.coin]:
            left_out[f"fewer than {plan.least_bars} observed bars"] += 1
            continue
        span = panel.starts_at + (last + 1) * panel.bar, pump.at + QUIET_AFTER
        is_quiet = np.array([not any(span[0] <= at <= span[1] for at in times.get(symbol, ())) for symbol in panel.symbols])
        is_other = is_held & is_quiet & ~is_bitcoin & (markets == panel.markets[pump.coin])
        if plan.others is Others.PUMPED_ANOTHER_TIME:
            is_other &= ever_pumped
        pool = np.flatnonzero(is_other)
        if not len(pool):
            left_out["no other coin in that window"] += 1
            continue
        others = rng.choice(pool, min(plan.others_per_event, len(pool)), replace=False)
        chosen = np.array([pump.coin, *others])
        series, window = _window(panel, first, last, plan.form, chosen)
        windows.append(window)
        rows += [(number, panel.coins[coin], panel.symbols[coin], pump.at, coin == pump.coin) for coin in chosen]
    stacked = np.concatenate(windows) if windows else np.empty((0, 0, 0))
    return Samples(pl.DataFrame(rows, ROW_SCHEMA, orient="row"), series, stacked, dict(left_out))


def windows_at(panel: Panel, at: datetime, plan: Plan) -> Samples:
    """All coins of the panel with `least_bars` observed bars in the window that ends before `at`; event is 0 and is_pumped False."""
    last = min(last_bar(panel, at), panel.bars - 1)
    first = last - plan.bars + 1
    if first < 0:
        return Samples(pl.DataFrame(schema=ROW_SCHEMA), [], np.empty((0, 0, 0)), {"the data does not reach over the window": 1})
    is_held = _has_bar(panel)[:, first : last + 1].sum(axis=1) >= plan.least_bars
    chosen = np.flatnonzero(is_held)
    series, windows = _window(panel, first, last, plan.form, chosen)
    rows = [(0, panel.coins[coin], panel.symbols[coin], at, False) for coin in chosen]
    left_out = {f"fewer than {plan.least_bars} observed bars": int((~is_held).sum())}
    return Samples(pl.DataFrame(rows, ROW_SCHEMA, orient="row"), series, windows, left_out)


def _window(panel: Panel, first: int, last: int, form: Form, chosen: NDArray[np.int64]) -> tuple[list[str], Floats]:
    """Names of the series, and [chosen, series, bars] scaled across all coins of the panel."""
    observed = {name: values[:, first : last + 1] for name, values in panel.observed.items()}
    made = comparable(observed, divisors(observed, panel.reference), form)
    return list(made), np.stack([values[chosen] for values in made.values()], axis=1)


def _has_bar(panel: Panel) -> NDArray[np.bool_]:
    """[coins, bars], whether anything was observed."""
    return np.logical_or.reduce([np.isfinite(values) for values in panel.observed.values()])


def _times_by_symbol(panel: Panel, pumps: Sequence[Pump]) -> dict[str, list[datetime]]:
    times: dict[str, list[datetime]] = {}
    for pump in pumps:
        times.setdefault(panel.symbols[pump.coin], []).append(pump.at)
    return times
