"""The ledger: everything that was recorded comes out again, from memory and from disk."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pnd_dagster.simulator.exchanges.book import book_hash
from pnd_dagster.simulator.exchanges.ledger import Ledger
from pnd_dagster.simulator.exchanges.world import World
from pnd_dagster.simulator.universe import make_universe

START = 1_750_000_000.0


def make_world() -> World:
    return World(make_universe(7, 60), seed=1, rate=500, start_at=START)


def test_every_book_that_was_sent_is_in_the_ledger() -> None:
    world, ledger, sent = make_world(), Ledger(), []
    # More than fits into memory at once.
    while len(sent) < 40_000:
        for change in world.advance(world_time(len(sent))):
            market = change.market
            ledger.book(market, change.at, connection=len(sent) % 7)
            mid, bids, asks, *_ = market.summary()
            sent.append((market.exchange, market.base, len(sent) % 7, market.sequence, change.at, mid, bids, asks))
    books = ledger.books()
    assert books.select("exchange", "base", "connection", "sequence", "sent_at", "mid_price", "bid_quantity", "ask_quantity").rows() == sent
    assert len(ledger) == len(sent)


def world_time(sent: int) -> float:
    return START + 1 + sent / 500


def test_a_summary_says_what_the_printed_book_says() -> None:
    world, ledger = make_world(), Ledger()
    market = world.advance(START + 1)[-1].market
    ledger.book(market, START + 1)
    ledger.book(market, START + 1, depth=5)
    for row, depth in zip(ledger.books().iter_rows(named=True), (20, 5), strict=True):
        bids, asks = market.book(depth)
        assert row["mid_price"] == (float(bids[0][0]) + float(asks[0][0])) / 2
        assert row["bid_quantity"] == pytest.approx(sum(float(quantity) for _, quantity in bids), rel=1e-12)
        assert row["ask_quantity"] == pytest.approx(sum(float(quantity) for _, quantity in asks), rel=1e-12)
        assert (row["bid_levels"], row["ask_levels"]) == (len(bids), len(asks))
        assert row["hash"] == book_hash(bids, asks)


def test_trades_and_faults_are_kept_as_they_were_sent(tmp_path: Path) -> None:
    world, ledger = make_world(), Ledger()
    sent = []
    for change in world.advance(START + 5):
        if change.trade:
            ledger.trade(change.market, change.trade, change.at, connection=2)
            trade = change.trade
            sent.append((change.market.exchange, change.market.base, trade.trade_id, float(trade.price), float(trade.quantity), trade.side))
    ledger.fault("drop", START, exchange="mexc", bases=["VIA", "OAX"], connection=4, detail="3 frames")
    ledger.write(tmp_path / "ledger")
    trades = pl.read_parquet(tmp_path / "ledger" / "trades.parquet")
    assert trades.select("exchange", "base", "trade_id", "price", "quantity", "side").rows() == sent
    assert len(sent) > 50
    assert pl.read_parquet(tmp_path / "ledger" / "faults.parquet").rows() == [("drop", 4, "mexc", ["VIA", "OAX"], START, "3 frames")]
    assert pl.read_parquet(tmp_path / "ledger" / "books.parquet").is_empty()


def test_the_hash_tells_books_apart() -> None:
    bids, asks = [("1.00", "2.0")], [("1.01", "3.0")]
    assert book_hash(bids, asks) == book_hash(bids, asks)
    assert book_hash(bids, asks) != book_hash(bids, [("1.01", "3.1")])
    assert book_hash(bids, asks) != book_hash(asks, bids)
