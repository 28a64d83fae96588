"""How many pumps the detector sees after their start, how soon, and how often it raises a false alarm, on tick trades."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from pnd_dagster.backtest.reading import event_ids, read_events
from pnd_dagster.errors import SchemaError
from pnd_dagster.market.book_metrics import Booleans, Floats, Integers
from pnd_dagster.ranking.detection import Bucket, Detector, Signs, Thresholds, is_pump, no_baseline
from pnd_dagster.tables import BUCKET_SECONDS

REFRACTORY = timedelta(hours=2)
BEFORE, AFTER = timedelta(hours=48), timedelta(minutes=10)
QUIET_UNTIL = timedelta(hours=2)
SEEN_WITHIN = timedelta(seconds=60)
GRID = tuple(
    Thresholds(volume_z, trades_z, price_change, 10)
    for volume_z, trades_z, price_change in itertools.product((8.0, 15.0, 30.0), (8.0, 15.0, 30.0), (0.02, 0.03, 0.05))
)
_BUCKET = timedelta(seconds=BUCKET_SECONDS)
_REQUIRED = {"trades": ("event_id", "timestamp_ms", "side", "price", "amount"), "events": ("event_id", "event_coin", "event_time")}


class DetectionBacktest(NamedTuple):
    """What came out.

    Attributes:
        thresholds: chosen on the coins of the first half.
        table: a row for each half and for all: part, pumps, seen, share with its 95% interval (Wilson), early (an alarm was given in the
            two hours before), median_delay_seconds of those seen, coin_days of background, false_alarms, and their number per 1,000
            coin-days with its 95% interval (Poisson, exact).
        events: event_id, part, delay_seconds (end of the raising bucket after the announced time; None where it was not seen).
    """

    thresholds: Thresholds
    table: pl.DataFrame
    events: pl.DataFrame


def backtest_detection(trades: pl.DataFrame, events: pl.DataFrame, grid: Iterable[Thresholds] = GRID) -> DetectionBacktest:
    """Runs the detector over the trades around known pumps, bucket by bucket, as it runs live.

    Every other coin, in alphabetical order, chooses the thresholds: those that see most pumps, of these the ones with the fewest false
    alarms, of these the strictest. The other coins judge. A pump is seen when an alarm is given from the bucket in which it starts to
    60 s after; what is given between 48 h and 2 h before is false, what comes after that is early; a coin counts from when it has a
    baseline.

    Args:
        trades: event_id, timestamp_ms, side (the taker's), price, amount; one coin per event.
        events: event_id, event_coin, event_time (announced, UTC).
        grid: thresholds that are tried; one alone is judged as it is.

    Raises:
        SchemaError: a column is missing; it is named.
    """
    for name, frame in (("trades", trades), ("events", events)):
        if missing := [column for column in _REQUIRED[name] if column not in frame.columns]:
            raise SchemaError(f"{name}: missing columns {', '.join(missing)}")
    events = events.sort("event_coin", "event_id")
    signs = _signs(trades, events)
    coins = events["event_coin"].unique().sort().to_list()
    is_training = events["event_coin"].is_in(coins[::2]).to_numpy()
    best = max(grid, key=lambda thresholds: _merit(signs, thresholds, is_training))
    found = _judge(signs, best)
    parts = {"chosen on": is_training, "judged on": ~is_training, "all": np.ones(events.height, np.bool_)}
    table = pl.DataFrame([_row(part, found, chosen) for part, chosen in parts.items()])
    delays = pl.Series("delay_seconds", found.delays, nan_to_null=True)
    part = pl.Series("part", np.where(is_training, "chosen on", "judged on"))
    return DetectionBacktest(best, table, events.select("event_id").with_columns(part, delays))


def backtest_detection_of_files(events: Path, trades: Path, grid: Iterable[Thresholds] = GRID) -> DetectionBacktest:
    """`backtest_detection` of the files that `pnd backtest` reads; trades without a positive, finite price and amount are passed over.

    Args:
        events: CSV of pumps, see `reading.read_events`.
        trades: Parquet, see `reading.read_trades`.
        grid: thresholds that are tried.

    Raises:
        SourceError: a file cannot be read or does not fit.
        SchemaError: a column of the trades is missing; it is named.
    """
    known = event_ids(trades)
    pumps = [event for event in read_events(events, known) if event.event_id in known]
    frame = pl.DataFrame(
        {
            "event_id": [event.event_id for event in pumps],
            "event_coin": [event.coin for event in pumps],
            "event_time": [datetime.fromtimestamp(event.at / 1000, UTC) for event in pumps],
        }
    )
    is_sound = pl.all_horizontal(pl.col(name).is_finite() & (pl.col(name) > 0) for name in ("price", "amount"))
    return backtest_detection(pl.scan_parquet(trades).filter(is_sound).collect(), frame, grid)


def alarms(raised: Booleans) -> Booleans:
    """Where an alarm is given, [instruments, buckets]: where it is raised and none was given in the two hours before."""
    given = np.zeros_like(raised)
    pause = REFRACTORY // _BUCKET
    for row in range(len(raised)):
        free_at = 0
        for column in np.flatnonzero(raised[row]).tolist():
            if column >= free_at:
                given[row, column] = True
                free_at = column + pause
    return given


class _Judged(NamedTuple):
    delays: Floats
    early: Booleans
    false_alarms: Integers
    days: Floats


def _signs(trades: pl.DataFrame, events: pl.DataFrame) -> Signs:
    """Signs at the end of each bucket from 48 h before to 10 min after the announced time, [events, buckets]."""
    width = (BEFORE + AFTER) // _BUCKET
    places = {event_id: place for place, event_id in enumerate(events["event_id"])}
    starts = np.array([_milliseconds(at) - int(BEFORE.total_seconds() * 1000) for at in events["event_time"]], np.int64)
    known = trades.filter(pl.col("event_id").is_in(list(places)))
    rows = known["event_id"].replace_strict(places, return_dtype=pl.Int64).to_numpy()
    columns = (known["timestamp_ms"].to_numpy() - starts[rows]) // (BUCKET_SECONDS * 1000)
    inside = (columns >= 0) & (columns < width)
    rows, columns, known = rows[inside], columns[inside], known.filter(pl.Series(inside))
    amount, price = known["amount"].to_numpy(), known["price"].to_numpy()
    is_buy = (known["side"] == "buy").to_numpy()
    grids: list[Floats] = []
    for weights in (np.ones(len(amount)), amount * is_buy, amount, amount * price):
        grid = np.zeros((width, events.height))
        np.add.at(grid, (columns, rows), weights)
        grids.append(grid)
    detector = Detector(no_baseline(events.height), np.full(events.height, np.nan))
    by_bucket = [detector.update(Bucket(*(grid[column] for grid in grids))) for column in range(width)]
    return Signs(*(np.stack(values, axis=1) for values in zip(*by_bucket, strict=True)))


def _milliseconds(at: datetime | str) -> int:
    return int((datetime.fromisoformat(at) if isinstance(at, str) else at).timestamp() * 1000)


def _judge(signs: Signs, thresholds: Thresholds) -> _Judged:
    given = alarms(is_pump(signs, thresholds))
    start = BEFORE // _BUCKET
    quiet = (BEFORE - QUIET_UNTIL) // _BUCKET
    near = given[:, start : start + SEEN_WITHIN // _BUCKET]
    delays = np.where(near.any(axis=1), (near.argmax(axis=1) + 1.0) * BUCKET_SECONDS, np.nan)
    # Before there is a baseline nothing can be raised, and nothing is counted.
    days = (~np.isnan(signs.trades_z[:, :quiet])).sum(axis=1) * (_BUCKET / timedelta(days=1))
    is_early = np.logical_or.reduce(given[:, quiet:start], axis=1)
    return _Judged(delays, is_early, given[:, :quiet].sum(axis=1), days)


def _merit(signs: Signs, thresholds: Thresholds, chosen: Booleans) -> tuple[Any, ...]:
    found = _judge(Signs(*(sign[chosen] for sign in signs)), thresholds)
    return int((~np.isnan(found.delays)).sum()), -int(found.false_alarms.sum()), thresholds


def _row(part: str, found: _Judged, chosen: Booleans) -> dict[str, Any]:
    delays, false_alarms, days = found.delays[chosen], int(found.false_alarms[chosen].sum()), float(found.days[chosen].sum())
    seen = int((~np.isnan(delays)).sum())
    low, high = wilson(seen, len(delays))
    alarms_low, alarms_high = poisson(false_alarms)
    return {
        "part": part,
        "pumps": len(delays),
        "seen": seen,
        "share": seen / len(delays) if len(delays) else None,
        "share_low": low,
        "share_high": high,
        "early": int(found.early[chosen].sum()),
        "median_delay_seconds": float(np.nanmedian(delays)) if seen else None,
        "coin_days": days,
        "false_alarms": false_alarms,
        "per_1000_coin_days": 1000 * false_alarms / days if days else None,
        "per_1000_low": 1000 * alarms_low / days if days else None,
        "per_1000_high": 1000 * alarms_high / days if days else None,
    }


def wilson(count: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """95% interval of a rate (Wilson 1927)."""
    if n == 0:
        return 0.0, 1.0
    share, spread = count / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def poisson(count: int) -> tuple[float, float]:
    """Exact 95% interval of a Poisson mean (Garwood 1936), by bisection."""

    def mean_with(probability_of_at_most: int, probability: float) -> float:
        low, high = 0.0, 10.0 + 3.0 * count
        for _ in range(100):
            middle = (low + high) / 2
            tail = sum(math.exp(-middle + k * math.log(middle) - math.lgamma(k + 1)) for k in range(probability_of_at_most + 1))
            low, high = (middle, high) if tail > probability else (low, middle)
        return (low + high) / 2

    return (mean_with(count - 1, 0.975) if count else 0.0), mean_with(count, 0.025)
