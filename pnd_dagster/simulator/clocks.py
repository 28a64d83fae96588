"""How channels write a date and a time: zones, weekdays, relative words, and the slips they make ("17:00 PM")."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple


class Wording(NamedTuple):
    """A moment as written: the words of the day and of the hour."""

    day: str
    hour: str


Clock = Callable[[datetime, datetime], Wording]

ENGLISH_UNITS = ("hour", "hours", "minute", "minutes")
_ENGLISH_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_ENGLISH_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def _ordinal(day: int) -> str:
    suffix = "th" if 10 <= day % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{suffix}"


def _hour12(local: datetime) -> str:
    hour = local.hour % 12 or 12
    minutes = f":{local.minute:02d}" if local.minute else ""
    return f"{hour}{minutes} {'AM' if local.hour < 12 else 'PM'}"


_DAYS: dict[str, Callable[[datetime], str]] = {
    "weekday day month": lambda at: f"{_ENGLISH_DAYS[at.weekday()]}, {at.day} {_ENGLISH_MONTHS[at.month - 1]}",
    "weekday month ordinal": lambda at: f"{_ENGLISH_DAYS[at.weekday()]} {_ENGLISH_MONTHS[at.month - 1]} {_ordinal(at.day)}",
    "month ordinal year": lambda at: f"{_ENGLISH_MONTHS[at.month - 1]} {_ordinal(at.day)}, {at.year}",
    "d/m/y": lambda at: f"{at:%d/%m/%Y}",
    "d-m-y": lambda at: f"{at.day}-{at.month}-{at.year}",
    "d.m.y": lambda at: f"{at:%d.%m.%Y}",
    "iso": lambda at: f"{at:%Y-%m-%d}",
    "weekday": lambda at: _ENGLISH_DAYS[at.weekday()],
}
_HOURS: dict[str, Callable[[datetime], str]] = {
    "24": lambda at: f"{at:%H:%M}",
    "24 dot": lambda at: f"{at:%H.%M}",
    "24 pm": lambda at: f"{at:%H:%M} {'am' if at.hour < 12 else 'pm'}",
    "24 h": lambda at: f"{at:%Hh%M}",
    "military": lambda at: f"{at:%H%M}",
    "12": _hour12,
}


def clock(
    day: str,
    hour: str,
    zone: str,
    *,
    offset_hours: float = 0,
    relative_words: tuple[str, str] | None = None,
    second_zone: tuple[str, float] | None = None,
) -> Clock:
    """A way to write moments.

    Args:
        day: form of the date, a key of the forms above.
        hour: form of the time.
        zone: zone as written.
        offset_hours: that zone's distance from UTC.
        relative_words: words for today and tomorrow, used instead of the date where they fit.
        second_zone: a further zone, written after a slash.

    Returns:
        A function of (moment, time of writing) that gives the words.
    """

    def write(moment: datetime, written_at: datetime) -> Wording:
        offset = timedelta(hours=offset_hours)
        local = moment + offset
        days_ahead = (local.date() - (written_at + offset).date()).days
        date_text = relative_words[days_ahead] if relative_words and days_ahead in (0, 1) else _DAYS[day](local)
        hour_text = f"{_HOURS[hour](local)} {zone}".strip()
        if second_zone:
            hour_text += f" / {_HOURS[hour](moment + timedelta(hours=second_zone[1]))} {second_zone[0]}"
        return Wording(date_text, hour_text)

    return write


def time_left(minutes: int, units: tuple[str, str, str, str]) -> str:
    """`minutes` in words: `units` are the words for hour, hours, minute and minutes."""
    hour, hours, minute, minutes_word = units
    if minutes >= 60 and minutes % 60 == 0:
        return f"{minutes // 60} {hour if minutes == 60 else hours}"
    if minutes > 90:
        return f"{minutes // 60} {hour if minutes < 120 else hours} {minutes % 60} {minutes_word}"
    return f"{minutes} {minute if minutes == 1 else minutes_word}"
