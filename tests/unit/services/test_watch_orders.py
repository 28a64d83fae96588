"""Which pumps are due: each once, none missed, whatever ended its last watch."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
import watch_scene as staged

from pnd_dagster.services.watch_orders import due_pumps
from pnd_dagster.services.watch_rows import begin, end
from pnd_dagster.settings import Settings
from pnd_dagster.storage.leases import Lease, acquire, release
from pnd_dagster.tables import LEASES

START = staged.START
MINUTE = timedelta(minutes=1)


@pytest.fixture
def scene(engine: sa.Engine, settings: Settings):
    return staged.Scene(engine, settings.model_copy(update={"exchanges": ["kucoin", "xt"]}))


def due(scene, at=START - 5 * MINUTE) -> list[str]:
    return [order.watch_id for order in due_pumps(scene.engine, scene.settings, at).orders]


def taken(scene, watch_id: str = "p1:0") -> Lease:
    lease = acquire(scene.engine, f"watch:{watch_id}", "me", 60)
    assert lease is not None
    return lease


def watched(scene, state: str | None = None, at=START - 5 * MINUTE) -> Lease:
    """Begins the watch of what is due, and ends it in that state; or dies, where there is none."""
    (order,) = due_pumps(scene.engine, scene.settings, at).orders
    lease = taken(scene, order.watch_id)
    assert begin(scene.engine, lease, order, at) is not None
    if state:
        end(scene.engine, lease, order.watch_id, state, "test", at)
    release(scene.engine, lease)
    return lease


def test_a_pump_is_due_from_its_lead_until_two_minutes_past_its_start(scene) -> None:
    scene.announce()
    lead = timedelta(seconds=scene.settings.watch_lead_seconds)
    assert due(scene, START - lead - MINUTE) == []
    assert due(scene, START - lead) == ["p1:0"]
    assert due(scene, START + 119 * MINUTE / 60) == ["p1:0"]
    assert due(scene, START + 2 * MINUTE) == []


def test_pumps_that_are_cancelled_released_or_expired_are_not_due_and_postponed_ones_are_at_their_new_time(scene) -> None:
    for status in ("cancelled", "released", "expired"):
        scene.announce(status=status)
        assert due(scene) == []
    scene.announce(status="postponed", schedule_revision=1, at=START + 60 * MINUTE)
    assert due(scene) == []
    assert due(scene, START + 55 * MINUTE) == ["p1:1"]


def test_an_exchange_that_is_not_collected_is_skipped_and_said(scene) -> None:
    scene.announce(exchange="hotbit")
    found = due_pumps(scene.engine, scene.settings, START - 5 * MINUTE)
    assert found == ([], ["p1: hotbit is not collected"])


def test_a_pump_without_an_exchange_is_ranked_on_all_that_are_collected(scene) -> None:
    scene.announce(exchange=None)
    (order,) = due_pumps(scene.engine, scene.settings, START).orders
    assert order.exchanges == ("kucoin", "xt")


def test_a_pump_that_is_watched_is_not_due_and_is_again_when_its_watch_has_died(scene) -> None:
    scene.announce()
    lease = taken(scene)
    assert due(scene) == []
    release(scene.engine, lease)
    watched(scene)
    (order,) = due_pumps(scene.engine, scene.settings, START).orders
    assert (order.watch_id, order.attempts) == ("p1:0", 1)


def test_a_watch_that_died_after_the_release_is_resumed(scene) -> None:
    scene.announce()
    watched(scene)
    scene.announce(status="released")
    assert due(scene, START + MINUTE) == ["p1:0"]


@pytest.mark.parametrize("state", ["over", "released"])
def test_what_is_over_is_over_until_the_pump_gets_another_time(scene, state: str) -> None:
    scene.announce()
    watched(scene, state)
    assert due(scene) == []
    scene.announce(at=START + 5 * MINUTE)
    assert due(scene) == ["p1:0"]


@pytest.mark.parametrize("state", ["cancelled", "postponed"])
def test_a_pump_that_is_scheduled_after_all_is_watched_again(scene, state: str) -> None:
    scene.announce()
    watched(scene, state)
    assert due(scene) == ["p1:0"]


def test_a_watch_that_failed_is_tried_again_but_not_at_every_tick(scene) -> None:
    scene.announce()
    watched(scene, "failed")
    assert due(scene, START - 5 * MINUTE + MINUTE / 4) == []
    assert due(scene, START - 4 * MINUTE) == ["p1:0"]


def test_an_announcement_without_a_time_is_due_at_once_and_for_two_minutes(scene) -> None:
    scene.announce_without_time("u1", "kucoin", START)
    assert due(scene, START - MINUTE) == []
    assert due(scene, START) == ["u1:0"]
    assert due(scene, START + 2 * MINUTE) == []
    scene.announce_without_time("u1", "kucoin", START, previous_scheduled_at=START + 60 * MINUTE, status="postponed")
    assert due(scene, START) == []


def test_several_announcements_without_a_time_are_one_watch_and_none_where_the_markets_are_watched(scene) -> None:
    scene.announce_without_time("u1", "kucoin", START)
    scene.announce_without_time("u2", "kucoin", START + MINUTE / 60)
    scene.announce_without_time("u3", None, START + MINUTE / 30)
    found = due_pumps(scene.engine, scene.settings, START + MINUTE / 2)
    assert [order.watch_id for order in found.orders] == ["u1:0", "u3:0"]
    assert found.skipped == ["u2: its markets are watched already"]
    scene.announce("p1", "kucoin", START + MINUTE)
    scene.announce("p2", "xt", START + MINUTE)
    assert due(scene, START + MINUTE / 2) == ["p1:0", "p2:0"]


def test_leases_of_other_things_do_not_count(scene) -> None:
    scene.announce()
    with scene.engine.begin() as connection:
        held = {"name": "collect:kucoin:1/1", "holder": "me", "epoch": 1, "expires_at": sa.func.now() + timedelta(hours=1)}
        connection.execute(sa.insert(LEASES).values(**held))
    assert due(scene) == ["p1:0"]
