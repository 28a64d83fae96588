"""What a collector holds between a feed and its 5 s ticks: the bucket that fills now, and the slots of the watched instruments.

All of it runs in the event loop, a few hundred nanoseconds a message; the bucket's metrics are made of it by `tick`, in a thread.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import NamedTuple

import numpy as np

from pnd_dagster.market.book_metrics import Integers
from pnd_dagster.market.feeds.protocol import Listing
from pnd_dagster.tables import BUCKET_SECONDS

# Slot, received_at, best bid price and quantity, best ask price and quantity. A break of the order flow has the slot -1 - slot.
QUOTE = Struct("<6d")
# Slot, price, quantity, taker's side.
TRADE = Struct("<4d")
NOBODY = 0
UNWATCHED = "unwatched"
# Buckets that nobody closes are folded together beyond these.
_MAX_WAITING = 12
# A slot that became free is not given away while frames of its former instrument may still be under way.
_REST_SECONDS = 60.0
_NAN = math.nan


class Instrument(NamedTuple):
    """An instrument to watch, as the watch list names it."""

    instrument_id: int
    symbol: str
    market_id: str
    base_id: str
    quote_id: str


class SightEvent(NamedTuple):
    """Instruments that went out of sight (`reason` says why), or came into it (`reason` is None), at a Unix time."""

    instrument_ids: Sequence[int]
    at: float
    reason: str | None


@dataclass
class ClosedBucket:
    """What was received in the 5 s up to `bucket_end` (Unix seconds), not yet looked into.

    Attributes:
        instrument_ids: [slots], `NOBODY` where a slot is free.
        frames: the last book of each slot that got one, as `Feed.levels` reads it.
        quotes, trades: `QUOTE` and `TRADE` records in order of arrival.
        is_irregular: the clock was set, or a boundary was missed: it holds more or less than 5 s.
    """

    bucket_end: float
    instrument_ids: Integers
    frames: dict[int, object] = field(default_factory=dict[int, object])
    quotes: bytearray = field(default_factory=bytearray)
    trades: bytearray = field(default_factory=bytearray)
    events: list[SightEvent] = field(default_factory=list[SightEvent])
    rejected_frames: int = 0
    duplicates: int = 0
    is_irregular: bool = False


def first_end(at: float) -> float:
    """End of the bucket that holds the Unix time `at`: a bucket holds what came after the end before it, up to and with its own."""
    return math.ceil(at / BUCKET_SECONDS) * float(BUCKET_SECONDS)


class MarketState:
    """The sink of a feed (see `feeds.protocol.Sink`), cut into buckets by the time of receipt.

    Args:
        started_at: Unix time; the first bucket is the one that holds it.
    """

    def __init__(self, started_at: float) -> None:
        self._slots: dict[int, int] = {}
        self._resting: deque[tuple[float, int]] = deque()
        self._waiting: deque[ClosedBucket] = deque()
        self._closed_until = self._folded_until = first_end(started_at) - BUCKET_SECONDS
        self._ids = np.zeros(0, np.int64)
        self._begin(first_end(started_at))

    def assign(self, instruments: Iterable[Instrument], at: float, *, since: float | None = None, reason: str = "start") -> list[Listing]:
        """Listings with slots for the instruments to watch from now on.

        An instrument that stays keeps its slot and its sight. A new one is out of sight from `since` (default: now) for `reason`, until
        the feed says that it is sighted; one that is no longer watched is out of sight as "unwatched".

        Args:
            instruments: all instruments to watch.
            at: now, Unix seconds.
            since: when new instruments were last seen.
            reason: why new instruments are out of sight.
        """
        wanted = {instrument.instrument_id: instrument for instrument in instruments}
        gone = [instrument_id for instrument_id in self._slots if instrument_id not in wanted]
        new = [instrument_id for instrument_id in wanted if instrument_id not in self._slots]
        for instrument_id in gone:
            self._resting.append((at, self._slots.pop(instrument_id)))
        count = len(self._ids)
        for instrument_id in new:
            if self._resting and self._resting[0][0] <= at - _REST_SECONDS:
                self._slots[instrument_id] = self._resting.popleft()[1]
            else:
                self._slots[instrument_id] = count
                count += 1
        # Buckets keep the array they began with, but for the one that fills now: what new slots get is already in it.
        self._ids = np.full(count, NOBODY, np.int64)
        self._ids[list(self._slots.values())] = list(self._slots)
        self._bucket.instrument_ids = self._ids
        if gone:
            self._bucket.events.append(SightEvent(gone, at, UNWATCHED))
        if new:
            self._bucket.events.append(SightEvent(new, at if since is None else since, reason))
        return [Listing(slot, *wanted[instrument_id]) for instrument_id, slot in self._slots.items()]

    def book(
        self,
        slot: int,
        bid_price: float,
        bid_quantity: float,
        ask_price: float,
        ask_quantity: float,
        frame: object,
        received_at: float,
    ) -> None:
        """A whole new book: its best levels, and what all levels can be read from at the bucket's end."""
        if received_at > self._end:
            self._rotate(first_end(received_at))
        self._frames[slot] = frame
        self._quotes += QUOTE.pack(slot, received_at, bid_price, bid_quantity, ask_price, ask_quantity)

    def trade(self, slot: int, price: float, quantity: float, side: int, received_at: float) -> None:
        """A trade; `side` is the taker's."""
        if received_at > self._end:
            self._rotate(first_end(received_at))
        self._trades += TRADE.pack(slot, price, quantity, side)

    def reject(self, slot: int | None, reason: str) -> None:
        """A frame was refused. It is counted; who refuses says why in its own status."""
        del slot, reason
        self._bucket.rejected_frames += 1

    def duplicate(self, slot: int) -> None:
        """A frame or trade came twice, or too late."""
        del slot
        self._bucket.duplicates += 1

    def blind(self, slots: Sequence[int], since: float, reason: str) -> None:
        """These were not seen since then: every bucket that is not closed yet and reaches beyond it is flagged."""
        if since > self._end:
            self._rotate(first_end(since))
        bucket = next((waiting for waiting in self._waiting if waiting.bucket_end > since), self._bucket)
        bucket.events.append(SightEvent(self._watched(slots), since, reason))
        for slot in slots:
            bucket.quotes += QUOTE.pack(-1 - slot, since, _NAN, _NAN, _NAN, _NAN)

    def sighted(self, slots: Sequence[int], at: float) -> None:
        """These are seen again."""
        if at > self._end:
            self._rotate(first_end(at))
        self._bucket.events.append(SightEvent(self._watched(slots), at, None))

    def close(self, bucket_end: float) -> ClosedBucket:
        """What was received in the bucket that ends then; to be called at every boundary in turn, once it has passed.

        A message of a later bucket that came before this call is in its own bucket. A bucket that was closed before is empty, and the one
        that fills then is flagged: the clock was set back. Boundaries that were left out are folded into this bucket, which is flagged.
        """
        if bucket_end <= self._closed_until:
            self._bucket.is_irregular = True
            return ClosedBucket(bucket_end, self._ids)
        if self._end <= bucket_end:
            self._rotate(bucket_end + BUCKET_SECONDS)
        is_next = self._closed_until >= bucket_end - BUCKET_SECONDS
        self._closed_until = bucket_end
        closed: ClosedBucket | None = None
        while self._waiting and self._waiting[0].bucket_end <= bucket_end:
            closed = _fold(closed, self._waiting.popleft())
        if closed is None:
            closed = ClosedBucket(bucket_end, self._ids)
        closed.is_irregular |= closed.bucket_end != bucket_end or not is_next or bucket_end <= self._folded_until
        closed.bucket_end = bucket_end
        return closed

    def _watched(self, slots: Sequence[int]) -> list[int]:
        ids = self._ids
        return [instrument_id for slot in slots if (instrument_id := int(ids[slot])) != NOBODY]

    def _rotate(self, next_end: float) -> None:
        self._waiting.append(self._bucket)
        if len(self._waiting) > _MAX_WAITING:
            oldest = self._waiting.popleft()
            self._waiting[0] = _fold(oldest, self._waiting[0])
            self._folded_until = self._waiting[0].bucket_end
        self._begin(next_end)

    def _begin(self, bucket_end: float) -> None:
        self._end = bucket_end
        self._bucket = bucket = ClosedBucket(bucket_end, self._ids)
        # What every message touches is an attribute of its own.
        self._frames, self._quotes, self._trades = bucket.frames, bucket.quotes, bucket.trades


def _fold(earlier: ClosedBucket | None, later: ClosedBucket) -> ClosedBucket:
    """Both as one bucket with the later end; nothing is lost, but it is no 5 s."""
    if earlier is None:
        return later
    return ClosedBucket(
        later.bucket_end,
        later.instrument_ids,
        earlier.frames | later.frames,
        earlier.quotes + later.quotes,
        earlier.trades + later.trades,
        earlier.events + later.events,
        earlier.rejected_frames + later.rejected_frames,
        earlier.duplicates + later.duplicates,
        is_irregular=True,
    )
