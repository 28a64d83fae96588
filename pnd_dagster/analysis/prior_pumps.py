"""Earlier pumps of a coin: what was known of them at a time, and whether coins that were pumped are pumped again more often."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from pnd_dagster.analysis.intervals import RESAMPLES, SEED
from pnd_dagster.events.clusters import SAME_EVENT
from pnd_dagster.market.book_metrics import Floats

TOPS: tuple[int, ...] = (10, 50)
_COLUMNS = {"prior_pumps": pl.Int64, "prior_pumps_elsewhere": pl.Int64, "days_since_last": pl.Float64}


def prior_pumps(events: pl.DataFrame, asked: pl.DataFrame) -> pl.DataFrame:
    """`asked` with prior_pumps (of the symbol on that exchange), prior_pumps_elsewhere, and days_since_last (on that exchange; NULL: none).

    Only events more than two hours before the time that is asked for count: what is released now is no history. A symbol is no identity:
    another coin of the same symbol counts too.

    Args:
        events: exchange, symbol (base, upper case), released_at; exchange may be NULL, such events count as elsewhere.
        asked: exchange, symbol, at; other columns and the order stay.
    """
    rows = asked.with_row_index("_row")
    told = events.select("symbol", "released_at", there="exchange")
    before = (
        rows.select("_row", "symbol", "exchange", "at").join(told, on="symbol").filter(pl.col("released_at") < pl.col("at") - SAME_EVENT)
    )
    is_here = pl.col("there").eq_missing(pl.col("exchange"))
    counts = before.group_by("_row").agg(
        prior_pumps=is_here.sum(),
        prior_pumps_elsewhere=(~is_here).sum(),
        days_since_last=(pl.col("at").first() - pl.col("released_at").filter(is_here).max()).dt.total_seconds() / 86_400,
    )
    joined = rows.join(counts, on="_row", how="left", maintain_order="left").drop("_row")
    zeros = ("prior_pumps", "prior_pumps_elsewhere")
    return joined.with_columns(
        pl.col(name).fill_null(0).cast(dtype) if name in zeros else pl.col(name).cast(dtype) for name, dtype in _COLUMNS.items()
    )


class Repeats(NamedTuple):
    """How pumps fall on coins that were pumped before, of one exchange or of all.

    Attributes:
        events: pumps that have an earlier one of the exchange to look back on.
        coins: coins that could be pumped, mean over the events.
        share: of the events whose coin had been pumped there before.
        expected: the share that would be so if each event drew its coin blindly.
        lift, lift_low, lift_high: share over expected, with its 95% interval (bootstrap by event).
        percentile: mean share of the coins with fewer earlier pumps than the pumped one (half of those with as many); 0.5 is chance.
        percentile_low, percentile_high: its 95% interval.
        tops: for each of `TOPS`, the share of events whose coin would be among so many coins with the most earlier pumps.
        chance_tops: the same of coins in any order.
    """

    events: int
    coins: float
    share: float
    expected: float
    lift: float
    lift_low: float
    lift_high: float
    percentile: float
    percentile_low: float
    percentile_high: float
    tops: dict[int, float]
    chance_tops: dict[int, float]


def repeats(events: pl.DataFrame, listed: pl.DataFrame) -> dict[str, Repeats]:
    """By exchange, and `all`: whether coins that were pumped before are pumped again more often than coins drawn blindly.

    Each event is looked at with the events more than two hours before it, and the coins that its exchange lists by `listed` or that were
    ever pumped there. The first event of an exchange, and exchanges without a list, are left out.

    Args:
        events: exchange, symbol, released_at, a row per event.
        listed: exchange, symbol: coins that can be pumped.
    """
    found: dict[str, list[Floats]] = {}
    for (exchange,), own in events.drop_nulls().sort("released_at", "symbol").group_by("exchange", maintain_order=True):
        coins = set(listed.filter(pl.col("exchange") == exchange)["symbol"])
        if not coins:
            continue
        universe = coins | set(own["symbol"])
        times = own["released_at"].to_list()
        counts: dict[str, int] = {}
        done = 0
        for symbol, at in own.select("symbol", "released_at").iter_rows():
            while times[done] < at - SAME_EVENT:
                counts[own["symbol"][done]] = counts.get(own["symbol"][done], 0) + 1
                done += 1
            if counts:
                found.setdefault(str(exchange), []).append(_placed(symbol, counts, len(universe)))
    if found:
        found["all"] = [row for rows in list(found.values()) for row in rows]
    return {exchange: _repeats(np.array(rows)) for exchange, rows in found.items()}


def _placed(symbol: str, counts: dict[str, int], coins: int) -> Floats:
    """Whether the coin was pumped, the share of coins that were, the coin's percentile, its chance of each top, and the number of coins."""
    own = counts.get(symbol, 0)
    values = np.fromiter(counts.values(), np.int64)
    more, same = int((values > own).sum()), int((values == own).sum())
    if own == 0:
        same = coins - len(values)
    percentile = (coins - more - same + 0.5 * (same - 1)) / (coins - 1) if coins > 1 else 0.5
    tops = [min(1.0, max(0.0, (top - more) / same)) for top in TOPS]
    return np.array([own > 0, len(values) / coins, percentile, coins, *tops, *(min(1.0, top / coins) for top in TOPS)], np.float64)


def _repeats(rows: Floats) -> Repeats:
    mean = rows.mean(axis=0)
    picks = np.random.default_rng(SEED).integers(0, len(rows), (RESAMPLES, len(rows)))
    drawn = np.stack([rows[:, column][picks].mean(axis=1) for column in range(3)])
    (lift_low, lift_high), (low, high) = (np.percentile(values, [2.5, 97.5]) for values in (drawn[0] / drawn[1], drawn[2]))
    tops, chance = (dict(zip(TOPS, map(float, mean[start : start + len(TOPS)]), strict=True)) for start in (4, 4 + len(TOPS)))
    return Repeats(
        len(rows),
        float(mean[3]),
        float(mean[0]),
        float(mean[1]),
        float(mean[0] / mean[1]),
        float(lift_low),
        float(lift_high),
        float(mean[2]),
        float(low),
        float(high),
        tops,
        chance,
    )


def repeats_frame(found: dict[str, Repeats]) -> pl.DataFrame:
    """`repeats` as a table, the exchange with the most events first, a column per figure."""
    rows = [
        {"exchange": exchange, **{name: value for name, value in one._asdict().items() if not isinstance(value, dict)}}
        | {f"top{top}": share for top, share in one.tops.items()}
        | {f"chance_top{top}": share for top, share in one.chance_tops.items()}
        for exchange, one in found.items()
    ]
    return pl.DataFrame(rows).sort("events", "exchange", descending=[True, False]) if rows else pl.DataFrame({"exchange": list[str]()})
