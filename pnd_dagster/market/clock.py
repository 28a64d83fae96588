"""How far an exchange's clock is from ours."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable

from pnd_dagster.errors import PndError

SAMPLES = 5
# An answer that takes longer says little about the clock.
LONGEST_ROUND_TRIP_SECONDS = 5.0


async def clock_offset(
    server_time: Callable[[], Awaitable[float]], *, samples: int = SAMPLES, clock: Callable[[], float] = time.time
) -> float | None:
    """Seconds the exchange's clock is ahead of ours: the median over some answers, each held against the middle of its round trip.

    Args:
        server_time: asks the exchange for its time, Unix seconds.
        samples: how often to ask.
        clock: ours, Unix seconds.

    Returns:
        None when no answer could be used: an exchange that fails costs us this figure and nothing else.
    """
    offsets: list[float] = []
    for _ in range(samples):
        asked_at = clock()
        try:
            theirs = await server_time()
        except PndError:
            continue
        answered_at = clock()
        if 0 <= answered_at - asked_at <= LONGEST_ROUND_TRIP_SECONDS:
            offsets.append(theirs - (asked_at + answered_at) / 2)
    return statistics.median(offsets) if offsets else None
