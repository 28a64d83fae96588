"""The whole live path: four announced pumps on four exchanges while every process is killed once. In the end all ledgers balance.

`pnd up` runs as a user runs it, with the real clients, against simulated channels and exchanges. Two pumps are at once, one of them told of
by two channels; one is cancelled and one moved while it is watched.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.simulator.telegram.ledger import text_hash
from pnd_dagster.storage import read_frame
from pnd_dagster.tables import (
    ALERTS,
    BUCKET_COMMITS,
    CHANNEL_BUILDS,
    HEARTBEATS,
    MESSAGE_LABELS,
    PUMP_RELEASES,
    RANKING_TICKS,
    TARGET_RANKINGS,
    TELEGRAM_MESSAGES,
    WATCH_RESULTS,
)
from tests.e2e.live_scenario import CANCELLED, CHANNELS, ECHO_ID, FIRST, MOVED, PLANS, SECOND, UNDISTURBED, Scenario
from tests.e2e.live_world import SentLedger, live_world
from tests.e2e.reconcile import reconcile

pytestmark = pytest.mark.skipif(
    "PND_TEST_SOAK" not in os.environ, reason="takes four minutes and the machine for itself: `make soak-live` runs it"
)

# A frame that was under way so near a bucket's boundary may be in either: the machine is busy.
EDGE_SECONDS = 1.5


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
