"""What the simulated exchanges sent against what the metric tables hold.

A frame that was sent near a boundary may have been received on either side of it; every other one has one bucket it belongs to. A bucket
that is flagged (a gap, no commit row, or a row marked as a gap) is not judged: nobody is told that it is right.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple, Protocol

import numpy as np
import polars as pl
import sqlalchemy as sa

from pnd_dagster.market.bucket_grid import read_blindness
from pnd_dagster.storage import read_frame
from pnd_dagster.tables import BUCKET_COMMITS, BUCKET_SECONDS, INSTRUMENTS, ORDER_BOOK_METRICS, TRADE_METRICS

KEYS = ["instrument_id", "bucket"]


class Sent(Protocol):
    """A ledger of what was sent."""

    def books(self) -> pl.DataFrame: ...

    def trades(self) -> pl.DataFrame: ...


class Totals(NamedTuple):
    """Books: by instrument and bucket. Trades: each.

    Attributes:
        sent: of the time that was collected, flagged buckets included.
        stored: rows, or trades in them, in buckets that are not flagged.
        lost: sent, not stored, and not flagged.
        duplicated: stored more often than sent.
        changed: stored otherwise than sent.
        in_gap: sent in a flagged bucket.
    """

    sent: int = 0
    stored: int = 0
    lost: int = 0
    duplicated: int = 0
    changed: int = 0
    in_gap: int = 0

    def __add__(self, other: object) -> Totals:
        assert isinstance(other, Totals)
        return Totals(*(ours + theirs for ours, theirs in zip(self, other, strict=True)))

    @property
    def wrong(self) -> int:
        """What is silently wrong."""
        return self.lost + self.duplicated + self.changed


class Reconciliation(NamedTuple):
    """Both ledgers' totals, and some of what is wrong, to look at."""

    books: Totals
    trades: Totals
    examples: pl.DataFrame

    def __str__(self) -> str:
        return "\n".join(
            f"{name:7}" + ", ".join(f"{field} {value:,}" for field, value in totals._asdict().items())
            for name, totals in (("books", self.books), ("trades", self.trades))
        )


def reconcile(ledger: Sent, engine: sa.Engine, *, edge_seconds: float = 0.3) -> Reconciliation:
    """Holds all that was stored against the ledger, from each exchange's first to its last commit.

    Args:
        ledger: what was sent.
        engine: the platform's database.
        edge_seconds: how near a boundary a frame may fall either side.
    """
    books, trades = Totals(), Totals()
    examples: list[pl.DataFrame] = []
    # In this order, so that all that was committed by now is in the ledger; what is committed meanwhile is left out.
    commits = read_frame(engine, sa.select(BUCKET_COMMITS.c.exchange, BUCKET_COMMITS.c.bucket_end_at))
    sent_books, sent_trades = ledger.books(), ledger.trades()
    for (exchange,), of_exchange in commits.group_by("exchange", maintain_order=True):
        ids = read_frame(
            engine,
            sa.select(INSTRUMENTS.c.instrument_id, INSTRUMENTS.c.base_symbol.label("base")).where(INSTRUMENTS.c.exchange == exchange),
        ).sort("instrument_id")
        first, last = of_exchange["bucket_end_at"].min(), of_exchange["bucket_end_at"].max()
        span = (first.timestamp() - BUCKET_SECONDS, last.timestamp())  # pyright: ignore
        blind = _flagged(engine, str(exchange), ids["instrument_id"].to_numpy(), span)
        of_books, wrong_books = _books(
            _ours(sent_books, exchange, ids, span), _stored(engine, ORDER_BOOK_METRICS, ids, last), blind, edge_seconds
        )
        of_trades, wrong_trades = _trades(
            _ours(sent_trades, exchange, ids, span), _stored(engine, TRADE_METRICS, ids, last), blind, edge_seconds
        )
        books, trades = books + of_books, trades + of_trades
        examples += [frame.with_columns(exchange=pl.lit(exchange)) for frame in (wrong_books, wrong_trades)]
    return Reconciliation(books, trades, pl.concat(examples, how="diagonal_relaxed") if examples else pl.DataFrame())


def _ours(sent: pl.DataFrame, exchange: object, ids: pl.DataFrame, span: tuple[float, float]) -> pl.DataFrame:
    mine = sent.filter(pl.col("exchange").cast(pl.String) == exchange, pl.col("sent_at") > span[0], pl.col("sent_at") <= span[1])
    return mine.with_columns(pl.col("base").cast(pl.String)).join(ids, on="base").with_columns(bucket=_bucket(pl.col("sent_at")))


def _bucket(at: pl.Expr) -> pl.Expr:
    return ((at / BUCKET_SECONDS).ceil() * BUCKET_SECONDS).cast(pl.Int64)


def _stored(engine: sa.Engine, table: sa.Table, ids: pl.DataFrame, last: object) -> pl.DataFrame:
    wanted = ("mid_price", "order_book_pressure") if table is ORDER_BOOK_METRICS else ("trade_count", "volume")
    columns = (table.c[name] for name in ("instrument_id", "bucket_end_at", *wanted, "is_gap"))
    rows = read_frame(engine, sa.select(*columns).where(table.c.bucket_end_at <= last))
    return rows.filter(pl.col("instrument_id").is_in(ids["instrument_id"].implode())).with_columns(
        bucket=pl.col("bucket_end_at").dt.epoch("s")
    )


