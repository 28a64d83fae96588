"""Alerts that a watch raises: who stands in front, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pytest
import sqlalchemy as sa

from pnd_dagster import tables
from pnd_dagster.alerts.stages import (
    announced_alerts,
    cancelled_alert,
    candidates_alert,
    detected_alert,
    over_alert,
    released_alert,
    suspected_alert,
)
from pnd_dagster.ranking.ranking import Ranking
from pnd_dagster.ranking.rules import DEFAULT
from pnd_dagster.settings import Settings

Alerts = Callable[..., list[dict[str, Any]]]
Store = Callable[..., None]
ADVICE = ("buy", "sell", "you should", "opportunity", "profit", "invest")


class Order(NamedTuple):
    """A watch as the watching service knows it."""

    scheduled_at: datetime
    watch_id: str = "pump1:0"
    pump_id: str | None = "pump1"
    schedule_revision: int | None = 0
    exchanges: tuple[str, ...] = ("poloniex",)


def ranking(*order: int, z: float = 9.2, active: bool = True) -> Ranking:
    """Six coins; `order` are the places of those in front, each of which has one z that stands out."""
    rest = [place for place in range(6) if place not in order]
    rank = np.empty(6)
    rank[[*order, *rest]] = np.arange(1, 7)
    scores = np.zeros((6, len(DEFAULT.columns)))
    scores[list(order), 0] = z
    return Ranking(np.arange(1, 7), 4.0 - rank, rank, np.full(6, active), scores)


SYMBOLS = [f"C{n}/USDT" for n in range(6)]


@pytest.fixture
def order(now: datetime) -> Order:
    return Order(now + timedelta(seconds=90))


def test_the_first_ranking_of_a_watch_is_told_once(
    engine: sa.Engine, settings: Settings, order: Order, scheduled: Store, alerts: Alerts, now: datetime
) -> None:
    scheduled(order.scheduled_at)
    assert candidates_alert(engine, settings, order, "poloniex", now, ranking(2, 4), SYMBOLS, DEFAULT)
    assert not candidates_alert(engine, settings, order, "poloniex", now + timedelta(seconds=5), ranking(4, 2), SYMBOLS, DEFAULT)
    (alert,) = alerts()
    assert alert["title"] == "Suspected pump on poloniex: 6 candidates are watched, 90 s before the announced start"
    first = alert["body"]["evidence"]["leaders"][0]
    assert (first["rank"], first["symbol"], first["reasons"][0]["z"]) == (1.0, "C2", 9.2)
    assert "9.2 deviations above" in alert["body"]["lines"][1]
    assert len(alert["body"]["evidence"]["leaders"]) == 5


def test_a_leader_that_was_pumped_there_before_is_told_with_it(
    engine: sa.Engine, settings: Settings, order: Order, alerts: Alerts, pumped: Store, now: datetime
) -> None:
    pumped("C2", now - timedelta(days=400))
    pumped("C2", now - timedelta(days=30))
    pumped("C2", now - timedelta(minutes=1))  # that is the pump itself
    pumped("C2", now - timedelta(days=3), exchange="kucoin")
    pumped("C4", now - timedelta(days=3), exchange=None)
    assert suspected_alert(engine, settings, order, "poloniex", now, ranking(2, 4), SYMBOLS, DEFAULT)
    (alert,) = alerts()
    assert f"; pumped there 2 times before, last on {now - timedelta(days=30):%Y-%m-%d}." in alert["body"]["lines"][1]
    assert "before" not in alert["body"]["lines"][2]
    assert [len(one["prior_pumps"]) for one in alert["body"]["evidence"]["leaders"]] == [2, 0, 0, 0, 0]


def test_of_a_new_revision_the_candidates_are_told_again(
    engine: sa.Engine, settings: Settings, order: Order, alerts: Alerts, now: datetime
) -> None:
    candidates_alert(engine, settings, order, "poloniex", now, ranking(2), SYMBOLS, DEFAULT)
    assert candidates_alert(engine, settings, order._replace(schedule_revision=1), "poloniex", now, ranking(2), SYMBOLS, DEFAULT)
    # The pump is not scheduled: nobody knows its start.
    assert "for a start that is not known" in alerts()[0]["title"]


def test_a_leader_is_told_at_every_change_and_not_at_every_tick(
    engine: sa.Engine, settings: Settings, order: Order, alerts: Alerts, now: datetime
) -> None:
    at_once = settings.model_copy(update={"alert_cooldown_seconds": 0})
    leaders = [2, 2, 4, 4, 2]
    told = [
        suspected_alert(engine, at_once, order, "poloniex", now + timedelta(seconds=5 * tick), ranking(leader), SYMBOLS, DEFAULT)
        for tick, leader in enumerate(leaders)
    ]
    assert told == [True, False, True, False, True]
    assert [alert["symbol"] for alert in alerts()] == ["C2", "C4", "C2"]
    assert all(alert["title"].startswith("Suspected target on poloniex: C") for alert in alerts())


def test_within_the_cool_down_another_leader_is_not_told(engine: sa.Engine, settings: Settings, order: Order, now: datetime) -> None:
    assert suspected_alert(engine, settings, order, "poloniex", now, ranking(2), SYMBOLS, DEFAULT)
    assert not suspected_alert(engine, settings, order, "poloniex", now + timedelta(seconds=5), ranking(4), SYMBOLS, DEFAULT)
    assert suspected_alert(engine, settings, order, "kucoin", now, ranking(4), SYMBOLS, DEFAULT)


def test_where_nothing_is_known_of_any_coin_nobody_is_suspected(
    engine: sa.Engine, settings: Settings, order: Order, alerts: Alerts, now: datetime
) -> None:
    idle = ranking(2, active=False)
    assert not suspected_alert(engine, settings, order, "poloniex", now, idle, SYMBOLS, DEFAULT)
    assert candidates_alert(engine, settings, order, "poloniex", now, idle, SYMBOLS, DEFAULT)
    assert alerts()[0]["body"]["evidence"]["leaders"] == []
    assert any("6 of the coins" in line for line in alerts()[0]["body"]["unknown"])


def rank_in_database(insert: Store, order: Order, released_at: datetime) -> None:
    insert(
        tables.WATCHES,
        {
            "watch_id": order.watch_id,
            "pump_id": order.pump_id,
            "schedule_revision": 0,
            "exchanges": ["poloniex"],
            "scheduled_at": order.scheduled_at,
            "started_at": released_at - timedelta(minutes=5),
            "attempt": 1,
            "state": "running",
            "tick_count": 3,
        },
    )
    listing = {"exchange": "poloniex", "market_id": "x", "symbol": "ABC/USDT", "base_symbol": "ABC", "quote_symbol": "USDT"}
    more = {"base_id": "x", "quote_id": "usdt", "is_derivative": False, "valid_from": released_at - timedelta(days=9)}
    insert(tables.INSTRUMENTS, {"instrument_id": 1, **listing, **more})


def test_a_named_coin_is_told_with_where_it_stood_before(
    engine: sa.Engine, settings: Settings, order: Order, scheduled: Store, released: Store, insert: Store, alerts: Alerts, now: datetime
) -> None:
    from pnd_dagster.ranking.store import write_ranking
    from pnd_dagster.storage.leases import acquire

    scheduled(order.scheduled_at)
    released(now)
    rank_in_database(insert, order, now)
    lease = acquire(engine, "watch:pump1:0", "test", 60)
    assert lease is not None
    for seconds, leaders in ((62, (3, 0)), (41, (0,)), (22, (0,))):
        write_ranking(engine, lease, order.watch_id, "poloniex", now - timedelta(seconds=seconds), seconds, DEFAULT, ranking(*leaders))
    assert released_alert(engine, settings, order, "event1")
    # The listener comes to the same alert by itself.
    assert announced_alerts(engine, settings) == 1
    (alert,) = [alert for alert in alerts() if alert["stage"] == "released"]
    assert alert["subject_id"] == "pump1"
    assert "It had been ranked 2. of 6 60 s before, 1. of 6 40 s before, 1. of 6 20 s before." in alert["body"]["lines"]
    assert over_alert(engine, settings, order, "ended well")
    over = alerts()[-1]
    assert "ABC was named at" in over["body"]["lines"][0]
    assert over["body"]["lines"][-2:] == ["Rankings: 3, in 1 attempt.", "ended well"]


def test_a_named_coin_is_told_with_its_earlier_pumps_on_that_exchange(
    engine: sa.Engine, settings: Settings, order: Order, released: Store, pumped: Store, alerts: Alerts, now: datetime
) -> None:
    released(now)
    pumped("ABC", now - timedelta(days=30))
    pumped("ABC", now - timedelta(days=3), exchange="kucoin")
    assert released_alert(engine, settings, order, "event1")
    assert f"It was pumped there once before, on {now - timedelta(days=30):%Y-%m-%d}." in alerts()[0]["body"]["lines"]


def test_an_event_that_is_gone_is_no_alert(engine: sa.Engine, settings: Settings, order: Order) -> None:
    assert not released_alert(engine, settings, order, "nothing")


def test_a_cancellation_told_by_watch_and_listener_is_one(
    engine: sa.Engine, settings: Settings, order: Order, scheduled: Store, alerts: Alerts
) -> None:
    scheduled(order.scheduled_at)
    announced_alerts(engine, settings)
    scheduled(order.scheduled_at, status="cancelled")
    assert cancelled_alert(engine, settings, order)
    assert announced_alerts(engine, settings) == 0
    assert len(alerts()) == 2


def test_a_detection_says_whether_a_pump_was_announced(engine: sa.Engine, settings: Settings, alerts: Alerts, now: datetime) -> None:
    row = {
        "detection_id": "d1",
        "instrument_id": 1,
        "exchange": "xt",
        "symbol": "ABC",
        "detected_at": now,
        "volume_z": 41.234,
        "trades_z": 12.0,
        "price_change": 0.1234,
        "reason": "taker buys over 25 s 41.2 deviations above",
        "pump_id": None,
    }
    assert detected_alert(engine, settings, row)
    assert not detected_alert(engine, settings, row)
    (alert,) = alerts()
    assert "none was announced" in alert["body"]["lines"][0]
    assert alert["body"]["evidence"]["volume_z"] == 41.23


def test_no_alert_advises(
    engine: sa.Engine, settings: Settings, order: Order, scheduled: Store, released: Store, alerts: Alerts, now: datetime
) -> None:
    scheduled(order.scheduled_at)
    announced_alerts(engine, settings)
    candidates_alert(engine, settings, order, "poloniex", now, ranking(2), SYMBOLS, DEFAULT)
    suspected_alert(engine, settings, order, "poloniex", now, ranking(2), SYMBOLS, DEFAULT)
    released(now)
    released_alert(engine, settings, order, "event1")
    over_alert(engine, settings, order)
    cancelled_alert(engine, settings, order)
    assert len(alerts()) == 6
    for alert in alerts():
        body = alert["body"]
        said = " ".join([body["title"], *body["unknown"], *(line for line in body["lines"] if not line.startswith('"'))]).lower()
        # "taker buys" is a metric.
        said = said.replace("taker buys", "")
        assert "suspected" in body["title"].lower()
        assert not [word for word in ADVICE if word in said]
        assert body["disclaimer"]
