"""Trade metrics of a bucket (paper, Table IX): all instruments in one vectorised pass."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pnd_dagster.market.book_metrics import Books, Floats, Integers, usable_books
from pnd_dagster.market.feeds.protocol import UNKNOWN


class Trades(NamedTuple):
    """Trades of several instruments in order of arrival, [trades] each: price in USDT, quantity in base units.

    `sides` are the takers': 1 buys, -1 sells, 0 unknown.
    """

    slots: Integers
    prices: Floats
    quantities: Floats
    sides: Integers


def trade_metrics(trades: Trades, last_vwaps: Floats, books_before: Books) -> tuple[Integers, dict[str, NDArray[np.generic]]]:
    """Metrics of the instruments that traded (paper, Table IX, and scale-free companions).

    market_orders_impact is all that takers bought and sold, which is volume again; what depends on the takers' side is NaN for an
    instrument with a trade of unknown side.

    Args:
        trades: the bucket's trades.
        last_vwaps: [instruments], vwap of the last bucket in which each traded, NaN where unknown.
        books_before: [instruments], the books as they stood before the bucket, without levels where unknown.

    Returns:
        The slots that traded, ascending, and TRADE_METRIC_COLUMNS for them, NaN where a metric has no value.
    """
    order = np.argsort(trades.slots, kind="stable")
    traded, starts, counts = np.unique(trades.slots[order], return_index=True, return_counts=True)
    prices, quantities, sides = trades.prices[order], trades.quantities[order], trades.sides[order]
    ends = starts + counts - 1

    volume = np.add.reduceat(quantities, starts)
    value = np.add.reduceat(prices * quantities, starts)
    is_known = np.logical_and.reduceat(sides != UNKNOWN, starts)
    bought = np.where(is_known, np.add.reduceat(np.where(sides > 0, quantities, 0.0), starts), np.nan)
    sold = np.where(is_known, np.add.reduceat(np.where(sides < 0, quantities, 0.0), starts), np.nan)
    first, last = prices[starts], prices[ends]
    high, low = np.maximum.reduceat(prices, starts), np.minimum.reduceat(prices, starts)
    # Rounding may not put it outside the prices it is the mean of.
    vwap = np.clip(value / volume, low, high)
    columns: dict[str, NDArray[np.generic]] = {
        "trade_count": counts,
        "volume": volume,
        "quote_volume": value,
        "taker_buy_volume": bought,
        "taker_sell_volume": sold,
        "taker_imbalance": (bought - sold) / volume,
        "average_trade_size": volume / counts,
        "average_trade_value": value / counts,
        "liquidity_consumption": volume,
        "liquidity_consumption_value": value,
        "market_orders_impact": volume,
        "vwap": vwap,
        "vwap_log_return": np.log(vwap / last_vwaps[traded]),
        "first_price": first,
        "last_price": last,
        "high_price": high,
        "low_price": low,
        "high_low_spread": high - low,
        "relative_high_low_spread": (high - low) / vwap,
        "relative_impact": (last - first) / first,
        "walk_impact": walk_impact(bought - sold, books_before.rows(traded)),
    }
    return traded, columns


def walk_impact(net_quantities: Floats, books: Books) -> Floats:
    """Relative change of the best price, signed, when takers' net quantity walks the book, [instruments].

    A net purchase eats the asks, a net sale (negative) the bids, best level first; a level that is eaten up is gone. NaN where the
    book is not usable or the quantity is unknown, and where nothing that we see would be left: how far the price would go then is not
    in the best 20 levels.
    """
    is_purchase = net_quantities > 0
    prices = np.where(is_purchase[:, None], books.ask_prices, books.bid_prices)
    quantities = np.where(is_purchase[:, None], books.ask_quantities, books.bid_quantities)
    levels = np.where(is_purchase, books.ask_levels, books.bid_levels)
    is_there = np.arange(prices.shape[1]) < levels[:, None]
    eaten = (np.cumsum(np.where(is_there, quantities, 0.0), axis=1) <= np.abs(net_quantities)[:, None]) & is_there
    next_level = eaten.sum(axis=1)
    is_visible = usable_books(books) & (next_level < levels) & np.isfinite(net_quantities)
    price = np.take_along_axis(prices, np.minimum(next_level, prices.shape[1] - 1)[:, None], axis=1)[:, 0]
    best = prices[:, 0]
    return np.divide(price - best, best, out=np.full(len(best), np.nan), where=is_visible)
