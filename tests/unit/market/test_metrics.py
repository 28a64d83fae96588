"""Metrics of all instruments at once against the formulas written out for one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pnd_dagster.market.book_metrics import STATE_METRICS, Books, book_metrics, empty_books, usable_books
from pnd_dagster.market.order_flow import best_level_flow
from pnd_dagster.market.trade_metrics import Trades, trade_metrics, walk_impact
from pnd_dagster.tables import BOOK_METRIC_COLUMNS, TRADE_METRIC_COLUMNS
from tests.unit.market.per_book import book_metrics_of_one, flow_of_one, trade_metrics_of_one

LEVELS = 20
Book = tuple[np.ndarray, np.ndarray]
prices = st.floats(1e-12, 1e6)
quantities = st.one_of(st.sampled_from([1.0, 2.0, 5.0]), st.floats(1e-8, 1e12))


@st.composite
def books(draw: st.DrawFn) -> Book:
    """A book around some price: up to 20 levels a side, any side may be empty, some are crossed or locked; quantities repeat."""
    middle = draw(prices)
    bid_count, ask_count = draw(st.integers(0, LEVELS)), draw(st.integers(0, LEVELS))
    step = draw(st.sampled_from([1e-9, 1e-4, 0.01]))
    offset = draw(st.sampled_from([1, 1, 1, 1, 0, -2]))
    bid_prices = middle * (1 - step * (np.arange(bid_count) + offset))
    ask_prices = middle * (1 + step * (np.arange(ask_count) + offset))
    sizes = [draw(st.lists(quantities, min_size=count, max_size=count)) for count in (bid_count, ask_count)]
    return np.column_stack((bid_prices, sizes[0])).reshape(-1, 2), np.column_stack((ask_prices, sizes[1])).reshape(-1, 2)


def as_arrays(all_books: list[Book], beyond: float = math.nan) -> Books:
    arrays = empty_books(len(all_books), LEVELS)
    for part in arrays[:4]:
        part[:] = beyond
    for row, (bids, asks) in enumerate(all_books):
        for side, side_prices, side_quantities, levels in (
            (bids, arrays.bid_prices, arrays.bid_quantities, arrays.bid_levels),
            (asks, arrays.ask_prices, arrays.ask_quantities, arrays.ask_levels),
        ):
            side_prices[row, : len(side)], side_quantities[row, : len(side)], levels[row] = *side.T, len(side)
    return arrays


@settings(max_examples=150, deadline=None)
@given(st.lists(books(), min_size=1, max_size=6), st.sampled_from([math.nan, 0.0, 1e9]))
def test_every_book_has_the_metrics_it_would_have_alone(all_books: list[Book], beyond: float) -> None:
    found = book_metrics(as_arrays(all_books, beyond))

    assert set(found) == set(STATE_METRICS) == {column.name for column in BOOK_METRIC_COLUMNS} - {"best_level_flow"}
    for row, (bids, asks) in enumerate(all_books):
        expected = book_metrics_of_one(bids, asks)
        # Differences of large sums keep an error of the sums' size.
        scale = float(bids[:, 1].sum() + asks[:, 1].sum())
        tolerances = {"order_flow_imbalance": scale, "order_book_slope": scale, "relative_slope": scale, "log_imbalance": 1.0}
        tolerances |= {"value_imbalance": 1.0, "imbalance_ratio": float(bids[0, 0]) if len(bids) else 0.0}
        for name in STATE_METRICS:
            wanted = expected.get(name, math.nan)
            assert found[name][row] == pytest.approx(wanted, rel=1e-9, abs=1e-12 * tolerances.get(name, 0.0), nan_ok=True), name


def test_an_empty_one_sided_crossed_or_locked_book_has_no_metrics() -> None:
    side, better, none = np.array([[10.0, 1.0]]), np.array([[11.0, 1.0]]), np.zeros((0, 2))
    arrays = as_arrays([(none, none), (side, none), (none, side), (better, side), (side, side), (side, better)])

    assert usable_books(arrays).tolist() == [False] * 5 + [True]
    for name, values in book_metrics(arrays).items():
        assert np.isnan(values[:5]).all(), name
        assert np.isfinite(values[5]) == (name not in ("order_book_slope", "relative_slope")), name


def test_metrics_of_a_small_book_are_those_computed_by_hand() -> None:
    bids, asks = np.array([[9.0, 4.0], [8.0, 1.0], [7.0, 7.0]]), np.array([[11.0, 2.0], [12.0, 3.0]])

    found = {name: float(values[0]) for name, values in book_metrics(as_arrays([(bids, asks)])).items()}

    assert (found["mid_price"], found["bid_ask_spread"], found["relative_spread"]) == (10.0, 2.0, 0.2)
    assert found["average_order_size"] == pytest.approx(17 / 5)
    assert found["average_order_value"] == pytest.approx((36 + 8 + 49 + 22 + 36) / 5)
    assert found["imbalance"] == pytest.approx(12 / 5)
    assert found["imbalance_ratio"] == pytest.approx(10 * (93 - 58) / 151)
    assert found["order_book_pressure"] == pytest.approx(12 / 17)
    assert found["order_flow_imbalance"] == 7.0
    # One step on both sides: bids -3, asks +1.
    assert found["order_book_slope"] == -4.0


quote = st.tuples(
    st.sampled_from([9.0, 10.0, 11.0, math.nan]), st.sampled_from([1.0, 2.5]), st.sampled_from([10.5, 11.0, 12.0]), quantities
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), quote), max_size=40), st.integers(0, 40))
def test_order_flow_is_that_of_each_instruments_quotes_in_turn_also_across_buckets(
    updates: list[tuple[int, tuple[float, ...]]], cut: int
) -> None:
    last_quotes = np.full((4, 4), np.nan)
    flows = []
    for part in (updates[:cut], updates[cut:]):
        slots = np.array([slot for slot, _ in part], np.int64)
        flows.append(best_level_flow(slots, np.array([numbers for _, numbers in part]).reshape(-1, 4), last_quotes))

    for slot in range(4):
        chain = [numbers for of, numbers in updates if of == slot]
        before = sum(of == slot for of, _ in updates[:cut])
        first, second = flow_of_one(chain[:before]), flow_of_one(chain[max(before - 1, 0) :])
        assert flows[0][slot] == pytest.approx(first, nan_ok=True, abs=1e-3)
        if len(chain) > before:
            assert flows[1][slot] == pytest.approx(second, nan_ok=True, abs=1e-3)


def test_a_better_bid_is_a_positive_flow_and_a_lifted_ask_too() -> None:
    last_quotes = np.array([[9.0, 5.0, 11.0, 4.0]] * 3)
    quotes = np.array([[9.5, 2.0, 11.0, 4.0], [9.0, 5.0, 12.0, 7.0], [9.0, 3.0, 11.0, 4.0]])

    assert best_level_flow(np.arange(3), quotes, last_quotes).tolist() == [2.0, 4.0, -2.0]


trade = st.tuples(prices, st.floats(1e-8, 1e9), st.sampled_from([1, 1, -1, -1, 0]))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), trade), max_size=30), st.lists(books(), min_size=4, max_size=4), st.sampled_from([math.nan, 2.0])
)
def test_every_instruments_trades_have_the_metrics_they_would_have_alone(
    stream: list[tuple[int, tuple[float, float, int]]], all_books: list[Book], last_vwap: float
) -> None:
    slots = np.array([slot for slot, _ in stream], np.int64)
    columns = np.array([numbers for _, numbers in stream]).reshape(-1, 3).T
    trades = Trades(slots, columns[0], columns[1], columns[2].astype(np.int64))

    traded, found = trade_metrics(trades, np.full(4, last_vwap), as_arrays(all_books))

    assert set(found) == {column.name for column in TRADE_METRIC_COLUMNS}
    assert traded.tolist() == sorted(set(slots.tolist()))
    for row, slot in enumerate(traded):
        own = [numbers for of, numbers in stream if of == slot]
        sides = [int(side) for _, _, side in own]
        expected = trade_metrics_of_one(np.array([numbers[:2] for numbers in own]), sides, last_vwap, *all_books[slot])
        volume = expected["volume"]
        for name, wanted in expected.items():
            if name == "walk_impact":
                continue  # where the quantity falls on a level's edge by rounding, both answers are right
            scale = {"taker_buy_volume": volume, "taker_sell_volume": volume, "taker_imbalance": 1.0, "vwap_log_return": 1.0}
            assert found[name][row] == pytest.approx(wanted, rel=1e-9, abs=1e-12 * scale.get(name, 0.0), nan_ok=True), name
        assert expected["low_price"] <= found["vwap"][row] <= expected["high_price"]


@pytest.mark.parametrize(
    ("net", "impact"),
    [
        (0.0, 0.0),
        (1.0, 0.0),
        (2.0, 0.1),
        (4.0, 0.1),
        (5.0, math.nan),
        (7.0, math.nan),
        (-1.0, 0.0),
        (-3.0, -0.5),
        (-4.0, math.nan),
        (math.nan, math.nan),
    ],
    ids=lambda number: f"{number:g}",
)
def test_takers_net_quantity_walks_the_side_it_eats_until_nothing_seen_is_left(net: float, impact: float) -> None:
    book = np.array([[8.0, 3.0], [4.0, 1.0]]), np.array([[10.0, 2.0], [11.0, 3.0]])

    found = walk_impact(np.array([net]), as_arrays([book], beyond=0.0))

    assert found[0] == pytest.approx(impact, nan_ok=True)


def test_a_trade_of_unknown_side_leaves_what_needs_the_side_unknown() -> None:
    trades = Trades(np.zeros(2, np.int64), np.array([10.0, 11.0]), np.array([1.0, 2.0]), np.array([1, 0]))

    _, found = trade_metrics(trades, np.full(1, np.nan), empty_books(1, LEVELS))

    assert found["market_orders_impact"][0] == found["volume"][0] == 3.0
    assert all(np.isnan(found[name][0]) for name in ("taker_buy_volume", "taker_sell_volume", "taker_imbalance", "walk_impact"))
