"""The whole live path: four announced pumps on four exchanges while every process is killed once. In the end all ledgers balance.

`pnd up` runs as a user runs it, with the real clients, against simulated channels and exchanges. Two pumps are at once, one of them told of
by two channels; one is cancelled and one moved while it is watched.
"""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.cli.readiness import is_dagster_up
from pnd_dagster.simulator.live_pump import live_posts, next_start
from pnd_dagster.simulator.telegram.channels import ChannelInfo
from pnd_dagster.simulator.telegram.ledger import text_hash
from pnd_dagster.storage import read_frame
from pnd_dagster.tables import (
    ALERTS,
    BUCKET_COMMITS,
    CHANNEL_BUILDS,
    HEARTBEATS,
    MESSAGE_LABELS,
    PUMP_EVENTS,
    PUMP_RELEASES,
    RANKING_TICKS,
    SCHEDULED_PUMPS,
    TARGET_RANKINGS,
    TELEGRAM_MESSAGES,
    WATCH_RESULTS,
    WATCHES,
)

pytestmark = pytest.mark.skipif(
    "PND_TEST_SOAK" not in os.environ, reason="takes four minutes and the machine for itself: `make soak-live` runs it"
)

# So that all of them are announced, and the moved one is watched at its first time, before the others' watches are due.
AHEAD_SECONDS = 70.0
# A watch ends two minutes after the start.
OVER_SECONDS = 125.0
# A frame that was under way so near a bucket's boundary may be in either: the machine is busy.
EDGE_SECONDS = 1.5


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


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_world = load("live_world")
live_world, SentLedger = _world.live_world, _world.SentLedger
reconcile = load("reconcile").reconcile


class Scenario:
    """What happens, in its order; what was killed, and by which sign it is known to be back."""

    def __init__(self, world: Any) -> None:
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


