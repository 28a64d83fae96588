"""Promised against realised, by channel, from planted announcements and outcomes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from pnd_dagster import tables
from pnd_dagster.analysis.honesty import write_honesty
from pnd_dagster.storage import read_frame
from tests.unit.analysis.conduct_world import NOW, START, event, labelled, message, put

HOUR = timedelta(hours=1)


def announcement(name: str, channel: int, status: str, **others: Any) -> dict[str, Any]:
    """A pump at START that was announced six hours before."""
    at = {"announced_at": START - 6 * HOUR, "scheduled_at": START, "status_at": START}
    return {"announcement_id": name, "channel_id": channel, "message_id": 1, "status": status} | at | others


def outcome(event_id: str, gain: float, moved: bool, resolution: str = "trade", late: float = -0.2) -> dict[str, Any]:
    shown = {"gain_ratio": gain, "is_moved": moved, "bought_30s_1h_ratio": late}
    return {"event_id": event_id, "symbol": "AAA", "released_at": START, "resolution": resolution, "computed_at": NOW} | shown


def release(channel: int, event_id: str) -> dict[str, Any]:
    return {"channel_id": channel, "message_id": 9, "released_at": START, "symbol": "AAA", "event_id": event_id, "confidence": 1.0}


def rows(engine: sa.Engine) -> dict[int, dict[str, Any]]:
    write_honesty(engine, NOW)
    return {row["channel_id"]: row for row in read_frame(engine, sa.select(tables.CHANNEL_HONESTY)).iter_rows(named=True)}


def test_promises_are_held_against_the_peak(engine: sa.Engine) -> None:
    put(engine, tables.PUMP_ANNOUNCEMENTS, announcement("a1", 1, "released"), announcement("a2", 2, "released"))
    put(engine, tables.PUMP_EVENTS, event("e1", announcement_ids=["a1", "a2"], channel_ids=[1, 2]))
    put(engine, tables.PUMP_RELEASES, release(1, "e1"), release(2, "e1"))
    put(engine, tables.PUMP_OUTCOMES, outcome("e1", 1.0, True))
    labelled(engine, 0, message(1, 1, START - 6 * HOUR, "Next pump today, target: 500%"))
    labelled(engine, 1, message(1, 2, START - HOUR, "one hour left, target 300%"))
    labelled(engine, 0, message(2, 1, START - 6 * HOUR, "Pump today, we expect 50%"))
    found = rows(engine)
    assert (found[1]["promised_median_ratio"], found[1]["realised_median_ratio"], found[1]["realised_over_promised"]) == (4.0, 1.0, 0.25)
    assert (found[1]["compared_count"], found[1]["promise_kept_count"]) == (1, 0)
    assert (found[2]["realised_over_promised"], found[2]["promise_kept_count"]) == (2.0, 1)
    assert found[1]["late_buyer_median_ratio"] == -0.2


def test_what_became_of_announcements_is_counted(engine: sa.Engine) -> None:
    states = ("released", "cancelled", "expired", "expired", "scheduled", "postponed")
    put(engine, tables.PUMP_ANNOUNCEMENTS, *(announcement(f"a{number}", 1, state) for number, state in enumerate(states)))
    put(engine, tables.PUMP_ANNOUNCEMENTS, announcement("late", 1, "released", schedule_revision=2))
    found = rows(engine)[1]
    counts = [found[f"{name}_count"] for name in ("announced", "released_announced", "cancelled", "never_released", "postponed")]
    assert counts == [7, 2, 1, 2, 2]
    assert found["kept_ratio"] == pytest.approx(2 / 5)
    assert (found["event_count"], found["realised_median_ratio"], found["promised_median_ratio"]) == (0, None, None)


def test_coins_that_did_not_move_are_counted_where_it_is_known(engine: sa.Engine) -> None:
    put(engine, tables.PUMP_EVENTS, *(event(name) for name in ("e1", "e2", "e3", "e4")))
    put(engine, tables.PUMP_RELEASES, *(release(1, f"e{number}") | {"message_id": number} for number in range(1, 5)))
    put(engine, tables.PUMP_OUTCOMES, outcome("e1", 0.5, True), outcome("e2", 0.01, False), outcome("e3", 9.0, True, "day"))
    found = rows(engine)[1]
    assert (found["event_count"], found["outcome_count"], found["unmoved_count"]) == (4, 2, 1)


@pytest.mark.parametrize(
    ("label", "at", "others"),
    [
        (5, -HOUR, {}),
        (3, -HOUR, {}),
        (0, -7 * HOUR, {}),
        (0, HOUR, {}),
        (0, -HOUR, {"is_from_member": True}),
    ],
)
def test_what_is_no_promise_of_that_pump_does_not_count(engine: sa.Engine, label: int, at: timedelta, others: dict[str, Any]) -> None:
    put(engine, tables.PUMP_ANNOUNCEMENTS, announcement("a1", 1, "released"))
    labelled(engine, label, message(1, 5, START + at, "target 500%", **others))
    assert rows(engine)[1]["promised_count"] == 0


@pytest.mark.parametrize(
    "text", ["target 1000000000x", "target -5%", "\u202e%005 tegrat\u202c", "<b>100% fair</b>", "'; DROP TABLE x; -- 5%"]
)
def test_hostile_texts_promise_nothing(engine: sa.Engine, text: str) -> None:
    put(engine, tables.PUMP_ANNOUNCEMENTS, announcement("a1", 1, "released"))
    labelled(engine, 0, message(1, 5, START - HOUR, text))
    assert rows(engine)[1]["promised_count"] == 0


def test_writing_twice_changes_nothing_and_nothing_known_is_said(engine: sa.Engine) -> None:
    empty = write_honesty(engine, NOW)
    assert empty.channels.is_empty()
    assert any("pump_announcements" in note for note in empty.notes)
    put(engine, tables.PUMP_ANNOUNCEMENTS, announcement("a1", 1, "released"))
    assert write_honesty(engine, NOW).written.inserted == 1
    again = write_honesty(engine, NOW + HOUR).written
    assert (again.inserted, again.updated, again.deleted) == (0, 0, 0)


def test_a_pump_that_several_channels_promise_is_one_witness(engine: sa.Engine) -> None:
    names = [f"a{channel}" for channel in range(1, 6)]
    put(engine, tables.PUMP_ANNOUNCEMENTS, *(announcement(name, channel, "released") for channel, name in enumerate(names, 1)))
    put(engine, tables.PUMP_EVENTS, event("e1", announcement_ids=names))
    put(engine, tables.PUMP_OUTCOMES, outcome("e1", 1.0, True))
    for channel in range(1, 6):
        labelled(engine, 0, message(channel, 1, START - HOUR, "target 400%"))
    figures = {row["what"]: row for row in write_honesty(engine, NOW).figures.iter_rows(named=True)}
    assert figures["median of realised over promised gain"]["n"] == 1
    assert figures["median of realised over promised gain"]["value"] == 0.25