def _flagged(engine: sa.Engine, exchange: str, ids: np.ndarray, span: tuple[float, float]) -> pl.DataFrame:
    """Instruments and buckets that nobody is told are right."""
    start = span[0]
    is_blind = read_blindness(engine, exchange, ids, *(datetime.fromtimestamp(at, UTC) for at in span))
    rows, columns = np.nonzero(is_blind)
    buckets = (round(start) + (columns + 1) * BUCKET_SECONDS).astype(np.int64)
    return pl.DataFrame({"instrument_id": ids[rows], "bucket": buckets}, schema={"instrument_id": pl.Int64, "bucket": pl.Int64})


def _books(sent: pl.DataFrame, stored: pl.DataFrame, blind: pl.DataFrame, edge: float) -> tuple[Totals, pl.DataFrame]:
    blind = pl.concat([blind, stored.filter("is_gap").select(KEYS)]).unique()
    pressure = pl.col("bid_quantity") / (pl.col("bid_quantity") + pl.col("ask_quantity"))
    sent = sent.select(*KEYS, "sent_at", "mid_price", pressure=pressure).sort("sent_at")
    to_end, from_start = pl.col("bucket") - pl.col("sent_at"), pl.col("sent_at") - (pl.col("bucket") - BUCKET_SECONDS)
    last = sent.filter(to_end >= edge).group_by(KEYS, maintain_order=True).last()
    late = sent.filter(to_end < edge)
    allowed = pl.concat(
        [
            last,
            late,
            # Sent just before the boundary and received after it; counts only where nothing followed.
            late.with_columns(pl.col("bucket") + BUCKET_SECONDS).join(last, on=KEYS, how="anti"),
            sent.filter(from_start < edge).with_columns(pl.col("bucket") - BUCKET_SECONDS),
        ]
    )
    expected = sent.filter(to_end >= edge, from_start >= edge).select(KEYS).unique()
    judged = stored.join(blind, on=KEYS, how="anti")
    lost = expected.join(blind, on=KEYS, how="anti").join(stored, on=KEYS, how="anti")
    # A book without metrics says so itself.
    measured = judged.filter(pl.col("mid_price").is_not_null())
    is_same = ((pl.col("mid_price") / pl.col("mid_sent") - 1).abs() < 1e-9) & (
        (pl.col("order_book_pressure") - pl.col("pressure")).abs() < 1e-5
    )
    matched = measured.join(allowed.rename({"mid_price": "mid_sent"}), on=KEYS).filter(is_same).select(KEYS).unique()
    changed = measured.join(matched, on=KEYS, how="anti")
    totals = Totals(
        sent=expected.height,
        stored=judged.height,
        lost=lost.height,
        duplicated=stored.height - stored.select(KEYS).n_unique(),
        changed=changed.height,
        in_gap=expected.join(blind, on=KEYS, how="semi").height,
    )
    wrong = [lost.with_columns(what=pl.lit("lost book")), changed.with_columns(what=pl.lit("changed book"))]
    return totals, pl.concat(wrong, how="diagonal_relaxed").head(20)


def _trades(sent: pl.DataFrame, stored: pl.DataFrame, blind: pl.DataFrame, edge: float) -> tuple[Totals, pl.DataFrame]:
    blind = pl.concat([blind, stored.filter("is_gap").select(KEYS)]).unique()
    # What a fault sent twice is one trade.
    sent = sent.sort("sent_at").unique(["instrument_id", "trade_id"], keep="first", maintain_order=True)
    to_end, from_start = pl.col("bucket") - pl.col("sent_at"), pl.col("sent_at") - (pl.col("bucket") - BUCKET_SECONDS)
    figures = (pl.len().cast(pl.Int64).alias("n"), pl.col("quantity").sum().alias("quantity"))
    sure = sent.filter(to_end >= edge, from_start >= edge).group_by(KEYS).agg(figures)
    early, late = sent.filter(from_start < edge), sent.filter(to_end < edge)
    either = (
        pl.concat(
            [early, late, early.with_columns(pl.col("bucket") - BUCKET_SECONDS), late.with_columns(pl.col("bucket") + BUCKET_SECONDS)]
        )
        .group_by(KEYS)
        .agg(figures)
    )
    rows = stored.select(*KEYS, stored_n=pl.col("trade_count").cast(pl.Int64), stored_quantity=pl.col("volume").cast(pl.Float64))
    both = (
        sure.join(either, on=KEYS, how="full", coalesce=True, suffix="_edge")
        .join(rows, on=KEYS, how="full", coalesce=True)
        .fill_null(0)
        .join(blind, on=KEYS, how="anti")
    )
    missing = (pl.col("n") - pl.col("stored_n")).clip(0)
    surplus = (pl.col("stored_n") - pl.col("n") - pl.col("n_edge")).clip(0)
    slack = 1e-5 * (pl.col("quantity") + pl.col("quantity_edge")) + 1e-12
    is_in_bounds = (pl.col("stored_quantity") >= pl.col("quantity") - slack) & (
        pl.col("stored_quantity") <= pl.col("quantity") + pl.col("quantity_edge") + slack
    )
    wrong = both.filter((missing > 0) | (surplus > 0) | ~is_in_bounds)
    changed = both.filter(missing == 0, surplus == 0, ~is_in_bounds)
    totals = Totals(
        sent=sent.height,
        stored=int(both["stored_n"].sum()),
        lost=int(both.select(missing.sum()).item()),
        duplicated=int(both.select(surplus.sum()).item()),
        changed=int(changed["stored_n"].sum()),
        in_gap=sent.join(blind, on=KEYS, how="semi").height,
    )
    return totals, wrong.with_columns(what=pl.lit("wrong trades")).head(20)
