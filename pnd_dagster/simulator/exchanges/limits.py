"""The limits that the exchanges document, as the simulated ones enforce them."""

from __future__ import annotations

import time
from typing import NamedTuple

# Clients that keep exactly to a limit arrive a little early now and then.
SLACK = 1.1


class Rate(NamedTuple):
    """At most so many units in so many seconds."""

    units: float
    seconds: float


class Window:
    """Counts units against a rate, in windows that begin with the first unit. `time_factor` stretches the seconds."""

    def __init__(self, rate: Rate, time_factor: float = 1.0) -> None:
        self._units, self._seconds = rate.units * SLACK, rate.seconds * time_factor
        self._ends_at = self._used = 0.0

    def take(self, units: float = 1.0) -> float:
        """Seconds until there is room again, 0 if there is and the units were taken."""
        now = time.monotonic()
        if now >= self._ends_at:
            self._ends_at, self._used = now + self._seconds, 0.0
        if self._used + units > self._units:
            return self._ends_at - now
        self._used += units
        return 0.0


class Closing(NamedTuple):
    """Why a server ends a connection: the code and the words of the WebSocket close."""

    code: int
    reason: str
