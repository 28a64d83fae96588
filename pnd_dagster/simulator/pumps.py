"""The plan of the pumps: who leads, who joins, where, which coin, when, and how it ends. This is the ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple

from pnd_dagster.simulator.markets import VENUES, draw_coins
from pnd_dagster.simulator.voices import Voice

# Pumps start when Europe is awake and America gets up; a few at odd hours.
_HOURS = (13, 14, 15, 16, 16, 17, 17, 17, 18, 18, 19, 20, 21, 3)
RELEASED, CANCELLED, POSTPONED = "released", "cancelled", "postponed-and-released"


class Pump(NamedTuple):
    """A planned pump. `channels` are indices of the voices, the leader first; `delay` is the postponement of a postponed pump."""

    number: int
    channels: tuple[int, ...]
    exchange: str
    symbol: str
    quote: str
    announced_at: datetime
    first_scheduled_at: datetime
    delay: timedelta
    is_delay_relative: bool
    released_after_seconds: float
    outcome: str
    is_image_reveal: bool

    @property
    def scheduled_at(self) -> datetime:
        """The start as last announced."""
        return self.first_scheduled_at + self.delay

    @property
    def released_at(self) -> datetime | None:
        """When the leader names the coin; None for a cancelled pump."""
        return None if self.outcome == CANCELLED else self.scheduled_at + timedelta(seconds=self.released_after_seconds)


def plan_pumps(voices: Sequence[Voice], *, start_at: datetime, end_at: datetime, rng: Random) -> list[Pump]:
    """Pumps between `start_at` and `end_at`, spread evenly: about one in two days for twelve channels."""
    leaders = [index for index, voice in enumerate(voices) if voice.lead_weight > 0]
    days = (end_at - start_at).total_seconds() / 86_400
    count = max(1, round(days * 0.55 * len(voices) / 12))
    if not leaders or days < 1:
        return []
    coins = draw_coins(count, rng)
    outcomes = _deal_outcomes(count, rng)
    pumps: list[Pump] = []
    for number in range(count):
        # An even grid with jitter: no two pumps of one leader meet, and the count does not hang on luck.
        near = start_at + timedelta(days=days * (number + 0.6 + rng.uniform(-0.25, 0.25)) / count)
        scheduled_at = near.replace(hour=rng.choice(_HOURS), minute=rng.choice((0, 0, 0, 0, 30)), second=0, microsecond=0)
        leader = rng.choices(leaders, [voices[index].lead_weight for index in leaders])[0]
        pump = _plan_one(number + 1, leader, voices, scheduled_at, coins[number], outcomes[number], rng)
        is_inside = pump.announced_at > start_at and pump.scheduled_at + timedelta(hours=3) <= end_at
        if is_inside and not any(_meet(pump, earlier) for earlier in pumps):
            pumps.append(pump)
    return [pump._replace(number=number) for number, pump in enumerate(_with_an_image(pumps, voices), 1)]


def _with_an_image(pumps: list[Pump], voices: Sequence[Voice]) -> list[Pump]:
    """`pumps` with at least one revealed by an image, if a channel that does so leads one."""
    if any(pump.is_image_reveal for pump in pumps):
        return pumps
    able = [index for index, pump in enumerate(pumps) if voices[pump.channels[0]].image_share and pump.outcome != CANCELLED]
    return [pump._replace(is_image_reveal=index in able[:1]) for index, pump in enumerate(pumps)]


def _meet(pump: Pump, other: Pump) -> bool:
    """True when one channel would play both pumps at the same time."""
    is_near = abs(pump.scheduled_at - other.scheduled_at) < timedelta(hours=6) or abs(
        pump.first_scheduled_at - other.scheduled_at
    ) < timedelta(hours=6)
    return is_near and not set(pump.channels).isdisjoint(other.channels)


def _deal_outcomes(count: int, rng: Random) -> list[str]:
    """About one in eight cancelled, one in six postponed; at least one of each where there are four pumps or more."""
    cancelled = max(round(count * 0.12), count >= 4)
    postponed = max(round(count * 0.16), count >= 4)
    outcomes = [CANCELLED] * cancelled + [POSTPONED] * postponed + [RELEASED] * (count - cancelled - postponed)
    rng.shuffle(outcomes)
    return outcomes


def _plan_one(number: int, leader: int, voices: Sequence[Voice], scheduled_at: datetime, symbol: str, outcome: str, rng: Random) -> Pump:
    voice = voices[leader]
    exchange = rng.choice(voice.exchanges)
    allies = [index for index, other in enumerate(voices) if other.is_ally and index != leader]
    joined = rng.sample(allies, min(len(allies), rng.choice((0, 1, 1, 2, 3)))) if voice.is_ally else []
    is_surprise = not joined and outcome == RELEASED and rng.random() < 0.15
    lead_time = (
        timedelta(minutes=rng.randrange(16, 50))
        if is_surprise
        else timedelta(hours=rng.choice((4, 9, 22, 26, 30, 47, 52, 70)), minutes=rng.randrange(60))
    )
    is_delay_relative = rng.random() < 0.55
    delay = timedelta()
    if outcome == POSTPONED:
        delay = timedelta(minutes=rng.choice((30, 60, 60, 120))) if is_delay_relative else timedelta(hours=rng.choice((22, 24, 25, 46, 48)))
    return Pump(
        number=number,
        channels=(leader, *joined),
        exchange=exchange,
        symbol=symbol,
        quote=rng.choice(VENUES[exchange].quotes),
        announced_at=scheduled_at - lead_time,
        first_scheduled_at=scheduled_at,
        delay=delay,
        is_delay_relative=is_delay_relative,
        released_after_seconds=rng.choice((0.0, 1.0, 2.0, 4.0, 9.0, 21.0, 47.0)),
        outcome=outcome,
        is_image_reveal=outcome != CANCELLED and rng.random() < voice.image_share,
    )
