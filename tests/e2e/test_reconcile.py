"""The reconciliation finds what is wrong, and nothing else. Two instruments, three buckets, all times in 5 s buckets from START."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.market.metric_store import gap_row, write_tick
from pnd_dagster.market.shards import Shard
from pnd_dagster.market.tick import Tick
from pnd_dagster.storage.leases import acquire
from pnd_dagster.tables import INSTRUMENTS, ORDER_BOOK_METRICS, TRADE_METRICS, conform
from tests.e2e.reconcile import reconcile

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
WHOLE = Shard(1, 1)
IDS = {"AAA": 11, "BBB": 12}


class Ledger:
    def __init__(self) -> None:
        self.book_rows: list[dict[str, object]] = []
        self.trade_rows: list[dict[str, object]] = []

    def book(self, base: str, at: float, mid: float) -> None:
        row = {"mid_price": mid, "bid_quantity": 3.0, "ask_quantity": 1.0}
        self.book_rows.append({"exchange": "kucoin", "base": base, "sent_at": START.timestamp() + at, **row})

    def trade(self, base: str, at: float, trade_id: int, quantity: float = 2.0) -> None:
        row = {"trade_id": trade_id, "quantity": quantity}
        self.trade_rows.append({"exchange": "kucoin", "base": base, "sent_at": START.timestamp() + at, **row})

    def books(self) -> pl.DataFrame:
        return pl.DataFrame(self.book_rows)

    def trades(self) -> pl.DataFrame:
        return pl.DataFrame(self.trade_rows)


def usual_ledger() -> Ledger:
    """A book at 2 s and the last at 4 s of each bucket, and a trade at 3 s; in the second bucket a book near its end, too."""
    ledger = Ledger()
    for place in range(3):
        for base in IDS:
            ledger.book(base, 5 * place + 2, 99.0)
            ledger.book(base, 5 * place + 4, 100.0 + place)
            ledger.trade(base, 5 * place + 3, place * 10 + IDS[base])
    ledger.book("AAA", 9.9, 555.0)
    return ledger


@pytest.fixture
def write(engine: sa.Engine):
    """Writes the ticks of `usual_ledger`, after `change` had its way with the book and trade rows of the second."""
    lease = acquire(engine, "collect:kucoin:1/1", "me", 60)
    assert lease
    row = {"exchange": "kucoin", "quote_symbol": "USDT", "base_id": "x", "quote_id": "y", "is_derivative": False, "valid_from": START}
    with engine.begin() as connection:
        for base, instrument_id in IDS.items():
            named = {"instrument_id": instrument_id, "market_id": base, "symbol": f"{base}/USDT", "base_symbol": base}
            connection.execute(sa.insert(INSTRUMENTS).values(**row, **named))

    def ticks(books_change=lambda rows: rows, trades_change=lambda rows: rows, *, gap: bool = False) -> None:
        for place in range(3):
            end = START + timedelta(seconds=5 * (place + 1))
            books = pl.DataFrame({"instrument_id": list(IDS.values())}).with_columns(
                bucket_end_at=pl.lit(end),
                mid_price=pl.lit(100.0 + place),
                order_book_pressure=pl.lit(0.75, pl.Float32),
                bid_levels=2,
                ask_levels=2,
                update_count=2,
                is_gap=False,
            )
            trades = pl.DataFrame({"instrument_id": list(IDS.values())}).with_columns(
                bucket_end_at=pl.lit(end), trade_count=1, volume=pl.lit(2.0, pl.Float32), is_gap=False
            )
            if place == 1:
                books, trades = books_change(books), trades_change(trades)
            span = gap_row("kucoin", WHOLE, list(IDS.values()) if gap and place == 1 else [], end - timedelta(seconds=1), end, "silent")
            names = ("watched", "blind", "book_updates", "trades", "unusable_books", "rejected_frames", "duplicates")
            tick = Tick(
                end,
                conform(books, ORDER_BOOK_METRICS),
                conform(trades, TRADE_METRICS),
                span,
                {**dict.fromkeys(names, 0), "watched": 2, "is_gap": gap},
            )
            assert write_tick(engine, lease, "kucoin", WHOLE, tick)

    return ticks


def only_first(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.head(1)


def other_price(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(mid_price=pl.lit(99.0))


def test_what_was_stored_as_it_was_sent_is_right_and_a_book_near_the_boundary_may_fall_on_either_side(engine: sa.Engine, write) -> None:
    write(lambda rows: rows.with_columns(mid_price=pl.when(instrument_id=11).then(555.0).otherwise("mid_price")))
    found = reconcile(usual_ledger(), engine)
    assert found.books._asdict() == {"sent": 6, "stored": 6, "lost": 0, "duplicated": 0, "changed": 0, "in_gap": 0}
    assert found.trades._asdict() == {"sent": 6, "stored": 6, "lost": 0, "duplicated": 0, "changed": 0, "in_gap": 0}


def test_a_missing_row_is_lost_and_an_older_book_is_changed(engine: sa.Engine, write) -> None:
    write(lambda rows: other_price(only_first(rows)), only_first)
    found = reconcile(usual_ledger(), engine)
    assert (found.books.lost, found.books.changed, found.trades.lost) == (1, 1, 1)
    assert found.books.wrong == 2
    assert set(found.examples["what"]) == {"lost book", "changed book", "wrong trades"}


def test_a_trade_counted_twice_is_duplicated_and_another_quantity_is_changed(engine: sa.Engine, write) -> None:
    write(trades_change=lambda rows: rows.with_columns(trade_count=pl.when(instrument_id=11).then(2).otherwise(1), volume=4.0))
    found = reconcile(usual_ledger(), engine)
    assert (found.trades.duplicated, found.trades.changed) == (1, 1)


def test_what_lies_in_a_gap_is_not_judged(engine: sa.Engine, write) -> None:
    write(lambda rows: other_price(only_first(rows)), only_first, gap=True)
    found = reconcile(usual_ledger(), engine)
    assert found.books._asdict() == {"sent": 6, "stored": 4, "lost": 0, "duplicated": 0, "changed": 0, "in_gap": 2}
    assert (found.trades.wrong, found.trades.in_gap) == (0, 2)


def test_a_bucket_without_a_commit_row_is_a_gap(engine: sa.Engine, write) -> None:
    write()
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM core.bucket_commits WHERE bucket_end_at = '2026-03-01 12:00:10+00'")
        connection.exec_driver_sql("DELETE FROM core.order_book_metrics WHERE bucket_end_at = '2026-03-01 12:00:10+00'")
    found = reconcile(usual_ledger(), engine)
    assert (found.books.wrong, found.books.in_gap) == (0, 2)
