"""Time in the simulated exchanges: books that stay books, changes that explain them, activity like that of real markets."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest

from pnd_dagster.simulator.exchanges.book import Level
from pnd_dagster.simulator.exchanges.market import Change, Market
from pnd_dagster.simulator.exchanges.noise import Noise
from pnd_dagster.simulator.exchanges.world import World
from pnd_dagster.simulator.universe import make_universe

START = 1_750_000_000.0
UNIVERSE = make_universe(7, 60)


def make_world(*, rate: float = 2_000, seed: int = 1) -> World:
    return World(UNIVERSE, seed=seed, rate=rate, start_at=START)


def all_markets(world: World) -> list[Market]:
    return [market for markets in world.markets.values() for market in markets.values()]


def printed(changes: list[Change]) -> list[tuple[object, ...]]:
    return [(change.market.exchange, change.market.base, *change[1:]) for change in changes]


def prices(levels: list[Level]) -> list[float]:
    return [float(price) for price, _ in levels]


def assert_is_a_book(market: Market) -> None:
    bids, asks = market.book(50)
    assert prices(bids) == sorted(set(prices(bids)), reverse=True)
    assert prices(asks) == sorted(set(prices(asks)))
    assert 0 < prices(bids)[-1] <= prices(bids)[0] < prices(asks)[0], (market.base, market.exchange)
    assert all(float(quantity) > 0 for _, quantity in bids + asks)


def test_books_are_never_crossed_empty_or_out_of_order() -> None:
    world = make_world()
    for second in range(1, 11):
        for market in {change.market for change in world.advance(START + second)}:
            assert_is_a_book(market)
    assert all(20 <= len(side) <= 40 for market in all_markets(world) for side in market.book(50))


def apply(change: Change, held: tuple[dict[str, str], dict[str, str]]) -> None:
    for side, levels in zip(held, (change.bids, change.asks), strict=True):
        for price, quantity in levels:
            if quantity == "0":
                del side[price]
            else:
                side[price] = quantity


def test_whoever_applies_the_changes_has_the_book() -> None:
    world = make_world()
    held = {market: (dict(market.book(50)[0]), dict(market.book(50)[1])) for market in all_markets(world)}
    sequences = {market: market.sequence for market in held}
    for second in range(1, 6):
        for change in world.advance(START + second):
            sequences[change.market] += 1
            assert change.sequence == sequences[change.market]
            apply(change, held[change.market])
    for market, (bids, asks) in held.items():
        assert bids == dict(market.book(50)[0])
        assert asks == dict(market.book(50)[1])


def test_a_trade_takes_its_quantity_from_the_best_level() -> None:
    world = make_world()
    held = {market: (dict(market.book(50)[0]), dict(market.book(50)[1])) for market in all_markets(world)}
    trades = 0
    for change in world.advance(START + 2):
        bids, asks = held[change.market]
        if change.trade is not None:
            side, best, changed = (asks, min, change.asks) if change.trade.side == "buy" else (bids, max, change.bids)
            price = best(side, key=float)
            assert [level[0] for level in changed] == [price] == [change.trade.price]
            assert float(side[price]) - float(changed[0][1]) == pytest.approx(float(change.trade.quantity), rel=1e-6)
            assert change.trade.at == change.at
            trades += 1
        apply(change, held[change.market])
    assert trades > 200


def test_changes_come_in_the_order_of_time_and_only_once() -> None:
    world = make_world()
    changes = [change for second in range(1, 6) for change in world.advance(START + second)]
    times = [change.at for change in changes]
    assert times == sorted(times)
    assert START <= times[0] <= times[-1] <= START + 5
    assert len(changes) == pytest.approx(10_000, rel=0.1)
    assert world.advance(START + 5) == world.advance(START + 1) == []


def test_the_same_seed_gives_the_same_world() -> None:
    first, second, other = make_world(), make_world(), make_world(seed=2)
    changes = printed(first.advance(START + 2))
    assert changes == printed(second.advance(START + 2))
    assert changes != printed(other.advance(START + 2))


def test_after_a_long_pause_the_work_of_a_call_is_bounded() -> None:
    changes = make_world().advance(START + 86_400)
    assert len(changes) == 50_000
    assert changes[-1].at > START + 86_000


def test_activity_is_heavy_tailed_but_no_market_is_silent_for_long() -> None:
    world = World(make_universe(7, 400), seed=1, rate=400, start_at=START)
    changes = world.advance(START + 120)
    counts = np.array(sorted(Counter(change.market for change in changes).values(), reverse=True))
    assert counts[: len(counts) // 10].sum() > 0.25 * counts.sum()
    last = dict.fromkeys(all_markets(world), START)
    for change in changes:
        assert change.at - last[change.market] < 30
        last[change.market] = change.at
    assert min(last.values()) > START + 90
    trades = Counter(change.market for change in changes if change.trade)
    assert sum(trades.values()) == pytest.approx(0.1 * len(changes), rel=0.15)
    assert len(trades) < 0.9 * len(counts)


def test_spreads_are_wide_where_little_is_traded_and_values_are_those_of_small_traders() -> None:
    world = make_world()
    spreads: dict[str, list[float]] = {}
    for market in all_markets(world):
        bids, asks = market.book()
        middle = (prices(bids)[0] + prices(asks)[0]) / 2
        assert middle == pytest.approx(market.coin.price, rel=0.1)
        spreads.setdefault("major" if market.coin.is_major else market.exchange, []).append((prices(asks)[0] - prices(bids)[0]) / middle)
        values = [float(price) * float(quantity) for price, quantity in bids + asks]
        assert 0.01 < np.median(values) < 5_000, (market.exchange, market.base)
    assert np.median(spreads["major"]) < np.median(spreads["kucoin"]) < np.median(spreads["poloniex"]) < 0.1


def test_prices_stay_near_where_they_belong() -> None:
    market = max(all_markets(make_world()), key=lambda market: market.liquidity.half_spread)
    noise = Noise(5)
    prices = [(market.step(START, noise), market.fair)[1] / market.coin.price for _ in range(20_000)]
    assert 0.75 < min(prices) < 0.95
    assert 1.05 < max(prices) < 1.3


@pytest.mark.parametrize("ticks", [3, 10, 200, 10_000_000])
def test_a_book_stays_one_wherever_the_price_goes(ticks: int) -> None:
    noise = Noise(5)
    for market in all_markets(make_world())[:12]:
        fair = ticks / 10**market.price_decimals
        market.follow(START, fair, noise)
        for side in ("buy", "sell") * 8:
            assert_is_a_book(market)
            market.execute(START, side, 20.0, fair, noise)
            for _ in range(20):
                market.step(START, noise)
                assert_is_a_book(market)


def test_a_market_has_trades_from_before_the_world_began() -> None:
    for market in all_markets(make_world()):
        assert market.trades
        assert market.trades[-1].at < START
        assert [trade.at for trade in market.trades] == sorted(trade.at for trade in market.trades)
        assert [trade.trade_id for trade in market.trades] == sorted({trade.trade_id for trade in market.trades})


def test_the_book_is_made_once_per_change() -> None:
    market = all_markets(make_world())[0]
    assert market.book() is market.book()
    assert market.book(5)[0] == market.book()[0][:5]


def test_a_delisted_market_stands_still_until_it_is_listed_again() -> None:
    world = make_world()
    market = world.markets["kucoin"]["VIA"]
    world.delist("kucoin", "VIA")
    assert "VIA" not in world.markets["kucoin"]
    assert all(change.market is not market for change in world.advance(START + 10))
    world.relist("kucoin", "VIA")
    assert world.markets["kucoin"]["VIA"] is market
    assert any(change.market is market for change in world.advance(START + 20))
    with pytest.raises(KeyError):
        world.delist("kucoin", "NEVER")


def test_a_symbol_can_come_back_as_another_coin() -> None:
    world = make_world()
    old = world.markets["kucoin"]["VIA"]
    world.delist("kucoin", "VIA")
    world.relist("kucoin", "VIA", world.markets["kucoin"]["BTC"].coin)
    new = world.markets["kucoin"]["VIA"]
    assert (new.base, new.coin.name) == ("VIA", "Bitcoin")
    changed = {change.market for change in world.advance(START + 10)}
    assert new in changed
    assert old not in changed


def test_twenty_thousand_changes_a_second_are_no_burden() -> None:
    world = make_world(rate=20_000)
    started = time.process_time()
    count = sum(len(world.advance(START + step * 0.1)) for step in range(1, 11))
    # Several times the floor is measured; the rest is left to slow machines.
    assert count / (time.process_time() - started) > 20_000
