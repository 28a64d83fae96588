"""Start times as announcers write them. The anchor is Wednesday 14 July 2021, 12:00 UTC, unless a case says otherwise."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pnd_dagster.events.times import LONGEST_LAG, LONGEST_LEAD, read_remaining, read_times

ANCHOR = datetime(2021, 7, 14, 12, 0, tzinfo=UTC)


def utc(day: int, hour: int, minute: int = 0, month: int = 7, year: int = 2021) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "at", "zone_text"),
    [
        pytest.param("2021-07-16T17:00:00Z", utc(16, 17), "Z", id="ISO 8601"),
        pytest.param("2021-07-16 17:00 UTC", utc(16, 17), "UTC", id="ISO date and time apart"),
        pytest.param("pump starts in 2 hours", utc(14, 14), None, id="relative hours"),
        pytest.param("1 hour 10 minutes left", utc(14, 13, 10), None, id="hours and minutes left"),
        pytest.param("half an hour left", utc(14, 12, 30), None, id="half an hour"),
        pytest.param("tomorrow 18:00 UTC", utc(15, 18), "UTC", id="tomorrow"),
        pytest.param("Date: Saturday\nTime: 17:00 GMT", utc(17, 17), "GMT", id="weekday"),
        pytest.param("Wednesday 11:00 GMT", utc(21, 11), "GMT", id="today's weekday with a time gone by is next week"),
        pytest.param("18th of July at 4.00 PM (GMT)", utc(18, 16), "GMT", id="ordinal day, dotted time"),
        pytest.param("July 18, 2021 - 17:00 UTC", utc(18, 17), "UTC", id="month first"),
        pytest.param("27-Jul-2021 9PM GMT", utc(27, 21), "GMT", id="hyphens"),
        pytest.param("DATE: 07/16/2021\nTIME: 4 PM GMT", utc(16, 16), "GMT", id="American order, told by the sixteenth month"),
        pytest.param("16/07/2021 16:00 GMT", utc(16, 16), "GMT", id="European order"),
        pytest.param("Date: Thursday 05/08\n15:00 UTC", utc(5, 15, month=8), "UTC", id="the weekday tells day from month"),
        pytest.param("03_08_2021 at 17:00 GMT", utc(3, 17, month=8), "GMT", id="underscores"),
        pytest.param("17:00 PM GMT", utc(14, 17), "GMT", id="24-hour time with PM"),
        pytest.param("today 18 pm", utc(14, 18), None, id="18 pm"),
        pytest.param("today 4pm 16 GMT", utc(14, 16), "GMT", id="the same hour twice"),
        pytest.param("today 2200 GMT", utc(14, 22), "GMT", id="military time"),
        pytest.param("today 18h30 UTC", utc(14, 18, 30), "UTC", id="h as separator"),
        pytest.param("today at 16 UTC", utc(14, 16), "UTC", id="bare hour before a zone"),
        pytest.param("UTC - 17:00", utc(14, 17), "UTC", id="a dash that is no offset"),
        pytest.param("Friday 5 pm GMT+1", utc(16, 16), "GMT+1", id="offset"),
        pytest.param("Friday 21:00 UTC+05:30", utc(16, 15, 30), "UTC+05:30", id="offset with minutes"),
        pytest.param("TIME : GMT+3 / 20.00\nTOMORROW", utc(15, 17), "GMT+3", id="zone before the time, day below"),
        pytest.param("Friday 1 PM EST", utc(16, 17), "EST", id="EST in July is New York's clock"),
        pytest.param("Friday 22:30 IST", utc(16, 17), "IST", id="India"),
        pytest.param("Friday 20:00 MSK", utc(16, 17), "MSK", id="Moscow"),
        pytest.param("16.07.2021 saat 21:00 TSI", utc(16, 18), "TSI", id="Turkish"),
        pytest.param("завтра в 20:00 MSK", utc(15, 17), "MSK", id="Russian"),
        pytest.param("viernes 17:00 UTC", utc(16, 17), "UTC", id="Spanish weekday"),
        pytest.param("today 7 pm GMT London / 8 pm CET", utc(14, 18), "GMT", id="GMT that is British summer time"),
        pytest.param("today 17:00 PM (GMT) (UK Time)", utc(14, 16), "GMT", id="GMT and UK time in brackets"),
        pytest.param("today 21.30 | UTC/GMT +3", utc(14, 18, 30), "GMT +3", id="two names of one zone"),
        pytest.param("Friday 17:00 GMT. Buy within 5 minutes!", utc(16, 17), "GMT", id="a rule beside a date is no countdown"),
        pytest.param("Time: 16 July, 8:02 AM UTC", utc(16, 8, 2), "UTC", id="a day after the word time"),
        pytest.param("Friday 16:00 (GMT)\n19:00 (KSA)", utc(16, 16), "GMT", id="Riyadh below"),
        pytest.param("Tarih: 16.07.2021\nSaat: 21.00", utc(16, 18), None, id="Turkish means Turkey's clock"),
        pytest.param("Saturday 16:00 GMT (12:00 EST, 21:30 IST)", utc(17, 16), "GMT", id="one moment in three zones"),
        pytest.param("Friday 17:00 - 18:00 GMT", utc(16, 17), "GMT", id="a window begins at its beginning"),
        pytest.param("30 minutes left\nPump time = 15.30", utc(14, 12, 30), None, id="a countdown knows the zone that is not written"),
    ],
)
def test_a_start_time_is_read(text: str, at: datetime, zone_text: str | None) -> None:
    readings = read_times(text, ANCHOR)

    assert [reading.at for reading in readings] == [at]
    assert readings[0].zone_text == zone_text
    assert readings[0].time_text


@pytest.mark.parametrize(
    "text",
    [
        "price 0.00001700, target 20.00%",
        "sell at 17.50 or 18.25",
        "buy 1200 sell 1400",
        "we reached 300%",
        "2021 is our year",
        "hold for at least 10 minutes",
        "",
    ],
)
def test_prices_and_percentages_are_no_times(text: str) -> None:
    assert read_times(text, ANCHOR) == []


def test_two_pumps_in_one_post_are_two_readings() -> None:
    text = "Pump 1: 16 July 17:00 UTC on Binance\nPump 2: 18 July 19:00 UTC on Yobit"

    assert [reading.at for reading in read_times(text, ANCHOR)] == [utc(16, 17), utc(18, 19)]


@pytest.mark.parametrize("text", ["1 January, 17:00 UTC", "1 January 2021, 17:00 UTC"])
def test_a_missing_or_last_year_s_number_near_new_year_means_the_coming_year(text: str) -> None:
    (reading,) = read_times(text, datetime(2021, 12, 30, 12, 0, tzinfo=UTC))

    assert reading.at == utc(1, 17, month=1, year=2022)
    assert reading.is_inferred


def test_a_weekday_that_contradicts_the_date_gives_way_and_is_marked() -> None:
    (reading,) = read_times("Sunday, 16 July 2021, 17:00 UTC", ANCHOR)  # a Friday

    assert reading.at == utc(16, 17)
    assert reading.is_inferred


def test_what_is_written_in_full_is_not_inferred() -> None:
    assert not read_times("16 July 2021, 17:00 UTC", ANCHOR)[0].is_inferred
    assert read_times("16 July 2021, 17:00", ANCHOR)[0].is_inferred
    assert read_times("16 July, 17:00 UTC", ANCHOR)[0].is_inferred


def test_the_zone_the_channel_wrote_last_serves_a_time_without_one() -> None:
    (reading,) = read_times("16 July 2021, 20:00", ANCHOR, zone_text="GMT+3")

    assert reading.at == utc(16, 17)


def test_a_time_far_from_the_message_is_not_read() -> None:
    assert read_times("17 December 2021, 17:00 UTC", ANCHOR) == []
    assert read_times("1 July 2021, 17:00 UTC", ANCHOR) == []


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("15 minutes left", 15),
        ("only 1 hour to go!", 60),
        ("5 mins until the pump", 5),
        ("remaining time: 30 minutes", 30),
        ("less than 10 minutes to go", 10),
    ],
)
def test_a_countdown_points_at_its_moment(text: str, minutes: int) -> None:
    reading = read_remaining(text, ANCHOR)

    assert reading is not None
    assert reading.at == ANCHOR + timedelta(minutes=minutes)


@given(
    st.text(alphabet="0123456789:./-_ ,\nAaPpMmGTUCSEhJulyFridayTomorrow+", max_size=120),
    st.integers(0, 4000),
)
@settings(max_examples=150, deadline=None)
def test_any_reading_lies_within_the_window(text: str, days: int) -> None:
    anchor = datetime(2017, 1, 1, 12, tzinfo=UTC) + timedelta(days=days)

    for reading in read_times(text, anchor):
        assert anchor - LONGEST_LAG <= reading.at <= anchor + max(LONGEST_LEAD, timedelta(days=4))


@pytest.mark.parametrize(
    "text", ["17:00 " * 20_000, "1" * 100_000, "July " * 20_000, "GMT " * 25_000, " " * 100_000, "in 1 hour " * 10_000]
)
def test_a_text_of_100_kb_is_read_quickly(text: str) -> None:
    began = time.perf_counter()
    read_times(text, ANCHOR)

    assert time.perf_counter() - began < 1.0
