"""Daily candles made from an exchange's last trades, where it has no candles of its own (LATOKEN)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Any

from pnd_dagster.market.rest import PublicTrade


def candles_from_trades(trades: Sequence[PublicTrade], asked_at: datetime) -> list[dict[str, Any]]:
    """One candle per day on which there were trades: columns of raw.ohlcv_daily without the pair, in the order of days.

    A candle is complete if its day is over and the trades reach back beyond its start: the exchange gives the last ones only, and on a
    busy day they do not.

    Args:
        trades: in time order.
        asked_at: when they were read.
    """
    return [_candle(day, list(same_day), trades[0], asked_at) for day, same_day in groupby(trades, key=trade_day)]


def trade_day(trade: PublicTrade) -> date:
    """Day of the trade, UTC."""
    return datetime.fromtimestamp(trade.at, UTC).date()


def _candle(day: date, trades: Sequence[PublicTrade], oldest: PublicTrade, asked_at: datetime) -> dict[str, Any]:
    prices = [trade.price for trade in trades]
    return {
        "day": day,
        "open": prices[0],
        "high": max(prices),
        "low": min(prices),
        "close": prices[-1],
        "volume": math.fsum(trade.quantity for trade in trades),
        "quote_volume": math.fsum(trade.price * trade.quantity for trade in trades),
        "trade_count": len(trades),
        "source": "trades",
        "is_complete": trade_day(oldest) < day < asked_at.date(),
        "ingested_at": asked_at,
    }
