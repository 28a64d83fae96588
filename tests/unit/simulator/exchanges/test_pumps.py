"""Pumps that play live: what takers do, when the price peaks and how high, and what the day adds up to."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import pytest

from pnd_dagster.simulator.exchanges.market import Market, Trade
from pnd_dagster.simulator.exchanges.pumps import KUCOIN_SHAPE, MAX_ORDERS, POLONIEX_SHAPE, PumpScript, plan_orders, row_for, shape_of
from pnd_dagster.simulator.exchanges.world import World
from pnd_dagster.simulator.universe import make_universe

START = 1_750_000_000.0
RELEASE = START + 3600
UNIVERSE = make_universe(7, 60)


class Played(NamedTuple):
    """Mid price by second from the release, and the trades, of a pump."""

    mids: dict[int, float]
    trades: list[Trade]


@cache
def play(exchange: str, base: str, script: PumpScript | None = None, *, release: float = RELEASE, until: int = 2_400) -> Played:
    world = World(UNIVERSE, seed=1, rate=8, start_at=START)
    world.schedule(script or PumpScript(exchange, base, release, row_for(exchange, base)))
    market = world.markets[exchange][base]
    played = Played({}, [])
    # Every second near the release, half a minute elsewhere.
    times = [*range(-3600, -30, 30), *range(-30, 300), *range(300, until + 1, 30)]
    for second in times:
        if release + second <= START:
            continue
        for change in world.advance(release + second):
            if change.market is market and change.trade:
                played.trades.append(change.trade)
        played.mids[second] = middle(market)
    return played


def middle(market: Market) -> float:
    bids, asks = market.book(1)
    assert float(bids[0][0]) < float(asks[0][0])
    return (float(bids[0][0]) + float(asks[0][0])) / 2


def quote_volume(trades: list[Trade]) -> float:
    return sum(float(trade.price) * float(trade.quantity) for trade in trades)


@pytest.mark.parametrize(
    ("exchange", "seconds_to_peak", "peak"),
    [
        ("kucoin", 1.49 * 60, 4.57),
        ("mexc", 1.49 * 60, 4.57),
        ("poloniex", 0.12 * 60, 10.85),
        ("latoken", 0.12 * 60, 10.85),
        ("xt", 7.2, 10.85),
    ],
)
def test_the_price_peaks_when_and_where_the_paper_says(exchange: str, seconds_to_peak: float, peak: float) -> None:
    mids = play(exchange, "VIA").mids
    top = max(mids, key=lambda second: mids[second])
    assert top == pytest.approx(seconds_to_peak, abs=2)
    assert mids[top] / mids[-600] == pytest.approx(peak, rel=0.08)
    assert mids[-30] / mids[-600] < 1.15
    assert mids[2_400] / mids[-600] == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(("exchange", "base"), [("kucoin", "VIA"), ("poloniex", "VIA"), ("poloniex", "NEBL"), ("xt", "OAX")])
def test_the_pump_adds_up_to_its_row(exchange: str, base: str) -> None:
    row = row_for(exchange, base)
    played = play(exchange, base)
    # The market's ordinary trades come on top.
    assert quote_volume(played.trades) == pytest.approx(row.total_volume_pump_day, rel=0.06)
    market = World(UNIVERSE, seed=1, rate=8, start_at=START).markets[exchange][base]
    assert market.liquidity.daily_volume == row.avg_volume_7_days
    size = sum(float(trade.quantity) for trade in played.trades) / len(played.trades)
    ordinary = market.liquidity.order_value / market.liquidity.price
    if len(played.trades) > 100:
        # The mean price differs from the row's where the shape does not allow it.
        price = quote_volume(played.trades) / sum(float(trade.quantity) for trade in played.trades) / played.mids[-600]
        assert size * price == pytest.approx(ordinary * row.order_size_ratio * row.price_ratio, rel=0.12)


def test_small_buys_rise_before_the_release_and_sells_follow_the_peak() -> None:
    trades = play("kucoin", "VIA").trades
    buys = [trade for trade in trades if trade.side == "buy"]
    last, before = (
        sum(RELEASE - 1_800 < trade.at < RELEASE for trade in buys),
        sum(RELEASE - 3_600 < trade.at <= RELEASE - 1_800 for trade in buys),
    )
    assert last > 1.5 * before > 0
    early = [trade for trade in trades if trade.at < RELEASE]
    spike = [trade for trade in trades if RELEASE <= trade.at <= RELEASE + KUCOIN_SHAPE.seconds_to_peak]
    dump = [trade for trade in trades if trade.at > RELEASE + KUCOIN_SHAPE.seconds_to_peak]
    assert sum(trade.side == "buy" for trade in early) > 0.8 * len(early)
    assert sum(trade.side == "buy" for trade in spike) > 0.75 * len(spike)
    assert sum(trade.side == "sell" for trade in dump) > 0.65 * len(dump)
    assert quote_volume(spike) > quote_volume(early)


def test_a_pump_is_compressed_only_where_the_script_says_so() -> None:
    row = row_for("kucoin", "VIA")
    script = PumpScript("kucoin", "VIA", START + 60, row, KUCOIN_SHAPE.compressed(60))
    played = play("kucoin", "VIA", script, release=START + 60, until=60)
    top = max(played.mids, key=lambda second: played.mids[second])
    assert top == pytest.approx(1.49, abs=1)
    assert quote_volume(played.trades) == pytest.approx(row.total_volume_pump_day, rel=0.06)
    assert PumpScript("kucoin", "VIA", START, row).played_shape == KUCOIN_SHAPE


def test_whoever_applies_the_changes_of_a_pump_has_the_book() -> None:
    world = World(UNIVERSE, seed=1, rate=200, start_at=START)
    market = world.markets["poloniex"]["VIA"]
    world.schedule(PumpScript("poloniex", "VIA", START + 30, row_for("poloniex", "VIA"), POLONIEX_SHAPE.compressed(60)))
    bids, asks = dict(market.book(50)[0]), dict(market.book(50)[1])
    sequence = market.sequence
    for change in world.advance(START + 90):
        if change.market is not market:
            continue
        sequence += 1
        assert change.sequence == sequence
        for side, levels in ((bids, change.bids), (asks, change.asks)):
            for price, quantity in levels:
                if quantity == "0":
                    del side[price]
                else:
                    side[price] = quantity
        assert max(map(float, bids)) < min(map(float, asks))
    assert (bids, asks) == (dict(market.book(50)[0]), dict(market.book(50)[1]))


def test_a_pump_announced_late_is_bought_in_the_time_that_is_left() -> None:
    market = World(UNIVERSE, seed=1, rate=8, start_at=START).markets["kucoin"]["VIA"]
    row = row_for("kucoin", "VIA")
    orders = plan_orders(PumpScript("kucoin", "VIA", START + 100, row), market.liquidity, start_at=START, seed=1)
    assert START <= orders[0].at < START + 100
    assert sum(order.value for order in orders) == pytest.approx(row.total_volume_pump_day)
    assert [order.at for order in orders] == sorted(order.at for order in orders)
    assert sum(order.value > 0 for order in orders) <= MAX_ORDERS


def test_a_release_in_the_past_is_refused() -> None:
    world = World(UNIVERSE, seed=1, rate=8, start_at=START)
    with pytest.raises(ValueError, match="VIA on kucoin"):
        world.schedule(PumpScript("kucoin", "VIA", START - 1, row_for("kucoin", "VIA")))
    with pytest.raises(KeyError):
        world.schedule(PumpScript("kucoin", "NEVER", RELEASE, row_for("kucoin", "NEVER")))


def test_thin_exchanges_pump_like_poloniex() -> None:
    assert {exchange: shape_of(exchange) for exchange in ("kucoin", "mexc")} == {"kucoin": KUCOIN_SHAPE, "mexc": KUCOIN_SHAPE}
    assert {shape_of(exchange) for exchange in ("poloniex", "latoken", "xt")} == {POLONIEX_SHAPE}
