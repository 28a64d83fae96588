"""What happens on the live path while every process is killed once: four announced pumps on four exchanges.

Two pumps are at once, one of them told of by two channels; one is cancelled and one moved while it is watched.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa

from pnd_dagster.cli.readiness import is_dagster_up
from pnd_dagster.simulator.live_pump import live_posts, next_start
from pnd_dagster.simulator.telegram.channels import ChannelInfo
from pnd_dagster.tables import ALERTS, PUMP_EVENTS, RANKING_TICKS, SCHEDULED_PUMPS, TELEGRAM_MESSAGES, WATCHES
from tests.e2e.live_world import LiveWorld

# So that all of them are announced, and the moved one is watched at its first time, before the others' watches are due.
AHEAD_SECONDS = 70.0
# A watch ends two minutes after the start.
OVER_SECONDS = 125.0


class Plan(NamedTuple):
    """A pump: where, of which coin, and the channel that announces it first."""

    exchange: str
    symbol: str
    channel_id: int


FIRST, SECOND = Plan("kucoin", "NXS", 1001), Plan("mexc", "GVT", 1003)
CANCELLED, MOVED = Plan("poloniex", "VIA", 1004), Plan("latoken", "WABI", 1005)
PLANS = (FIRST, SECOND, CANCELLED, MOVED)
# Neither its watch nor its collector is killed before the release.
UNDISTURBED = MOVED
ECHO_ID = 1002
CHANNELS = [
    ChannelInfo(FIRST.channel_id, "North Star", "north_star"),
    ChannelInfo(ECHO_ID, "North Star Echo", "north_star_echo"),
    ChannelInfo(SECOND.channel_id, "Copper Kettle", "copper_kettle"),
    ChannelInfo(CANCELLED.channel_id, "Paper Boat", "paper_boat"),
    ChannelInfo(MOVED.channel_id, "Slow Clock", "slow_clock"),
]


class Scenario:
    """What happens, in its order; what was killed, and by which sign it is known to be back."""

    def __init__(self, world: LiveWorld) -> None:
        self.world = world
        self.started_at = datetime.now(UTC)
        self.starts_at = next_start(self.started_at, lead_seconds=AHEAD_SECONDS)
        self.moved_from = self.starts_at - timedelta(minutes=1)
        self.killed: dict[str, int] = {}
        self.epochs: dict[str, int] = {}
        self.killed_at = 0.0

    def play(self) -> None:
        world = self.world
        world.note(f"the pumps start at {self.starts_at:%H:%M:%S} UTC")
        self._announce_while_the_listener_is_killed()
        self._move_a_pump_that_is_watched()
        self._kill_dagster()
        self._kill_the_deliverer_in_the_middle_of_a_delivery()
        world.wait_until("the others are watched", lambda: all(map(self._is_watched, PLANS)), self.until_start() + 75, "dagster")
        world.post(CANCELLED.channel_id, "Dear members, our pump on Poloniex is cancelled today. We are sorry, a new date will follow.")
        self._kill_while_watching()
        world.wait_until("the cancelled watch has ended", lambda: self.states(CANCELLED) == {"cancelled"}, 60, "dagster")
        self._release()
        self._kill_postgres()
        left = self.until_start() + OVER_SECONDS
        for plan in (FIRST, SECOND, MOVED):
            is_over = partial(self._is_over, plan)
            world.wait_until(f"the watch on {plan.exchange} has ended", is_over, left + 60, "dagster")
        world.wait_until("all alerts are delivered", self._is_all_told, 75, "deliver")

    def _announce_while_the_listener_is_killed(self) -> None:
        world, posts = self.world, {plan: self.posts(plan) for plan in PLANS}
        for channel in CHANNELS:
            world.post(channel.channel_id, f"Good morning everyone, this is {channel.title}.")
            world.post(channel.channel_id, "Who has plans for the weekend?")
        world.wait_until("the first posts are stored", lambda: self.stored() == 2 * len(CHANNELS), 20, "listen")
        for plan in (FIRST, SECOND, MOVED):
            world.exchanges.control("pump", exchange=plan.exchange, base=plan.symbol, seconds=self.until_start())
        world.post(FIRST.channel_id, posts[FIRST][0].text)
        self.kill("listen", world.service("listen"))
        day = f"{self.starts_at:%d.%m.%Y}"
        world.post(ECHO_ID, f"Our next pump takes place today, {day}, at {self.starts_at:%H:%M} UTC on KuCoin. Trading pair USDT.")
        for plan in (SECOND, CANCELLED, MOVED):
            world.post(plan.channel_id, posts[plan][0].text)
        world.telegram.control("edit", channel_id=ECHO_ID, message_id=2, text="Who has plans for Sunday?")
        world.telegram.control("delete", channel_id=SECOND.channel_id, message_ids=[2])
        world.wait_until("all are announced", lambda: all(self.pump(plan) for plan in PLANS), 45, "listen")

    def _move_a_pump_that_is_watched(self) -> None:
        world = self.world
        world.wait_until("the early one is watched", lambda: self.ticks(MOVED), 60, "dagster")
        text = (
            f"Dear members, the pump on LATOKEN is postponed! New time: {self.starts_at:%H:%M} UTC, {self.starts_at:%d.%m.%Y}. Same pair."
        )
        world.post(MOVED.channel_id, text)
        world.wait_until("the early watch has ended", lambda: "postponed" in self.states(MOVED), 30, "dagster")

    def _kill_the_deliverer_in_the_middle_of_a_delivery(self) -> None:
        world = self.world
        world.receiver.hold("candidates")
        world.wait_until("an alert is in hand", world.receiver.is_holding.is_set, self.until_start() + 75, "deliver")
        self.kill("deliver", world.service("deliver"))
        world.receiver.go_on()

    def _kill_while_watching(self) -> None:
        world = self.world
        epoch, process_id = world.lease(f"watch:{self.watch_ids(FIRST)[0]}")
        self.epochs["watch"] = epoch
        self.kill("watch", process_id)
        self.epochs["collect"], _ = world.lease("collect:mexc:1/1")
        self.kill("collector", world.collector("mexc"))
        self.epochs["detect"], process_id = world.lease("detect")
        self.kill("detect", process_id)

    def _release(self) -> None:
        world = self.world
        world.wait_until("the start", lambda: self.until_start() <= 0, self.until_start() + 1, "up")
        # On a busy machine watches begin late, and so does the pump: what stood in front 20 s before is to be known.
        world.wait_until("one was ranked 20 s before", self._is_ranked_in_time, 90, "dagster")
        for plan in (FIRST, SECOND, MOVED):
            world.post(plan.channel_id, self.posts(plan)[-2].text)
        world.post(ECHO_ID, self.posts(FIRST)[-2].text)
        world.wait_until("the releases are read", lambda: len(self.events()) == 3, 30, "listen")

    def _kill_postgres(self) -> None:
        world = self.world
        self.kill("postgres", world.postmaster())
        world.post(SECOND.channel_id, "Pump results: a great peak within minutes. Thank you all!")
        world.wait_until("Postgres is back", lambda: world.postmaster() != self.killed["postgres"] and self.events(), 60, "postgres")

    def _kill_dagster(self) -> None:
        """Shortly before watches are due: all that it runs goes with it, and they begin as soon as it is back."""
        world, (daemon,) = self.world, self.daemons()
        self.kill("dagster", min(world.command_of("dagster\0dev")))
        world.wait_until("Dagster is back", lambda: daemon not in self.daemons() and is_dagster_up(world.settings), 120, "dagster")

    def daemons(self) -> list[int]:
        return self.world.command_of("-m", "dagster._daemon")

    def kill(self, what: str, process_id: int) -> None:
        self.world.kill(what, process_id)
        self.killed[what], self.killed_at = process_id, time.time()

    def posts(self, plan: Plan) -> list[Any]:
        at = self.moved_from if plan is MOVED and datetime.now(UTC) < self.moved_from else self.starts_at
        return live_posts(plan.exchange, plan.symbol, "USDT", announced_at=datetime.now(UTC), scheduled_at=at)

    def until_start(self) -> float:
        """Seconds."""
        return (self.starts_at - datetime.now(UTC)).total_seconds()

    def stored(self) -> int:
        return self.world.rows(sa.select(sa.func.count()).select_from(TELEGRAM_MESSAGES))[0][0]

    def pump(self, plan: Plan) -> sa.Row[Any] | None:
        """The row of the pump; there is one of each exchange."""
        rows = self.world.rows(sa.select(SCHEDULED_PUMPS).where(SCHEDULED_PUMPS.c.exchange == plan.exchange))
        assert len(rows) <= 1
        return rows[0] if rows else None

    def watches(self, plan: Plan) -> list[sa.Row[Any]]:
        watch = WATCHES.c
        return self.world.rows(sa.select(WATCHES).where(watch.exchanges == [plan.exchange]).order_by(watch.schedule_revision))

    def watch_ids(self, plan: Plan) -> list[str]:
        return [watch.watch_id for watch in self.watches(plan)]

    def states(self, plan: Plan) -> set[str]:
        return {watch.state for watch in self.watches(plan)}

    def ticks(self, plan: Plan) -> list[sa.Row[Any]]:
        """Of the last watch."""
        tick = RANKING_TICKS.c
        watch_ids = self.watch_ids(plan)
        return (
            self.world.rows(sa.select(RANKING_TICKS).where(tick.watch_id == watch_ids[-1]).order_by(tick.bucket_end_at))
            if watch_ids
            else []
        )

    def events(self) -> list[sa.Row[Any]]:
        return self.world.rows(sa.select(PUMP_EVENTS))

    def _is_watched(self, plan: Plan) -> bool:
        """Towards the time at which it is released."""
        return bool(self.ticks(plan)) and self.watches(plan)[-1].scheduled_at == self.starts_at

    def _is_ranked_in_time(self) -> bool:
        now = datetime.now(UTC)
        return self._is_watched(UNDISTURBED) and all(self.known(UNDISTURBED, now - timedelta(seconds=ago)) for ago in (20, 22))

    def known(self, plan: Plan, at: datetime) -> list[datetime]:
        """Buckets whose ranking was written by then, and still said something."""
        return [
            tick.bucket_end_at
            for tick in self.ticks(plan)
            if at - timedelta(seconds=15) < tick.bucket_end_at <= at and tick.bucket_end_at + timedelta(seconds=tick.lag_seconds) <= at
        ]

    def _is_over(self, plan: Plan) -> bool:
        return "running" not in self.states(plan)

    def _is_all_told(self) -> bool:
        # A watch tells that it is over once it has ended.
        rows = self.world.rows(sa.select(ALERTS.c.channel, ALERTS.c.stage, ALERTS.c.state))
        over = sum((row.channel, row.stage) == ("webhook", "over") for row in rows)
        return over == 3 and all(row.state != "pending" for row in rows)
