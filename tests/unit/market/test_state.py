"""From what a feed puts into the sink to the rows of a tick."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.market.feeds.protocol import BUY, SELL, FrameError, Level, Sink
from pnd_dagster.market.state import Instrument, MarketState, first_end
from pnd_dagster.market.tick import Tick, TickComputer
from pnd_dagster.storage import read_frame, upsert
from pnd_dagster.tables import BUCKET_COMMITS, FEED_GAPS, ORDER_BOOK_METRICS, TRADE_METRICS, conform, polars_schema

START = 1_800_000_000.0  # a bucket's end
A, B, C = (Instrument(number, f"{name}/USDT", f"{name}-USDT", name, "USDT") for number, name in ((11, "A"), (12, "B"), (13, "C")))
Frame = tuple[Sequence[Level], Sequence[Level]]


def levels(frame: object) -> Frame:
    """Frames of these tests are the levels themselves, or the reason why they cannot be read."""
    if isinstance(frame, str):
        raise FrameError(frame)
    return cast(Frame, frame)


def a_book(bid: float = 10.0, ask: float = 11.0, quantity: float = 2.0) -> Frame:
    return [(bid, quantity), (bid - 1, 1.0)], [(ask, quantity), (ask + 1, 1.0)]


class Collector:
    """A state and what computes its ticks, with two coins in sight from the start."""

    def __init__(self, *, sighted: bool = True) -> None:
        self.state = MarketState(START)
        self.computer = TickComputer("kucoin", "1/1", levels)
        self.end = START
        self.slots = {listing.instrument_id: listing.slot for listing in self.state.assign([A, B], START)}
        self.tick()
        if sighted:
            self.put(A, a_book())
            self.put(B, a_book(100.0, 101.0))
            self.state.sighted([0, 1], self.end - 4)
            self.tick()

    def put(self, instrument: Instrument, frame: object, at: float | None = None) -> None:
        bid, ask = (side[0] if side else (math.nan, math.nan) for side in (frame if isinstance(frame, tuple) else a_book()))
        self.state.book(self.slots[instrument.instrument_id], *bid, *ask, frame, self.end - 3 if at is None else at)

    def trade(self, instrument: Instrument, price: float, quantity: float, side: int = BUY, at: float | None = None) -> None:
        self.state.trade(self.slots[instrument.instrument_id], price, quantity, side, self.end - 2 if at is None else at)

    def tick(self) -> Tick:
        found = self.computer.compute(self.state.close(self.end))
        self.end += 5
        return found


def row(frame: pl.DataFrame, instrument: Instrument = A) -> dict[str, object]:
    return frame.row(by_predicate=pl.col("instrument_id") == instrument.instrument_id, named=True)


def test_the_state_is_a_sink() -> None:
    sink: Sink = MarketState(START)
    assert sink is not None


def test_a_tick_has_rows_only_for_what_happened_and_the_columns_of_its_tables() -> None:
    collector = Collector()
    collector.put(A, a_book(9.0, 11.0, 5.0))
    collector.put(A, a_book(10.0, 12.0, 4.0))
    collector.trade(B, 101.0, 1.5)
    collector.trade(B, 100.0, 0.5, SELL)

    tick = collector.tick()

    assert tick.bucket_end_at == datetime.fromtimestamp(START + 10, UTC)
    assert tick.books.schema == polars_schema(ORDER_BOOK_METRICS)
    assert tick.trades.schema == polars_schema(TRADE_METRICS)
    book, trades = row(tick.books), row(tick.trades, B)
    assert (tick.books.height, tick.trades.height, tick.gaps.height) == (1, 1, 0)
    assert (book["mid_price"], book["bid_ask_spread"], book["bid_levels"], book["update_count"], book["is_gap"]) == (11.0, 2.0, 2, 2, False)
    # First the bid falls (-2) and the ask grows from 2 to 5 (-3), then the bid rises to one of 4 and the ask of 5 goes.
    assert book["best_level_flow"] == -2 - 3 + 4 + 5
    assert (trades["volume"], trades["taker_imbalance"], trades["vwap"]) == (2.0, 0.5, pytest.approx(100.75))
    assert trades["vwap_log_return"] is None
    assert trades["walk_impact"] == 0.0
    assert {name: tick.counts[name] for name in ("watched", "blind", "book_rows", "trade_rows", "book_updates", "trades")} == {
        "watched": 2, "blind": 0, "book_rows": 1, "trade_rows": 1, "book_updates": 2, "trades": 2,
    }  # fmt: skip
    assert set(tick.counts) <= set(BUCKET_COMMITS.c.keys())


def test_a_message_belongs_to_the_bucket_in_which_it_was_received() -> None:
    collector = Collector()
    boundary = collector.end
    collector.put(B, a_book(), at=boundary)
    collector.trade(A, 10.0, 1.0, at=boundary)
    collector.trade(A, 10.0, 2.0, at=boundary + 0.01)
    collector.put(A, a_book(5.0, 6.0), at=boundary + 0.02)

    before, after = collector.tick(), collector.tick()

    assert first_end(boundary) == boundary
    assert row(before.trades)["volume"] == 1.0
    assert before.books["instrument_id"].to_list() == [12]
    assert before.counts["is_gap"] is False
    assert row(after.trades)["volume"] == 2.0
    assert row(after.books)["mid_price"] == 5.5


def test_returns_and_walks_are_held_against_the_buckets_before() -> None:
    collector = Collector()
    collector.trade(A, 10.0, 1.0)
    collector.tick()
    collector.tick()
    # Eats the two at 11 and one unit less than all at 12, of the book before; the new book does not count.
    collector.trade(A, 20.0, 2.5)
    collector.put(A, a_book(20.0, 21.0))

    trades = row(collector.tick().trades)

    assert trades["vwap_log_return"] == pytest.approx(math.log(2))
    assert trades["walk_impact"] == pytest.approx(1 / 11)


def test_an_empty_one_sided_or_crossed_book_has_a_row_without_metrics_and_is_counted() -> None:
    collector = Collector()
    collector.put(A, ([], a_book()[1]))
    collector.put(B, a_book(102.0, 103.0))
    collector.put(B, a_book(101.0, 100.0))

    tick = collector.tick()

    assert tick.counts["unusable_books"] == 2
    assert tick.counts["rejected_frames"] == 0
    assert row(tick.books)["mid_price"] is row(tick.books, B)["best_level_flow"] is None
    assert (row(tick.books)["bid_levels"], row(tick.books)["ask_levels"], row(tick.books)["is_gap"]) == (0, 2, False)


@pytest.mark.parametrize(
    "frame",
    ["garbage", ([(math.nan, 1.0)], [(11.0, 1.0)]), ([(10.0, -1.0)], [(11.0, 1.0)]), ([(9.0, 1.0), (10.0, 1.0)], [(11.0, 1.0)])],
    ids=["refused", "nan", "negative", "out of order"],
)
def test_a_book_that_cannot_be_read_is_a_flagged_row_and_a_gap_until_the_next_that_can(frame: object) -> None:
    collector = Collector()
    last_seen, refused = collector.end - 8, collector.end - 3
    collector.put(A, frame, at=refused)
    (
        broken,
        still,
    ) = collector.tick(), collector.tick()
    collector.put(A, a_book(), at=collector.end - 1)
    mended, after = collector.tick(), collector.tick()

    assert (row(broken.books)["mid_price"], row(broken.books)["is_gap"], broken.counts["rejected_frames"]) == (None, True, 1)
    assert [tick.counts["blind"] for tick in (broken, still, mended, after)] == [1, 1, 1, 0]
    assert row(mended.books)["mid_price"] == 10.5
    (gap,) = broken.gaps.rows(named=True)
    assert (gap["instrument_ids"], gap["started_at"].timestamp(), gap["ended_at"]) == ([11], last_seen, None)
    assert [gap["gap_id"]] == mended.gaps["gap_id"].to_list()
    assert mended.gaps["ended_at"][0].timestamp() == refused + 12


def test_a_book_that_cannot_be_read_stays_out_of_sight_when_its_connection_comes_back() -> None:
    collector = Collector()
    collector.put(A, "garbage")
    collector.tick()
    collector.state.blind([0], collector.end - 4, "disconnected")
    collector.state.sighted([0], collector.end - 1)

    assert [collector.tick().counts["blind"] for _ in range(2)] == [1, 1]


def test_every_instrument_is_out_of_sight_until_its_first_book(engine: sa.Engine) -> None:
    collector = Collector(sighted=False)
    collector.put(A, a_book())
    collector.state.sighted([0], collector.end - 1)
    ticks = [collector.tick(), collector.tick()]
    collector.state.sighted([1], collector.end - 2)
    ticks += [collector.tick(), collector.tick()]

    assert [tick.counts["blind"] for tick in ticks] == [2, 1, 1, 0]
    assert row(ticks[0].books)["is_gap"] is True
    for tick in ticks:
        upsert(engine, FEED_GAPS, tick.gaps)
    stored = read_frame(engine, sa.select(FEED_GAPS).order_by(FEED_GAPS.c.ended_at))
    assert stored["instrument_ids"].to_list() == [[11], [12]]
    assert set(stored["reason"]) == {"start"}
    assert [at.timestamp() - START for at in stored["ended_at"]] == [4.0, 13.0]


def test_what_came_before_a_gap_is_held_against_nothing_after_it() -> None:
    collector = Collector()
    collector.trade(A, 10.0, 1.0)
    collector.tick()
    collector.state.blind([0], collector.end - 4, "disconnected")
    blind = collector.tick()
    collector.put(A, a_book(30.0, 31.0))
    collector.trade(A, 30.0, 1.0)
    collector.state.sighted([0], collector.end - 1)

    seen = collector.tick()

    assert blind.counts["is_gap"] is True
    assert blind.gaps["reason"].to_list() == ["disconnected"]
    assert row(seen.books)["best_level_flow"] is None
    assert (row(seen.trades)["vwap_log_return"], row(seen.trades)["walk_impact"], row(seen.trades)["is_gap"]) == (None, None, True)


def test_a_gap_that_is_noticed_late_flags_the_bucket_in_which_it_began_while_that_is_open() -> None:
    collector = Collector()
    began = collector.end - 1
    collector.put(A, a_book(), at=began - 1)
    collector.put(B, a_book(), at=collector.end + 1)
    collector.state.blind([0], began, "silent")

    tick = collector.tick()

    assert row(tick.books)["is_gap"] is True
    assert tick.gaps["started_at"][0].timestamp() == began


def test_parts_of_a_gap_that_end_at_different_times_leave_no_stale_row(engine: sa.Engine) -> None:
    state, computer = MarketState(START), TickComputer("kucoin", "1/1", levels)
    state.assign([A, B, C], START)
    ticks = [computer.compute(state.close(START))]
    for place, slot in enumerate((1, 0, 2), start=1):
        state.sighted([slot], START + 5 * place - 1)
        ticks.append(computer.compute(state.close(START + 5 * place)))

    lasting: list[list[int]] = []
    for tick in ticks:
        upsert(engine, FEED_GAPS, tick.gaps)
        still = read_frame(engine, sa.select(FEED_GAPS.c.instrument_ids).where(FEED_GAPS.c.ended_at.is_(None)))
        lasting += still["instrument_ids"].to_list()

    stored = read_frame(engine, sa.select(FEED_GAPS).order_by(FEED_GAPS.c.ended_at))
    assert lasting == [[11, 12, 13], [11, 13], [13]]
    assert stored["instrument_ids"].to_list() == [[12], [11], [13]]
    assert stored["ended_at"].null_count() == 0


def test_who_stays_on_the_list_keeps_slot_and_sight_and_a_free_slot_is_not_mixed_up() -> None:
    collector = Collector()
    collector.put(B, a_book(100.0, 101.0))
    listings = collector.state.assign([A, C], collector.end - 1)
    collector.state.book(1, 1.0, 1.0, 2.0, 1.0, a_book(), collector.end - 0.5)
    tick = collector.tick()
    much_later = collector.state.assign([A, C, B], collector.end + 100)

    assert {listing.instrument_id: listing.slot for listing in listings} == {11: 0, 13: 2}
    assert {listing.instrument_id: listing.slot for listing in much_later} == {11: 0, 13: 2, 12: 1}
    assert tick.books.is_empty()
    assert dict(tick.gaps.select("reason", "instrument_ids").rows()) == {"unwatched": [12], "start": [13]}
    assert (tick.counts["watched"], tick.counts["blind"]) == (2, 1)


def test_rejects_duplicates_and_absurd_trades_are_counted() -> None:
    collector = Collector()
    collector.state.reject(None, "not JSON")
    collector.state.reject(0, "negative price")
    collector.state.duplicate(1)
    collector.trade(A, math.nan, 1.0)
    collector.trade(A, 10.0, -1.0)

    counts = collector.tick().counts

    assert (counts["rejected_frames"], counts["duplicates"], counts["trades"], counts["trade_rows"]) == (4, 1, 0, 0)


def test_a_boundary_that_was_left_out_or_a_clock_set_back_flags_the_bucket_and_loses_nothing() -> None:
    collector = Collector()
    collector.trade(A, 10.0, 1.0)
    collector.trade(A, 10.0, 2.0, at=collector.end + 3)
    collector.end += 5
    both = collector.tick()
    collector.trade(A, 10.0, 1.0)
    empty = collector.computer.compute(collector.state.close(collector.end - 10))
    flagged, regular = collector.tick(), collector.tick()

    assert row(both.trades)["volume"] == 3.0
    assert row(both.trades)["is_gap"] is row(flagged.trades)["is_gap"] is True
    assert empty.trades.is_empty()
    assert regular.counts["is_gap"] is False


def test_buckets_nobody_closes_are_folded_together_and_lose_no_trade() -> None:
    collector = Collector()
    for bucket in range(40):
        collector.trade(A, 10.0, 1.0, at=collector.end + 5 * bucket - 1)

    ticks = [collector.tick() for _ in range(40)]

    assert sum(int(tick.counts["trades"]) for tick in ticks) == 40
    folded = [tick for tick in ticks if int(tick.counts["trades"]) > 1]
    assert len(folded) == 1
    # Neither in it nor in those whose trades it holds was anything seen as it was.
    last = ticks.index(folded[0])
    assert [tick.counts["blind"] for tick in ticks] == [2] * (last + 1) + [0] * (39 - last)
    assert folded[0].trades["is_gap"].all()


def test_a_ticks_frames_fit_their_tables() -> None:
    collector = Collector()
    collector.put(A, a_book())
    collector.trade(A, 1.0, 1.0)
    tick = collector.tick()

    for frame, table in ((tick.books, ORDER_BOOK_METRICS), (tick.trades, TRADE_METRICS), (tick.gaps, FEED_GAPS)):
        assert conform(frame, table).schema == polars_schema(table)
    assert not any(tick.books[name].is_nan().any() for name in tick.books.columns if tick.books[name].dtype.is_float())
