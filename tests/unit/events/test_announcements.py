"""Stories of announced pumps, told to `build_channel` message by message. They begin on Friday 5 May 2023, 12:00 UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from pnd_dagster.events import build_channel

ANNOUNCEMENT, COUNTDOWN, RELEASE, RESULTS, DELAY, NOISE = range(6)
KNOWN = frozenset({"NEBL", "VIBE"})
ANNOUNCED = "Next pump\nDate: Friday, 5 May\nTime: 17:00 GMT\nExchange: Binance"
COIN = "The coin is NEBL, buy and hold!"


def at(hour: int, minute: int = 0, day: int = 5) -> datetime:
    return datetime(2023, 5, day, hour, minute, tzinfo=UTC)


def told(messages: pl.DataFrame, as_of: datetime | None = None) -> list[dict[str, Any]]:
    return build_channel(messages, KNOWN, as_of).announcements.sort("scheduled_at").to_dicts()


def test_an_announcement_opens_a_pump_with_exchange_time_and_zone(channel: Any) -> None:
    (pump,) = told(channel((0, ANNOUNCEMENT, ANNOUNCED)))

    assert (pump["exchange"], pump["scheduled_at"], pump["zone_text"], pump["status"]) == ("binance", at(17), "GMT", "scheduled")
    assert pump["is_inferred"]  # the year is not written
    assert pump["schedule_revision"] == 0


def test_announced_postponed_by_one_hour_and_released(channel: Any) -> None:
    messages = channel(
        (0, ANNOUNCEMENT, ANNOUNCED),
        (270, DELAY, "Sorry guys, the pump is postponed by 1 hour"),
        (345, COUNTDOWN, "15 minutes left"),
        (358, COUNTDOWN, "Next post will be the coin"),
        (360, RELEASE, COIN),
    )
    (pump,) = told(messages)

    assert (pump["scheduled_at"], pump["previous_scheduled_at"], pump["schedule_revision"]) == (at(18), at(17), 1)
    assert (pump["status"], pump["status_at"], pump["released_message_id"], pump["base_symbol"]) == ("released", at(18), 5, "NEBL")
    assert pump["evidence_message_ids"] == [1, 2, 5]


@pytest.mark.parametrize(
    ("text", "scheduled_at"),
    [
        ("Pump delayed by 30 minutes", at(17, 30)),
        ("Pump will be delayed for two hours", at(19)),
        ("The pump is rescheduled. New time: Saturday, 6 May at 19:00 GMT", at(19, day=6)),
        ("We postpone the pump from 17:00 GMT to 20:00 GMT", at(20)),
        ("Due to the market the pump moves to tomorrow, same time", at(17, day=6)),
        ("The pump is postponed, we will tell you the new date soon", None),
    ],
)
def test_a_postponement_moves_the_open_pump(channel: Any, text: str, scheduled_at: datetime | None) -> None:
    (pump,) = told(channel((0, ANNOUNCEMENT, ANNOUNCED), (120, DELAY, text)))

    assert (pump["scheduled_at"], pump["previous_scheduled_at"]) == (scheduled_at, at(17))
    assert (pump["status"], pump["schedule_revision"]) == ("postponed", 1)


def test_a_cancelled_pump_is_cancelled_and_stays_so(channel: Any) -> None:
    (pump,) = told(channel((0, ANNOUNCEMENT, ANNOUNCED), (200, DELAY, "Today's pump is cancelled"), (2000, NOISE, "good morning")))

    assert (pump["status"], pump["status_at"]) == ("cancelled", at(15, 20))


def test_a_cancellation_leaves_the_other_pump_open(channel: Any) -> None:
    later = "Next pump\nDate: Sunday, 7 May\nTime: 17:00 GMT\nExchange: Kucoin"
    first, second = told(channel((0, ANNOUNCEMENT, ANNOUNCED), (1, ANNOUNCEMENT, later), (200, DELAY, "Today's pump is cancelled")))

    assert (first["status"], second["status"]) == ("cancelled", "scheduled")


def test_a_pump_nothing_came_of_expires(channel: Any) -> None:
    messages = channel((0, ANNOUNCEMENT, ANNOUNCED))

    assert told(messages)[0]["status"] == "scheduled"
    assert told(messages, as_of=at(22, 59))[0]["status"] == "scheduled"
    assert (told(messages, as_of=at(23))[0]["status"], told(messages, as_of=at(23))[0]["status_at"]) == ("expired", at(23))


def test_restating_an_announcement_opens_no_second_one(channel: Any) -> None:
    (pump,) = told(
        channel((0, ANNOUNCEMENT, ANNOUNCED), (60, ANNOUNCEMENT, "Reminder! " + ANNOUNCED), (90, ANNOUNCEMENT, "Pump today 17:00 GMT"))
    )

    assert pump["message_id"] == 1
    assert pump["evidence_message_ids"] == [1, 2, 3]


def test_a_later_message_supplies_the_exchange(channel: Any) -> None:
    (pump,) = told(channel((0, ANNOUNCEMENT, "Pump on Friday, 5 May at 17:00 GMT"), (60, ANNOUNCEMENT, ANNOUNCED)))

    assert (pump["message_id"], pump["exchange"]) == (1, "binance")


def test_two_pumps_in_one_post_are_two_announcements(channel: Any) -> None:
    text = "Our schedule\nFriday, 5 May 17:00 GMT on Binance\nSunday, 7 May 19:00 GMT on Kucoin"
    first, second = told(channel((0, ANNOUNCEMENT, text)))

    assert (first["scheduled_at"], first["exchange"]) == (at(17), "binance")
    assert (second["scheduled_at"], second["exchange"]) == (at(19, day=7), "kucoin")
    assert first["announcement_id"] != second["announcement_id"]


def test_an_edit_changes_its_announcement_and_opens_none(channel: Any) -> None:
    edited = ANNOUNCED.replace("17:00", "19:30")
    (pump,) = told(channel((0, ANNOUNCEMENT, ANNOUNCED), (30, ANNOUNCEMENT, edited), message_ids=[7, 7]))

    assert (pump["scheduled_at"], pump["previous_scheduled_at"], pump["schedule_revision"]) == (at(19, 30), at(17), 1)


def test_an_announcement_near_new_year_means_the_coming_january(channel: Any) -> None:
    start = datetime(2022, 12, 30, 12, 0, tzinfo=UTC)
    (pump,) = told(channel((0, ANNOUNCEMENT, "Pump on 2 January, 17:00 GMT, Binance"), start=start))

    assert pump["scheduled_at"] == datetime(2023, 1, 2, 17, 0, tzinfo=UTC)


def test_a_countdown_without_an_announcement_opens_a_pump(channel: Any) -> None:
    (pump,) = told(channel((0.2, COUNTDOWN, "1 hour left until the pump on Kucoin"), (30, COUNTDOWN, "30 minutes left until the pump")))

    assert (pump["scheduled_at"], pump["exchange"], pump["is_inferred"]) == (at(13), "kucoin", True)


def test_an_announcement_without_a_time_waits_for_one(channel: Any) -> None:
    (waiting,) = told(channel((0, ANNOUNCEMENT, "Big pump on Binance very soon")))
    (timed,) = told(channel((0, ANNOUNCEMENT, "Big pump on Binance very soon"), (60, ANNOUNCEMENT, ANNOUNCED)))

    assert (waiting["scheduled_at"], waiting["status"]) == (None, "scheduled")
    assert (timed["scheduled_at"], timed["message_id"]) == (at(17), 1)


def test_two_days_of_the_same_announcement_are_two_pumps(channel: Any) -> None:
    again = ANNOUNCED.replace("Friday, 5 May", "Saturday, 6 May")
    messages = channel(
        (0, ANNOUNCEMENT, ANNOUNCED), (299, COUNTDOWN, "Next post is the coin"), (300, RELEASE, COIN), (400, ANNOUNCEMENT, again)
    )
    first, second = told(messages)

    assert (first["status"], second["status"]) == ("released", "scheduled")
    assert second["scheduled_at"] - first["scheduled_at"] == timedelta(days=1)


def test_a_close_countdown_corrects_an_hour_that_summer_time_moved(channel: Any) -> None:
    (pump,) = told(channel((0, ANNOUNCEMENT, ANNOUNCED), (210, COUNTDOWN, "30 minutes left until the pump")))

    assert (pump["scheduled_at"], pump["previous_scheduled_at"], pump["status"]) == (at(16), at(17), "scheduled")
    assert (pump["schedule_revision"], pump["is_inferred"], pump["evidence_message_ids"]) == (1, True, [1, 2])


def test_a_close_countdown_sharpens_a_rough_one(channel: Any) -> None:
    (pump,) = told(
        channel((3, COUNTDOWN, "5 hours left until the pump"), (270, COUNTDOWN, "30 minutes left"), (290, COUNTDOWN, "10 minutes left"))
    )

    assert pump["scheduled_at"] == at(17)
