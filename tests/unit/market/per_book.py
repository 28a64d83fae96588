"""Metrics of one book, and of one instrument's trades, in plain numpy and Python: the peer of the vectorised pass, and its test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

Side = np.ndarray  # [levels, 2]: price, quantity, best first
NAN = math.nan


def book_metrics_of_one(bids: Side, asks: Side) -> dict[str, float]:
    """State metrics of one book by the formulas of the paper's Table IX; empty when it is one-sided, crossed or locked."""
    if len(bids) == 0 or len(asks) == 0 or bids[0, 0] >= asks[0, 0]:
        return {}
    bid_prices, bid_quantities = bids.T
    ask_prices, ask_quantities = asks.T
    spread = np.min(ask_prices) - np.max(bid_prices)
    mid = 0.5 * (np.min(ask_prices) + np.max(bid_prices))
    size = np.mean(np.concatenate((bid_quantities, ask_quantities)))
    value = np.mean(np.concatenate((bid_prices * bid_quantities, ask_prices * ask_quantities)))
    bid_value, ask_value = np.dot(bid_prices, bid_quantities), np.dot(ask_prices, ask_quantities)
    bid_size, ask_size = np.sum(bid_quantities), np.sum(ask_quantities)
    ratio = (bid_value - ask_value) / (bid_value + ask_value)
    common = min(len(bids), len(asks))
    steps = np.diff(bid_quantities[:common]) - np.diff(ask_quantities[:common])
    slope = np.median(steps) if common >= 2 else NAN
    return {
        "mid_price": mid,
        "bid_ask_spread": spread,
        "relative_spread": spread / mid,
        "average_order_size": size,
        "average_order_value": value,
        "imbalance": bid_size / ask_size,
        "log_imbalance": np.log(bid_size / ask_size),
        "imbalance_ratio": mid * ratio,
        "value_imbalance": ratio,
        "order_book_pressure": bid_size / (bid_size + ask_size),
        "order_book_slope": slope,
        "relative_slope": slope / size,
        "order_flow_imbalance": bid_size - ask_size,
    }


def flow_of_one(quotes: Sequence[Sequence[float]]) -> float:
    """Cont, Kukanov and Stoikov's order flow imbalance of one instrument's quotes in turn; NaN when no two can be compared."""
    total, compared = 0.0, False
    for before, now in pairwise(quotes):
        if any(math.isnan(number) for number in (*before, *now)) or before[0] >= before[2] or now[0] >= now[2]:
            continue
        compared = True
        if now[0] >= before[0]:
            total += now[1]
        if now[0] <= before[0]:
            total -= before[1]
        if now[2] <= before[2]:
            total -= now[3]
        if now[2] >= before[2]:
            total += before[3]
    return total if compared else NAN


def trade_metrics_of_one(trades: Side, sides: Sequence[int], last_vwap: float, bids: Side, asks: Side) -> dict[str, float]:
    """Metrics of one instrument's trades [trades, 2] (price, quantity) in turn, with the book as it stood before them."""
    prices, quantities = trades.T
    volume, value = np.sum(quantities), np.sum(prices * quantities)
    known = 0 not in sides
    bought = np.sum(quantities[np.asarray(sides) == 1]) if known else NAN
    sold = np.sum(quantities[np.asarray(sides) == -1]) if known else NAN
    vwap = value / volume
    high, low = np.max(prices), np.min(prices)
    return {
        "trade_count": len(prices),
        "volume": volume,
        "quote_volume": value,
        "taker_buy_volume": bought,
        "taker_sell_volume": sold,
        "taker_imbalance": (bought - sold) / volume,
        "average_trade_size": volume / len(prices),
        "average_trade_value": value / len(prices),
        "liquidity_consumption": volume,
        "liquidity_consumption_value": value,
        "market_orders_impact": bought + sold if known else volume,
        "vwap": vwap,
        "vwap_log_return": np.log(vwap / last_vwap),
        "first_price": prices[0],
        "last_price": prices[-1],
        "high_price": high,
        "low_price": low,
        "high_low_spread": high - low,
        "relative_high_low_spread": (high - low) / vwap,
        "relative_impact": (prices[-1] - prices[0]) / prices[0],
        "walk_impact": walk_of_one(bought - sold, bids, asks),
    }


def walk_of_one(net: float, bids: Side, asks: Side) -> float:
    """Relative change of the best price when `net` bought (or, negative, sold) walks the book; NaN when nothing seen is left."""
    if math.isnan(net) or len(bids) == 0 or len(asks) == 0 or bids[0, 0] >= asks[0, 0]:
        return NAN
    eaten, left = (asks, net) if net > 0 else (bids, -net)
    walked = 0.0
    for price, quantity in eaten.tolist():
        walked += quantity
        if walked > left:
            return (price - float(eaten[0, 0])) / float(eaten[0, 0])
    return NAN
