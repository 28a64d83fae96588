"""Alerts that follow from what is in the database, whoever wrote it and whenever."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from pnd_dagster import tables
from pnd_dagster.alerts.stages import announced_alerts
from pnd_dagster.events.identity import stable_id
from pnd_dagster.settings import Settings

Alerts = Callable[..., list[dict[str, Any]]]
Store = Callable[..., None]


def test_a_scheduled_pump_is_announced_once_on_each_channel(
    engine: sa.Engine, settings: Settings, scheduled: Store, alerts: Alerts
) -> None:
    scheduled()
    configured = settings.model_copy(update={"alert_webhook_url": "https://example.org/hook"})
    assert announced_alerts(engine, configured) == 1
    assert announced_alerts(engine, configured) == 0
    assert [len(alerts(channel)) for channel in ("webhook", "file", "log", "e-mail")] == [1, 1, 1, 0]


def test_a_channel_that_is_set_up_later_gets_what_is_still_to_come(
    engine: sa.Engine, settings: Settings, scheduled: Store, alerts: Alerts
) -> None:
    scheduled()
    announced_alerts(engine, settings)
    configured = settings.model_copy(update={"alert_webhook_url": "https://example.org/hook"})
    assert announced_alerts(engine, configured) == 1
    assert alerts("webhook")[0]["alert_id"] == alerts("file")[0]["alert_id"]


def test_an_announcement_gives_evidence_says_what_is_unknown_and_advises_nothing(
    engine: sa.Engine, settings: Settings, scheduled: Store, alerts: Alerts
) -> None:
    scheduled()
    announced_alerts(engine, settings)
    (alert,) = alerts()
    body = alert["body"]
    assert alert["title"].startswith("Suspected pump on poloniex: announced for ")
    assert "1 channel (Mega Signals) announced a pump on poloniex" in body["lines"][0]
    assert "40 min from now" in body["lines"][0]
    assert body["lines"][1] == '"Next pump today on Poloniex, be ready! join [link] now" (Mega Signals, message 7)'
    assert body["evidence"]["messages"][0]["labeller"] == "pumpbert v1"
    assert any("Which coin" in line for line in body["unknown"])
    assert "no recommendation to buy, sell or hold" in body["disclaimer"]


def test_a_postponement_is_announced_again_and_names_the_time_before(
    engine: sa.Engine, settings: Settings, scheduled: Store, alerts: Alerts, now: datetime
) -> None:
    scheduled()
    announced_alerts(engine, settings)
    scheduled(now + timedelta(hours=2), status="postponed", revision=1, previous_scheduled_at=now + timedelta(minutes=40))
    assert announced_alerts(engine, settings) == 1
    assert announced_alerts(engine, settings) == 0
    moved = alerts()[-1]
    assert "postponed for" in moved["title"]
    assert moved["body"]["lines"][1].startswith("Before, it was announced for ")


def test_a_pump_that_loses_its_time_is_postponed_under_the_same_id(
    engine: sa.Engine, settings: Settings, scheduled: Store, alerts: Alerts, now: datetime
) -> None:
    scheduled(status="postponed", revision=1, scheduled_at=None, previous_scheduled_at=now)
    assert announced_alerts(engine, settings) == 1
    assert alerts()[0]["subject_id"] == stable_id("pump", "a1")
    assert "postponed without a time" in alerts()[0]["title"]


def test_an_announcement_without_a_time_is_told_while_it_is_fresh(
    engine: sa.Engine, settings: Settings, scheduled: Store, alerts: Alerts, now: datetime
) -> None:
    scheduled(scheduled_at=None, status_at=now - timedelta(hours=2))
    assert announced_alerts(engine, settings) == 0
    scheduled(scheduled_at=None)
    assert announced_alerts(engine, settings) == 1
    assert alerts()[0]["subject_id"] == "a1"
    assert "When it shall start." in alerts()[0]["body"]["unknown"]


def test_a_cancellation_is_told_once_and_only_of_a_pump_that_was_announced(
    engine: sa.Engine, settings: Settings, scheduled: Store, alerts: Alerts
) -> None:
    scheduled(status="cancelled")
    assert announced_alerts(engine, settings) == 0
    scheduled()
    announced_alerts(engine, settings)
    scheduled(status="cancelled")
    assert announced_alerts(engine, settings) == 1
    assert announced_alerts(engine, settings) == 0
    assert [alert["stage"] for alert in alerts()] == ["announced", "cancelled"]


def test_history_alerts_nobody(engine: sa.Engine, settings: Settings, scheduled: Store, released: Store, now: datetime) -> None:
    scheduled(now - timedelta(days=400))
    released(now - timedelta(days=400))
    assert announced_alerts(engine, settings) == 0


def test_a_named_coin_belongs_to_its_pump_and_says_that_nobody_ranked_it(
    engine: sa.Engine, settings: Settings, scheduled: Store, released: Store, alerts: Alerts, now: datetime
) -> None:
    scheduled(now - timedelta(minutes=1))
    released()
    assert announced_alerts(engine, settings) == 1
    (alert,) = alerts()
    assert (alert["stage"], alert["subject_id"], alert["symbol"]) == ("released", "pump1", "ABC")
    assert "Nobody watched: its coins were not ranked." in alert["body"]["lines"]


def test_a_coin_that_is_named_out_of_the_blue_is_told_too(engine: sa.Engine, settings: Settings, released: Store, alerts: Alerts) -> None:
    released(announcement_ids=())
    assert announced_alerts(engine, settings) == 1
    assert alerts()[0]["subject_id"] == "event1"


def test_a_pump_that_was_announced_is_over_some_minutes_after_its_time(
    engine: sa.Engine, settings: Settings, scheduled: Store, released: Store, alerts: Alerts, now: datetime
) -> None:
    scheduled()
    announced_alerts(engine, settings)
    scheduled(now - timedelta(minutes=5), status="released")
    released(now - timedelta(minutes=5))
    assert announced_alerts(engine, settings) == 2
    over = next(alert for alert in alerts() if alert["stage"] == "over")
    assert over["title"].endswith("is over: ABC was named")
    assert "It was not watched." in over["body"]["lines"]


def test_a_pump_on_an_exchange_that_is_not_collected_is_said_not_to_be_watched(
    engine: sa.Engine, settings: Settings, scheduled: Store, alerts: Alerts
) -> None:
    scheduled(exchange="hotbit")
    announced_alerts(engine, settings)
    body = alerts()[0]["body"]
    assert "It is not watched: hotbit is not collected here, so its coins cannot be ranked." in body["lines"]
    assert "What the coins of hotbit do." in body["unknown"]
    scheduled(revision=1)
    announced_alerts(engine, settings)
    assert not any("not watched" in line for line in alerts()[1]["body"]["lines"])


def test_hostile_titles_and_texts_come_out_as_one_plain_line(
    engine: sa.Engine, settings: Settings, scheduled: Store, alerts: Alerts, message: Store
) -> None:
    scheduled()
    with engine.begin() as connection:
        bad = "Pump\u202e gnol\u200b <script>\r\nBcc: x@example.org\x00 " + "z" * 400
        connection.execute(sa.update(tables.TELEGRAM_CHANNELS).values(title=bad.replace("\x00", "")))
        connection.execute(sa.update(tables.TELEGRAM_MESSAGES).values(text="a\u200bb\n[x](javascript:alert(1)) evil.example.com/@all"))
    announced_alerts(engine, settings)
    lines = "".join(alerts()[0]["body"]["lines"])
    assert lines.isprintable()
    assert not {"<", ">", "\u202e", "\u200b"} & set(lines)
    assert "example" not in lines
    assert "javascript" not in lines
    assert len(alerts()[0]["body"]["lines"][0]) < 300


def test_asking_when_nothing_is_new_is_cheap(engine: sa.Engine, settings: Settings, scheduled: Store) -> None:
    scheduled()
    announced_alerts(engine, settings)
    began = time.perf_counter()
    for _ in range(20):
        announced_alerts(engine, settings)
    # The aim is 50 ms; a busy machine gets more.
    assert (time.perf_counter() - began) / 20 < 0.2
