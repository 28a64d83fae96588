"""How the simulated channels write moments."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pnd_dagster.simulator.clocks import ENGLISH_UNITS, clock, time_left

MOMENT = datetime(2025, 3, 14, 17, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "hour", "zone", "offset_hours", "expected"),
    [
        ("weekday day month", "24", "GMT", 0, ("Friday, 14 March", "17:00 GMT")),
        ("weekday month ordinal", "24 pm", "GMT", 0, ("Friday March 14th", "17:00 pm GMT")),
        ("d.m.y", "24", "TSİ", 3, ("14.03.2025", "20:00 TSİ")),
        ("d/m/y", "24 h", "CET", 1, ("14/03/2025", "18h00 CET")),
        ("weekday", "12", "IST", 5.5, ("Friday", "10:30 PM IST")),
        ("weekday", "military", "GMT", 0, ("Friday", "1700 GMT")),
        ("d-m-y", "24", "AEDT", 11, ("15-3-2025", "04:00 AEDT")),
    ],
)
def test_a_moment_is_written_in_the_channels_zone(day: str, hour: str, zone: str, offset_hours: float, expected: tuple[str, str]) -> None:
    assert clock(day, hour, zone, offset_hours=offset_hours)(MOMENT, MOMENT) == expected


def test_today_and_tomorrow_go_by_the_channels_own_midnight() -> None:
    write = clock("weekday", "24", "IST", offset_hours=5.5, relative_words=("today", "tomorrow"))
    late = datetime(2025, 3, 14, 19, 0, tzinfo=UTC)
    assert write(late, datetime(2025, 3, 14, 18, 0, tzinfo=UTC)).day == "tomorrow"
    assert write(late, datetime(2025, 3, 14, 18, 45, tzinfo=UTC)).day == "today"
    assert write(late, datetime(2025, 3, 12, 18, 0, tzinfo=UTC)).day == "Saturday"


def test_a_second_zone_follows_a_slash() -> None:
    assert clock("iso", "12", "EST", offset_hours=-5, second_zone=("GMT", 0))(MOMENT, MOMENT).hour == "12 PM EST / 5 PM GMT"


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        (1, "1 minute"),
        (45, "45 minutes"),
        (60, "1 hour"),
        (120, "2 hours"),
        (1440, "24 hours"),
        (100, "1 hour 40 minutes"),
        (75, "75 minutes"),
    ],
)
def test_the_time_left_is_said_as_people_say_it(minutes: int, words: str) -> None:
    assert time_left(minutes, ENGLISH_UNITS) == words
