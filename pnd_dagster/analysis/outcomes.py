"""What a pump came to, from the prices around its release: peak, fall, volume, and what late buyers lost."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl

from pnd_dagster.market.book_metrics import Floats, Integers

LEAST_GAIN = 0.05
"""A coin that rose less did not move."""
HOUR_MS = 3_600_000
REFERENCE_MS = 600_000
"""A gain is counted from the last price so long before (the paper's figures 5 and 6): insiders buy in the minutes before a release."""
QUIET_HOURS = 23
"""What is usual of a coin is measured over so many hours, which end an hour before the release."""
LEAST_QUIET_HOURS = 3
LATE_BUYERS = {"bought_10s": 10, "bought_30s": 30, "bought_60s": 60}
WORTH_AFTER = {"10min": 600_000, "1h": HOUR_MS}
WAITING_MS = 60_000
"""A buyer waits so long for a trade; then there was none to buy."""
FILLED_MS = 5_000
"""He pays the mean price of what is traded in so long from the first trade on."""
QUIET_DAYS = 7
LEAST_QUIET_DAYS = 3


class Tape(NamedTuple):
    """What a coin traded, ascending in time, [trades or buckets] each.

    Attributes:
        times: milliseconds since 1970; of a bucket its end.
        prices: mean price, quote units.
        highs: highest price.
        lows: lowest price.
        last: last price.
        values: value traded, quote units.
        counts: number of trades.
        until: milliseconds since 1970 until which all that was traded is known.
    """

    times: Integers
    prices: Floats
    highs: Floats
    lows: Floats
    last: Floats
    values: Floats
    counts: Integers
    until: int

    def between(self, start: int, end: int) -> Tape:
        """What was traded in [start, end)."""
        first, beyond = np.searchsorted(self.times, (start, end))
        inside = slice(int(first), int(beyond))
        prices, highs, lows, last, values = (column[inside] for column in (self.prices, self.highs, self.lows, self.last, self.values))
        return Tape(self.times[inside], prices, highs, lows, last, values, self.counts[inside], self.until)

    def mean_price(self) -> float | None:
        """Value-weighted mean price; None without trades."""
        quantity = float((self.values / self.prices).sum())
        return float(self.values.sum()) / quantity if quantity > 0 else None

    def last_before(self, at: int) -> float | None:
        """Last price before a moment; None if nothing was traded before."""
        place = int(np.searchsorted(self.times, at)) - 1
        return float(self.last[place]) if place >= 0 else None


def tape_of_trades(times: Integers, prices: Floats, quantities: Floats) -> Tape:
    """The tape of single trades, ascending in time; what came after the last one is not known."""
    until = int(times[-1]) if len(times) else 0
    return Tape(times, prices, prices, prices, prices, prices * quantities, np.ones(len(times), np.int64), until)


def outcome(tape: Tape, released_at: int) -> dict[str, Any]:
    """Columns of out.pump_outcomes from reference_price to trade_count, all measured on what was traded; None where unknown.

    Args:
        tape: the coin's trades or buckets, at best from 24 h before the release to 2 h after it.
        released_at: milliseconds since 1970.
    """
    after = tape.between(released_at, released_at + HOUR_MS)
    reference, released = tape.last_before(released_at - REFERENCE_MS), tape.last_before(released_at)
    found: dict[str, Any] = {"reference_price": reference, "trade_count": int(after.counts.sum()), "value_after": float(after.values.sum())}
    found["value_before"], usual = _usual(tape, released_at)
    found |= {"usual_gain_ratio": usual, "run_up_ratio": released / reference - 1 if released and reference else None}
    found["volume_ratio"] = found["value_after"] / found["value_before"] if found["value_before"] else None
    for name, seconds in LATE_BUYERS.items():
        bought_at = released_at + seconds * 1000
        found |= _worth(tape, name, _paid(tape, bought_at), bought_at)
    if not len(after.times):
        return found
    best = int(np.argmax(after.highs))
    peak, peak_at = float(after.highs[best]), int(after.times[best])
    fall = tape.between(peak_at + 1, peak_at + 1 + HOUR_MS)
    minute = released_at + (peak_at - released_at) // 60_000 * 60_000
    gain = peak / reference - 1 if reference else None
    return found | {
        "peak_price": peak,
        "peak_at": peak_at,
        "seconds_to_peak": (peak_at - released_at) / 1000,
        "gain_ratio": gain,
        "is_moved": is_moved(gain, usual),
        "drawdown_ratio": min(float(fall.lows.min()), peak) / peak - 1 if len(fall.times) else None,
        "return_1h_ratio": float(after.last[-1]) / reference - 1 if reference and released_at + HOUR_MS <= tape.until else None,
        **_worth(tape, "bought_peak", tape.between(minute, minute + 60_000).mean_price(), peak_at),
    }


def outcome_of_days(candles: pl.DataFrame) -> dict[str, Any]:
    """The same, coarser, from daily candles: the gain to the day's high over the close of the day before, its fall by the day's close.

    Args:
        candles: high, close and value of the pump's day in the last row and of up to eight days before it, without a day between missing.
    """
    closes, highs, values = (candles[name].to_numpy() for name in ("close", "high", "value"))
    if len(closes) < 2:
        return {}
    gains = highs[1:] / closes[:-1] - 1
    gain = float(gains[-1])
    usual = float(gains[-1 - QUIET_DAYS : -1].max()) if len(gains) > LEAST_QUIET_DAYS else None
    before = float(values[-2])
    return {
        "reference_price": float(closes[-2]),
        "peak_price": float(highs[-1]),
        "gain_ratio": gain,
        "usual_gain_ratio": usual,
        "is_moved": is_moved(gain, usual),
        "drawdown_ratio": float(closes[-1] / highs[-1] - 1),
        "value_after": float(values[-1]),
        "value_before": before,
        "volume_ratio": float(values[-1]) / before if before else None,
    }


def is_moved(gain: float | None, usual: float | None) -> bool | None:
    """Whether a coin moved: by `LEAST_GAIN` at least, and by more than is usual for it; None where that is unknown."""
    return None if gain is None or usual is None else gain >= LEAST_GAIN and gain > usual


def _usual(tape: Tape, released_at: int) -> tuple[float | None, float | None]:
    """Mean value of an hour, and the largest gain of one, in the quiet hours that the tape covers."""
    if not len(tape.times):
        return None, None
    hours = min(QUIET_HOURS, (released_at - HOUR_MS - int(tape.times[0])) // HOUR_MS)
    if hours < LEAST_QUIET_HOURS:
        return None, None
    end = released_at - HOUR_MS
    quiet = tape.between(end - hours * HOUR_MS, end)
    gains = [0.0]
    for start in range(end - hours * HOUR_MS, end, HOUR_MS):
        hour, reference = tape.between(start, start + HOUR_MS), tape.last_before(start - REFERENCE_MS)
        if reference and len(hour.times):
            gains.append(float(hour.highs.max()) / reference - 1)
    return float(quiet.values.sum()) / hours, max(gains)


def _paid(tape: Tape, bought_at: int) -> float | None:
    """Mean price of the first `FILLED_MS` that traded from then on, within `WAITING_MS`."""
    waited = tape.between(bought_at, bought_at + WAITING_MS)
    if not len(waited.times):
        return None
    first = int(waited.times[0])
    return waited.between(first, first + FILLED_MS).mean_price()


def _worth(tape: Tape, name: str, paid: float | None, bought_at: int) -> dict[str, float | None]:
    """What a coin bought then was worth later over what was paid, minus 1; None once the tape has ended."""
    worth: dict[str, float | None] = {}
    for until, after in WORTH_AFTER.items():
        price = tape.last_before(bought_at + after + 1) if bought_at + after <= tape.until else None
        worth[f"{name}_{until}_ratio"] = price / paid - 1 if price and paid else None
    return worth
