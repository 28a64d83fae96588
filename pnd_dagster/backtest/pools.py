"""Surrogate pools: the pumped coin's window beside windows of other coins, each at a quiet time of its own.

Coins whose pumps lie years apart were never ranked at one moment. Ranking them by how unusual each is *for itself* is what the z-scores
are for, so a window of another coin at another time stands for a candidate that is not pumped.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from pnd_dagster.backtest.market_data import MarketData
from pnd_dagster.backtest.reading import SAME_PUMP, Event
from pnd_dagster.backtest.windows import SPAN_SECONDS, Windows, together
from pnd_dagster.errors import SourceError
from pnd_dagster.market.book_metrics import Booleans, Integers

_HOUR_MS = 3_600_000
_QUIET = (2 * _HOUR_MS, 22 * _HOUR_MS)
"""Decoys end so long before their own coin's event."""

DECOYS_PER_EVENT = 96
"""Times drawn of each event's coin. With 31 other events a pool of 50 is drawn out of some 3,000 windows: over 100 draws each of them comes
up once or twice, while the figures, which hang on 32 events, no longer depend on which times they are."""

Progress = Callable[[int, int], None]


class Pools(NamedTuple):
    """Whom each event's coin is ranked against.

    Attributes:
        events: [events].
        offsets: [offsets], seconds before the start.
        windows: all windows, those of pumped coins first.
        targets: [events, offsets], the pumped coin's window.
        decoys: [events, draws, pool], the others' windows; the same at every offset.
        quiet: of each event all windows of its own coin at quiet times.
    """

    events: list[Event]
    offsets: tuple[int, ...]
    windows: Windows
    targets: Integers
    decoys: Integers
    quiet: list[Integers]

    @property
    def size(self) -> int:
        """Coins that are ranked together, the pumped one included."""
        return self.decoys.shape[2] + 1

    def rows(self, event: int, offset: int, draw: int) -> Integers:
        """The windows that are ranked together; the first is the pumped coin's."""
        return np.concatenate((self.targets[event, offset : offset + 1], self.decoys[event, draw]))


def surrogate_pools(
    data: MarketData,
    offsets: Sequence[int],
    *,
    pool: int,
    draws: int,
    seed: int,
    on_progress: Progress = lambda done, all_: None,
) -> Pools:
    """Draws pools; the same arguments draw the same ones, in whatever order the files' rows stand.

    Args:
        data: events with their trades and books.
        offsets: seconds before the start at which the pumped coin is looked at.
        pool: decoys of each draw.
        draws: pools of each event.
        seed: of everything that is drawn.
        on_progress: told of coins whose windows are done, and how many there are.

    Raises:
        SourceError: there are too few other coins to draw from.
    """
    events = data.events
    count = max(DECOYS_PER_EVENT, -(-2 * pool // max(1, _fewest_others(events))))
    times = [_decoy_times(event, events, count, seed) for event in events]
    coins = np.repeat([event.coin for event in events], [len(part) for part in times])
    decoys = len(events) * len(offsets) + np.stack([_draw(event, coins, pool, draws, seed) for event in events])

    target_windows, decoy_windows = list[Windows](), list[Windows]()
    for done, (event, quiet) in enumerate(zip(events, times, strict=True)):
        on_progress(done, len(events))
        wanted = event.at - np.array(offsets) * 1000
        found = data.windows(event, np.concatenate((wanted, quiet)))
        target_windows.append(found.rows(np.arange(len(offsets))))
        decoy_windows.append(found.rows(np.arange(len(offsets), len(offsets) + len(quiet))))
    on_progress(len(events), len(events))
    targets = np.arange(len(events) * len(offsets)).reshape(len(events), len(offsets))
    own = np.split(np.arange(targets.size, targets.size + len(coins)), np.cumsum([len(part) for part in times])[:-1])
    return Pools(events, tuple(offsets), together(target_windows + decoy_windows), targets, decoys, own)


def without_clock(pools: Pools, seed: int) -> Pools:
    """The same pools, but the pumped coin too is looked at at a quiet time, a random one per offset: what is found then is not the pump.

    Events whose coin has no quiet time are left out.
    """
    kept = [number for number, quiet in enumerate(pools.quiet) if len(quiet)]
    rngs = [_rng(pools.events[number], seed, 2) for number in kept]
    targets = np.stack([rng.choice(pools.quiet[number], len(pools.offsets)) for number, rng in zip(kept, rngs, strict=True)])
    return pools._replace(events=[pools.events[number] for number in kept], targets=targets, decoys=pools.decoys[kept])


def _decoy_times(event: Event, events: list[Event], count: int, seed: int) -> Integers:
    """Quiet times of an event's coin, milliseconds since 1970: neither they nor their history touch a pump of it."""
    times = event.at - np.sort(_rng(event, seed, 0).integers(*_QUIET, count))
    is_quiet: Booleans = np.ones(count, np.bool_)
    pump_ms = round(SAME_PUMP.total_seconds() * 1000)
    for other in events:
        if other.coin == event.coin and other.event_id != event.event_id:
            is_quiet &= (times + pump_ms < other.at) | (times - SPAN_SECONDS * 1000 > other.at + pump_ms)
    return times[is_quiet]


def _draw(event: Event, coins: np.ndarray, pool: int, draws: int, seed: int) -> Integers:
    """[draws, pool] places in `coins` of other coins, none twice in a draw."""
    others = np.flatnonzero(coins != event.coin)
    if len(others) < pool:
        raise SourceError(
            f"a pool of {pool} needs windows of other coins than {event.coin}; there are {len(others)}, choose --pool smaller"
        )
    rng = _rng(event, seed, 1)
    return np.stack([rng.choice(others, pool, replace=False) for _ in range(draws)])


def _fewest_others(events: list[Event]) -> int:
    """Events of other coins, for the coin that has fewest of them."""
    coins = [event.coin for event in events]
    return min(len(coins) - coins.count(coin) for coin in coins)


def _rng(event: Event, seed: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng([seed, crc32(event.event_id.encode()), purpose])
