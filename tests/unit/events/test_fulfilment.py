"""Which pump a named coin fulfils: one rule, also where pumps lie near each other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from pnd_dagster.events.fulfilment import coins_of, pump_called, pump_of, pumps_about
from pnd_dagster.tables import PUMP_ANNOUNCEMENTS, PUMP_EVENTS, SCHEDULED_PUMPS

START = datetime(2026, 3, 6, 17, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
Store = Callable[..., None]


def pump(pump_id: str, minutes: float = 0, exchange: str | None = "kucoin", status: str = "scheduled") -> dict[str, Any]:
    at = START + minutes * MINUTE
    return {"pump_id": pump_id, "exchange": exchange, "scheduled_at": at, "announcement_ids": [f"a-{pump_id}"], "status": status}


def event(minutes: float, *announced: str, exchange: str | None = "kucoin", event_id: str = "e") -> dict[str, Any]:
    ids = [f"a-{pump_id}" for pump_id in announced]
    return {"event_id": event_id, "exchange": exchange, "released_at": START + minutes * MINUTE, "announcement_ids": ids}


def fulfilled(named: dict[str, Any], *pumps: dict[str, Any]) -> str | None:
    found = pump_of(named, pumps)
    return found["pump_id"] if found else None


def test_a_coin_that_an_announcement_led_to_is_of_that_pump_however_near_another_is() -> None:
    assert fulfilled(event(0, "far"), pump("near"), pump("far", 90)) == "far"
    assert fulfilled(event(0, "unknown"), pump("near")) is None


def test_a_coin_out_of_the_blue_is_of_the_nearest_pump_on_its_exchange() -> None:
    first, second = pump("first"), pump("second", 11)
    assert [fulfilled(event(minutes), first, second) for minutes in (-3, -1, 5, 9.5, 15, 22)] == [
        *(None, "first", "first", "second", "second", None)
    ]
    assert fulfilled(event(1), pump("unnamed", 1, exchange=None), first) == "first"
    assert fulfilled(event(1), pump("unnamed", 1, exchange=None)) == "unnamed"
    assert fulfilled(event(1, exchange="xt"), first) is None
    assert fulfilled(event(1, exchange=None), first) is None
    assert fulfilled(event(1), pump("off", status="cancelled")) is None


@pytest.fixture
def store(engine: sa.Engine) -> Store:
    """Writes pumps and events."""

    def write(*rows: dict[str, Any]) -> None:
        with engine.begin() as connection:
            for row in rows:
                if "pump_id" in row:
                    more = {"schedule_revision": 0, "channel_ids": [1], "channel_count": 1, "first_announced_at": START - 60 * MINUTE}
                    connection.execute(sa.insert(SCHEDULED_PUMPS).values(**row, **more))
                else:
                    more = {"paper_event_key": "k", "symbol": "ABC", "last_released_at": row["released_at"], "confidence": 0.9}
                    more |= {"channel_ids": [1], "channel_count": 1, "evidence_count": 1, "aliases": []}
                    connection.execute(sa.insert(PUMP_EVENTS).values(**row, **more))

    return write


def coins(engine: sa.Engine, of: dict[str, Any]) -> list[str]:
    with engine.connect() as connection:
        return [row["event_id"] for row in coins_of(connection, of)]


def test_the_coins_of_a_pump_are_those_it_led_to_and_then_those_nearest_to_it(engine: sa.Engine, store: Store) -> None:
    first, second = pump("first"), pump("second", 11)
    store(first, second, event(1, event_id="blue"), event(9.5, event_id="later"), event(200, "first", event_id="own"))
    assert coins(engine, first) == ["own", "blue"]
    assert coins(engine, second) == ["later"]


def test_each_coin_out_of_the_blue_is_of_one_pump_at_most(engine: sa.Engine, store: Store) -> None:
    pumps = [pump("first"), pump("second", 11), pump("third", 12, exchange=None)]
    store(*pumps, *(event(minutes, event_id=str(minutes)) for minutes in range(-3, 25)))
    claimed = [event_id for one in pumps for event_id in coins(engine, one)]
    assert len(claimed) == len(set(claimed)) > 20


def test_what_nobody_announced_takes_whatever_is_named_then_on_its_exchange(engine: sa.Engine, store: Store) -> None:
    by_hand = {"pump_id": None, "exchange": "kucoin", "scheduled_at": START, "announcement_ids": []}
    store(event(1, "first", event_id="any"), event(1, exchange="xt", event_id="elsewhere"), event(11, event_id="late"))
    assert coins(engine, by_hand) == ["any"]


def test_an_announcement_without_a_time_stands_for_a_pump(engine: sa.Engine, store: Store) -> None:
    row = {"announcement_id": "soon", "channel_id": 1, "message_id": 1, "announced_at": START, "exchange": "kucoin", "is_inferred": False}
    row |= {"schedule_revision": 0, "status": "scheduled", "status_at": START, "evidence_message_ids": [1]}
    with engine.begin() as connection:
        connection.execute(sa.insert(PUMP_ANNOUNCEMENTS).values(**row))
    store(pump("later", 200), event(4, event_id="blue"))
    with engine.connect() as connection:
        assert [one["pump_id"] for one in pumps_about(connection, START - MINUTE, START + MINUTE)] == ["soon"]
        soon = pump_called(connection, "soon")
        assert pump_called(connection, "later") == pump("later", 200)
        assert pump_called(connection, "nothing") is None
    assert soon is not None
    assert coins(engine, dict(soon)) == ["blue"]