def test_every_pump_is_watched_once_told_of_and_stored_though_every_process_is_killed(
    own_home: Path, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    """One test, since all is of one scenario; its ledgers are compared one by one."""
    ledgers: dict[str, Callable[[Scenario], None]] = {
        "processes": check_processes,
        "messages": check_messages,
        "events": check_events,
        "watches": check_watches,
        "ticks": check_ticks,
        "ranks": check_ranks,
        "alerts": check_alerts,
        "market": lambda scenario: check_market(scenario, tmp_path / "sent"),
    }
    with live_world(own_home, tmp_path, [plan.exchange for plan in PLANS], CHANNELS) as world:
        scenario = Scenario(world)
        scenario.play()
        for name, check in ledgers.items():
            with subtests.test(name):
                check(scenario)
    print("\n".join(world.timeline))  # noqa: T201 - how long things took is worth knowing
    assert (world.up.returncode, world.left) == (0, [])


def check_processes(scenario: Scenario) -> None:
    """All of them were killed, and work again under another id."""
    world = scenario.world
    assert set(scenario.killed) == {"listen", "watch", "collector", "detect", "deliver", "postgres", "dagster"}
    now = {
        "listen": world.service("listen"),
        "deliver": world.service("deliver"),
        "collector": world.collector("mexc"),
        "detect": world.lease("detect")[1],
        "postgres": world.postmaster(),
        "dagster": min(world.command_of("dagster\0dev")),
    }
    assert {name for name, process_id in now.items() if process_id == scenario.killed[name]} == set()
    assert world.lease("collect:mexc:1/1")[0] > scenario.epochs["collect"]
    assert world.lease("detect")[0] > scenario.epochs["detect"]
    killed_at = datetime.fromtimestamp(scenario.killed_at, UTC)
    beats = world.rows(sa.select(HEARTBEATS.c.name, HEARTBEATS.c.is_healthy).where(HEARTBEATS.c.beat_at > killed_at))
    assert {row.name for row in beats if row.is_healthy} >= {
        "listen",
        "deliver",
        "detect",
        *(f"collect:{plan.exchange}:1/1" for plan in PLANS),
    }
    assert world.up.poll() is None


def check_messages(scenario: Scenario) -> None:
    """What the channels posted, edited and deleted is stored: nothing lost, nothing twice, nothing otherwise."""
    entries = scenario.world.telegram.ledger()
    message = TELEGRAM_MESSAGES.c
    rows = scenario.world.rows(sa.select(message.channel_id, message.message_id, message.text, message.is_deleted))
    sent = Counter((entry["channel_id"], entry["message_id"], entry["text_hash"]) for entry in entries if entry["kind"] != "delete")
    stored = Counter((row.channel_id, row.message_id, text_hash(row.text)) for row in rows if not row.is_deleted)
    assert stored == sent
    deleted = {(entry["channel_id"], entry["message_id"]) for entry in entries if entry["kind"] == "delete"}
    assert {(row.channel_id, row.message_id) for row in rows if row.is_deleted} == deleted
    assert deleted


def check_events(scenario: Scenario) -> None:
    events = {(event.exchange, event.symbol): event for event in scenario.events()}
    assert set(events) == {(plan.exchange, plan.symbol) for plan in (FIRST, SECOND, MOVED)}, told_of_releases(scenario)
    assert set(events[FIRST[:2]].channel_ids) == {FIRST.channel_id, ECHO_ID}
    assert {plan.exchange: (pump.status, pump.schedule_revision) for plan in PLANS if (pump := scenario.pump(plan))} == {
        FIRST.exchange: ("released", 0),
        SECOND.exchange: ("released", 0),
        CANCELLED.exchange: ("cancelled", 0),
        MOVED.exchange: ("released", 1),
    }


def told_of_releases(scenario: Scenario) -> str:
    """What is stored of the last message of each channel: its label, its release, and what its events were built from."""
    message, label, release, build = TELEGRAM_MESSAGES.c, MESSAGE_LABELS.c, PUMP_RELEASES.c, CHANNEL_BUILDS.c
    keys = (message.channel_id == release.channel_id, message.message_id == release.message_id)
    columns = (message.channel_id, message.message_id, message.ingested_at, label.label, label.labelled_at, label.labeller_version)
    rows = scenario.world.rows(
        sa.select(*columns, release.symbol, build.labels_through_at, build.label_count)
        .outerjoin_from(TELEGRAM_MESSAGES, MESSAGE_LABELS, message.revision_id == label.revision_id)
        .outerjoin(PUMP_RELEASES, sa.and_(*keys))
        .outerjoin(CHANNEL_BUILDS, build.channel_id == message.channel_id)
        .where(message.occurred_at >= scenario.starts_at)
    )
    return "\n".join(str(row) for row in rows)


def check_watches(scenario: Scenario) -> None:
    """One per pump and schedule, all ended, however often they had to begin anew."""
    watches = {plan: scenario.watches(plan) for plan in PLANS}
    assert {plan.exchange: [watch.state for watch in of_plan] for plan, of_plan in watches.items()} == {
        FIRST.exchange: ["released"],
        SECOND.exchange: ["released"],
        CANCELLED.exchange: ["cancelled"],
        MOVED.exchange: ["postponed", "released"],
    }
    assert [watch.symbol for plan in (FIRST, SECOND, MOVED) for watch in watches[plan][-1:]] == [FIRST.symbol, SECOND.symbol, MOVED.symbol]
    assert [watch.scheduled_at for watch in watches[MOVED]] == [scenario.moved_from, scenario.starts_at]
    assert watches[FIRST][0].attempt >= 2
    assert scenario.world.lease(f"watch:{watches[FIRST][0].watch_id}")[0] >= watches[FIRST][0].attempt


def check_ticks(scenario: Scenario) -> None:
    """No bucket was ranked twice, none by an attempt that had lost its watch, and each ranking is whole."""
    tick, ranking = RANKING_TICKS.c, TARGET_RANKINGS.c
    ticks = read_frame(scenario.world.engine, sa.select(RANKING_TICKS).order_by(tick.watch_id, tick.exchange, tick.bucket_end_at))
    assert ticks.select("watch_id", "exchange", "bucket_end_at").is_duplicated().sum() == 0
    in_order = ticks.with_columns(step=pl.col("lease_epoch").diff().over("watch_id", "exchange"))
    assert in_order.filter(pl.col("step") < 0).is_empty()
    ranked = read_frame(scenario.world.engine, sa.select(ranking.ranking_id, sa.func.count().label("coins")).group_by(ranking.ranking_id))
    whole = ticks.join(ranked, on="ranking_id", how="full")
    assert whole.filter(pl.col("coins").ne_missing(pl.col("candidates"))).is_empty()
    last = ticks.group_by("watch_id").agg(pl.col("lead_seconds").min())
    of_released = {scenario.watch_ids(plan)[-1] for plan in (FIRST, SECOND, MOVED)}
    assert last.filter(pl.col("watch_id").is_in(of_released))["lead_seconds"].max() <= -110  # pyright: ignore
    for plan in PLANS:
        for watch in scenario.watches(plan):
            leads = [round(row["lead_seconds"]) for row in ticks.filter(pl.col("watch_id") == watch.watch_id).iter_rows(named=True)]
            scenario.world.note(f"{plan.exchange}, {watch.state}, {watch.attempt} attempts, ranked at {leads} s before the start")
    # The killed one was ranked before, and by another attempt after.
    assert ticks.filter(pl.col("watch_id") == scenario.watch_ids(FIRST)[0])["lease_epoch"].n_unique() >= 2


def check_ranks(scenario: Scenario) -> None:
    """Where the coins stood is known for the times at which their watch had ranked."""
    result = WATCH_RESULTS.c
    for plan in (FIRST, SECOND, MOVED):
        (event,) = [event for event in scenario.events() if event.exchange == plan.exchange]
        (watch_id,) = scenario.watch_ids(plan)[-1:]
        rows = {row.offset_seconds: row for row in scenario.world.rows(sa.select(WATCH_RESULTS).where(result.watch_id == watch_id))}
        assert set(rows) == {20, 40, 60, 300}
        for offset, row in rows.items():
            known = scenario.known(plan, event.released_at - timedelta(seconds=offset))
            assert row.bucket_end_at == max(known, default=None)
            assert (row.rank is not None) == bool(known)
        scenario.world.note(
            f"{plan.symbol}: " + ", ".join(f"{row.rank} of {row.candidates} {at} s before" for at, row in sorted(rows.items()))
        )
        assert plan != UNDISTURBED or rows[20].rank is not None


def check_alerts(scenario: Scenario) -> None:
    """Each stage is told once, on every channel, signed, under the key of the outbox."""
    world, alert = scenario.world, ALERTS.c
    alerts = world.rows(sa.select(ALERTS).order_by(alert.created_at))
    assert {row.state for row in alerts if row.state != "sent"} <= {"muted"}
    assert all("superseded" in row.last_error for row in alerts if row.state == "muted")
    hooked = [row for row in alerts if row.channel == "webhook"]
    subjects = {pump.pump_id: plan.exchange for plan in PLANS if (pump := scenario.pump(plan))}
    told = Counter((subjects.get(row.subject_id), row.stage) for row in hooked if row.stage not in ("target suspected", "detected"))
    released = {(plan.exchange, stage): 1 for plan in (FIRST, SECOND, MOVED) for stage in ("announced", "candidates", "released", "over")}
    moved = {(MOVED.exchange, stage): 2 for stage in ("announced", "candidates")}
    assert told == released | moved | {(CANCELLED.exchange, stage): 1 for stage in ("announced", "candidates", "cancelled")}
    assert all(delivery.is_signed for delivery in world.receiver.deliveries)
    assert all(
        (delivery.body["alert_id"], delivery.body["stage"]) == (delivery.alert_id, delivery.stage) for delivery in world.receiver.deliveries
    )
    times = Counter(delivery.alert_id for delivery in world.receiver.deliveries)
    assert set(times) == {row.alert_id for row in hooked if row.state == "sent"}
    # One was accepted by a receiver whose answer nobody lived to hear.
    assert 1 <= sum(times.values()) - len(times) <= 3
    lines = (world.settings.home / "alerts.jsonl").read_text().splitlines()
    assert {json.loads(line)["alert_id"] for line in lines} == {
        row.alert_id for row in alerts if (row.channel, row.state) == ("file", "sent")
    }
    world.note(
        f"{len(times)} alerts in {sum(times.values())} requests: {dict(Counter(delivery.stage for delivery in world.receiver.deliveries))}"
    )


def check_market(scenario: Scenario, folder: Path) -> None:
    """Buckets in which something was killed are gaps; what is stored as right is right."""
    world, commit = scenario.world, BUCKET_COMMITS.c
    found = reconcile(SentLedger(world.exchanges, folder), world.engine, edge_seconds=EDGE_SECONDS)
    print(found)  # noqa: T201 - the totals are the point
    assert (found.books.wrong, found.trades.wrong) == (0, 0), found.examples
    assert min(found.books.stored, found.trades.stored) > 0
    commits = read_frame(world.engine, sa.select(commit.exchange, commit.bucket_end_at, commit.is_gap).order_by(commit.bucket_end_at))
    assert "mexc" in commits.filter("is_gap")["exchange"]
    assert found.books.in_gap < found.books.sent / 4
    # Of the others none is missing, whoever was away: what could not be written waited on disk.
    steps = commits.filter(pl.col("exchange") != "mexc").select(pl.col("bucket_end_at").diff().over("exchange")).to_series().drop_nulls()
    assert set(steps.dt.total_seconds()) == {5}
