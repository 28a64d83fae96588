"""Waiting for Telegram: flood waits are honoured to the second, other failures retried a few times with growing, jittered pauses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from pnd_dagster.errors import TransientError

MAX_FAILURES = 5
# Telegram's longest bans last a day; beyond that someone should look.
MAX_WAIT_SECONDS = 86_400.0

Sleep = Callable[[float], Awaitable[None]]
Answer = TypeVar("Answer")


class Patience(NamedTuple):
    """How requests are made: at most so many at a time, and how we sleep between attempts."""

    slots: asyncio.Semaphore
    sleep: Sleep = asyncio.sleep


def backoff_seconds(failures: int, *, longest: float = 60.0) -> float:
    """A pause that doubles with every failure from one second on, with half of it left to chance so that clients do not march in step."""
    pause = min(longest, 2.0 ** (failures - 1))
    return pause / 2 + random.uniform(0, pause / 2)  # noqa: S311 - no secret hangs on it


async def patiently(request: Callable[[], Awaitable[Answer]], patience: Patience) -> Answer:
    """The answer of `request`, made again when Telegram asks to wait or fails for a moment.

    The slot is given back while this request waits, so that other channels go on.

    Raises:
        TransientError: it failed `MAX_FAILURES` times, or Telegram asks to wait for more than a day in all.
    """
    failures = 0
    waited = 0.0
    while True:
        try:
            async with patience.slots:
                return await request()
        except TransientError as error:
            if error.retry_after_seconds is None:
                failures += 1
                if failures >= MAX_FAILURES:
                    raise
                pause = backoff_seconds(failures)
            else:
                # One second more: Telegram counts from its own clock.
                pause = error.retry_after_seconds + 1.0
                waited += pause
                if waited > MAX_WAIT_SECONDS:
                    raise
        await patience.sleep(pause)
