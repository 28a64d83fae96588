"""A closed bucket as rows: metrics of books and trades, gaps, and what its commit row counts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import polars as pl
import polars.selectors as cs

from pnd_dagster.market.book_frames import Levels, read_books
from pnd_dagster.market.book_metrics import Booleans, Floats, Integers, book_metrics, empty_books, usable_books
from pnd_dagster.market.gaps import GapBook
from pnd_dagster.market.order_flow import best_level_flow
from pnd_dagster.market.state import NOBODY, QUOTE, TRADE, UNWATCHED, ClosedBucket
from pnd_dagster.market.trade_metrics import Trades, trade_metrics
from pnd_dagster.tables import BOOK_LEVELS, ORDER_BOOK_METRICS, TRADE_METRICS, conform

UNREADABLE = "refused"


class Tick(NamedTuple):
    """A bucket, ready to be written.

    Attributes:
        bucket_end_at: its end.
        books: rows of core.order_book_metrics, one per instrument a book came for.
        trades: rows of core.trade_metrics, one per instrument that traded.
        gaps: rows of core.feed_gaps that began or ended, to be upserted.
        counts: columns of core.bucket_commits: watched, blind, book_rows, trade_rows, book_updates, trades, unusable_books,
            rejected_frames, duplicates, is_gap.
    """

    bucket_end_at: datetime
    books: pl.DataFrame
    trades: pl.DataFrame
    gaps: pl.DataFrame
    counts: dict[str, int | bool]


class TickComputer:
    """Makes rows of one shard's buckets, one after the other in the order of time; it carries what a bucket needs of those before.

    Args:
        exchange: canonical id.
        shard: i/n.
        levels: the feed's reader of frames.
    """

    def __init__(self, exchange: str, shard: str, levels: Levels) -> None:
        self._levels = levels
        self._gaps = GapBook(exchange, shard)
        self._unseen: set[int] = set()
        self._unreadable: set[int] = set()
        self._ids: Integers = np.zeros(0, np.int64)
        self._books = empty_books(0, BOOK_LEVELS)
        self._last_quotes: Floats = np.zeros((0, 4))
        self._last_vwaps: Floats = np.zeros(0)
        self._read_at: Floats = np.zeros(0)

    def compute(self, bucket: ClosedBucket) -> Tick:
        """The bucket's rows. An instrument that was out of sight in any part of the bucket is flagged, and so are all of an irregular one.

        A book that cannot be read at the bucket's end leaves NULL metrics, and a gap until the next one that can.
        """
        self._seat(bucket.instrument_ids)
        blind_ids = self._follow(bucket)
        is_blind = np.isin(self._ids, np.fromiter(blind_ids, np.int64, len(blind_ids)))
        # What was known before a gap is not what a trade or a return can be held against.
        self._books.bid_levels[is_blind] = 0
        self._last_vwaps[is_blind] = np.nan

        trades, refused_trades = self._trades(bucket)
        traded, trade_columns = trade_metrics(trades, self._last_vwaps, self._books)
        self._last_vwaps[traded] = trade_columns.get("vwap", np.zeros(0))

        flow, updates, received_at = self._updates(bucket)
        slots = np.array(sorted(slot for slot in bucket.frames if self._is_watched(slot)), np.int64)
        books, is_read = read_books([bucket.frames[slot] for slot in slots.tolist()], self._levels)
        self._judge(bucket, slots, is_read, received_at)
        is_blind[slots[~is_read]] = True
        is_blind |= bucket.is_irregular
        is_blind &= self._ids != NOBODY
        for carried, new in zip(self._books, books, strict=True):
            carried[slots] = new

        usable = usable_books(books)
        end_at = datetime.fromtimestamp(bucket.bucket_end, UTC)
        book_columns = {
            **book_metrics(books),
            "best_level_flow": np.where(usable, flow[slots], np.nan),
            "bid_levels": books.bid_levels,
            "ask_levels": books.ask_levels,
            "update_count": updates[slots],
        }
        watched, blind = int((self._ids != NOBODY).sum()), int(is_blind.sum())
        return Tick(
            end_at,
            conform(self._frame(end_at, slots, book_columns, is_blind), ORDER_BOOK_METRICS),
            conform(self._frame(end_at, traded, trade_columns, is_blind), TRADE_METRICS),
            self._gaps.rows(),
            {
                "watched": watched,
                "blind": blind,
                "book_rows": len(slots),
                "trade_rows": len(traded),
                "book_updates": int(updates.sum()),
                "trades": len(trades.slots),
                "unusable_books": int((is_read & ~usable).sum()),
                "rejected_frames": bucket.rejected_frames + int((~is_read).sum()) + refused_trades,
                "duplicates": bucket.duplicates,
                "is_gap": blind > 0,
            },
        )

    def _seat(self, ids: Integers) -> None:
        """Makes room for new slots, and forgets what slots carried for another instrument."""
        if ids is self._ids:
            return
        count, known = len(ids), min(len(ids), len(self._ids))
        same = np.flatnonzero(ids[:known] == self._ids[:known])
        books, last_quotes = empty_books(count, BOOK_LEVELS), np.full((count, 4), np.nan)
        last_vwaps, read_at = np.full(count, np.nan), np.full(count, np.nan)
        for new, old in zip(books, self._books, strict=True):
            new[same] = old[same]
        last_quotes[same], last_vwaps[same], read_at[same] = self._last_quotes[same], self._last_vwaps[same], self._read_at[same]
        self._ids, self._books = ids, books
        self._last_quotes, self._last_vwaps, self._read_at = last_quotes, last_vwaps, read_at

    def _follow(self, bucket: ClosedBucket) -> set[int]:
        """Takes the bucket's sight events in; the instruments that were out of sight in any part of it."""
        blind = self._gaps.open_ids()
        for event in bucket.events:
            if event.reason is None:
                self._unseen.difference_update(event.instrument_ids)
                self._gaps.end((i for i in event.instrument_ids if i not in self._unreadable), event.at)
                continue
            if event.reason == UNWATCHED:
                self._unreadable.difference_update(event.instrument_ids)
            self._unseen.update(event.instrument_ids)
            self._gaps.open(event.instrument_ids, event.at, event.reason)
            blind.update(event.instrument_ids)
        return blind

    def _judge(self, bucket: ClosedBucket, slots: Integers, is_read: Booleans, received_at: Floats) -> None:
        """Opens a gap for books that cannot be read, and ends it with the next one that can."""
        for slot in slots[~is_read].tolist():
            instrument_id, read_at = int(self._ids[slot]), float(self._read_at[slot])
            self._unreadable.add(instrument_id)
            since = read_at if np.isfinite(read_at) else float(received_at[slot])
            self._gaps.open([instrument_id], min(since, bucket.bucket_end), UNREADABLE)
        if self._unreadable:
            for slot in slots[is_read].tolist():
                instrument_id = int(self._ids[slot])
                if instrument_id in self._unreadable:
                    self._unreadable.remove(instrument_id)
                    if instrument_id not in self._unseen:
                        self._gaps.end([instrument_id], float(received_at[slot]))
        readable = slots[is_read]
        self._read_at[readable] = received_at[readable]

    def _updates(self, bucket: ClosedBucket) -> tuple[Floats, Integers, Floats]:
        """Order flow, number of books, and receipt of the last one, [slots] each."""
        quotes = np.frombuffer(bucket.quotes, np.float64).reshape(-1, QUOTE.size // 8)
        slots = quotes[:, 0].astype(np.int64)
        is_break = slots < 0
        slots = np.where(is_break, -1 - slots, slots)
        is_known = self._is_known(slots)
        quotes, slots, is_break = quotes[is_known], slots[is_known], is_break[is_known]
        flow = best_level_flow(slots, quotes[:, 2:], self._last_quotes)
        received_at = np.full(len(self._ids), np.nan)
        received_at[slots[~is_break]] = quotes[~is_break, 1]
        return flow, np.bincount(slots[~is_break], minlength=len(self._ids)), received_at

    def _trades(self, bucket: ClosedBucket) -> tuple[Trades, int]:
        """The bucket's trades of watched instruments, and how many were absurd."""
        records = np.frombuffer(bucket.trades, np.float64).reshape(-1, TRADE.size // 8)
        records = records[self._is_known(records[:, 0].astype(np.int64))]
        is_sound = (np.isfinite(records[:, 1:3]) & (records[:, 1:3] > 0)).all(axis=1)
        slots, prices, quantities, sides = records[is_sound].T
        return Trades(slots.astype(np.int64), prices, quantities, sides.astype(np.int64)), int((~is_sound).sum())

    def _is_known(self, slots: Integers) -> Booleans:
        """Which slots are those of a watched instrument: frames of one that left may still have been under way."""
        is_there = slots < len(self._ids)
        is_there[is_there] = self._ids[slots[is_there]] != NOBODY
        return is_there

    def _is_watched(self, slot: int) -> bool:
        return slot < len(self._ids) and int(self._ids[slot]) != NOBODY

    def _frame(self, end_at: datetime, slots: Integers, columns: dict[str, np.ndarray], is_blind: Booleans) -> pl.DataFrame:
        frame = pl.DataFrame({"instrument_id": self._ids[slots], **columns, "is_gap": is_blind[slots]})
        return frame.with_columns(cs.float().fill_nan(None), pl.lit(end_at).alias("bucket_end_at"))
