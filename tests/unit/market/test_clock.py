"""The offset of an exchange's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pnd_dagster.errors import SourceError, TransientError
from pnd_dagster.market.clock import clock_offset


class Exchange:
    """Answers after a round trip, its clock ahead of ours; both take their time from `now`."""

    def __init__(self, ahead: float, there: list[float], back: list[float], errors: dict[int, Exception] | None = None) -> None:
        self.now, self.ahead, self.there, self.back, self.errors = 1_000_000.0, ahead, there, back, errors or {}
        self.asked = 0

    async def time(self) -> float:
        place = self.asked
        self.asked += 1
        if place in self.errors:
            raise self.errors[place]
        self.now += self.there[place % len(self.there)]
        answer = self.now + self.ahead
        self.now += self.back[place % len(self.back)]
        return answer


def offset_of(exchange: Exchange, ask: Callable[[], Awaitable[float]] | None = None) -> float | None:
    return asyncio.run(clock_offset(ask or exchange.time, clock=lambda: exchange.now))


def test_half_the_round_trip_is_taken_off() -> None:
    assert offset_of(Exchange(2.5, there=[0.1], back=[0.1])) == pytest.approx(2.5)


def test_one_slow_answer_changes_nothing() -> None:
    assert offset_of(Exchange(-1.0, there=[0.05, 0.05, 3.0, 0.05, 0.05], back=[0.05])) == pytest.approx(-1.0, abs=0.001)


def test_failing_answers_are_passed_over_and_an_exchange_that_only_fails_has_no_offset() -> None:
    errors: dict[int, Exception] = {0: TransientError("429"), 3: SourceError("no time")}
    assert offset_of(Exchange(1.0, there=[0.1], back=[0.1], errors=errors)) == pytest.approx(1.0)
    assert offset_of(Exchange(1.0, there=[0.1], back=[0.1], errors=dict.fromkeys(range(5), TransientError("500")))) is None


def test_an_answer_that_took_too_long_is_not_used() -> None:
    assert offset_of(Exchange(1.0, there=[4.0], back=[4.0])) is None
