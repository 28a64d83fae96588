"""What a backtest ranks: pumps with the trades and books around them, and nothing that came after a cut-off."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from pnd_dagster.backtest.grids import BookStream, TradeStream
from pnd_dagster.backtest.onset import SEARCH, market_onset
from pnd_dagster.backtest.reading import Event, event_ids, read_books, read_events, read_trades
from pnd_dagster.backtest.windows import Windows, windows_of
from pnd_dagster.errors import SourceError
from pnd_dagster.market.book_metrics import Integers


class MarketData(NamedTuple):
    """Pumps, and what is known of their coins around them.

    Attributes:
        events: those with trades or books, ascending in time and id.
        trades: by event_id.
        books: by event_id.
        notes: what a reader of the results should know, a line each: events without data, rows that were refused.
    """

    events: list[Event]
    trades: dict[str, TradeStream]
    books: dict[str, BookStream]
    notes: list[str]

    def windows(self, event: Event, cutoffs: Integers) -> Windows:
        """Windows of an event's coin up to each cut-off."""
        return windows_of(self.trades.get(event.event_id), self.books.get(event.event_id), cutoffs)


def read_market(events: Path, trades: Path, books: Path | None, *, is_onset: bool = False) -> MarketData:
    """Reads the files of a backtest; of each event only what came before its start, unless its onset is looked for.

    Args:
        events: CSV of pumps, see `reading.read_events`.
        trades: Parquet, see `reading.read_trades`.
        books: Parquet, see `reading.read_books`.
        is_onset: takes for an event's start the moment at which the market began to move, see `onset.market_onset`.

    Raises:
        SourceError: a file cannot be read or does not fit, no event has any trades, or one lies before the first of its trades.
    """
    known = event_ids(trades) | (event_ids(books) if books else set[str]())
    every = read_events(events, known)
    if not every:
        raise SourceError(f"{events}: holds no event")
    margin = round(SEARCH / timedelta(milliseconds=1)) if is_onset else 0
    until = {event.event_id: event.at + margin for event in every}
    trade_streams, refused_trades = read_trades(trades, until)
    book_streams, refused_books = read_books(books, until) if books else ({}, 0)
    there = [event for event in every if event.event_id in known]
    if not there:
        raise SourceError(f"{trades}: holds no trades of any of the {len(every)} events of {events}")
    for event in there:
        if event.event_id not in trade_streams and event.event_id not in book_streams:
            raise SourceError(f"{events}: {event.event_id} lies before the first of its trades in {trades.name}")
    notes = list[str]()
    if absent := [event.event_id for event in every if event.event_id not in known]:
        notes.append(f"{len(absent)} of {len(every)} events have no trades and are left out: {', '.join(absent)}")
    for what, count in (("trades", refused_trades), ("rows of books", refused_books)):
        if count:
            notes.append(f"{count:,} {what} without a positive, finite price and amount were passed over")
    if is_onset:
        onsets = {event_id: market_onset(trade_streams[event_id], at) for event_id, _, at in there if event_id in trade_streams}
        there = [event._replace(at=onsets.get(event.event_id) or event.at) for event in there]
        found = sum(at is not None for at in onsets.values())
        notes.append(f"{found} of {len(there)} events have an onset; the others keep the announced time")
    return MarketData(there, trade_streams, book_streams, notes)
