"""Time zones as people write them in announcements: what 'GMT+3', 'EST', 'UK time' mean. No dates and no times are read here."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

_FIXED_HOURS = {
    "GMT": 0.0,
    "UTC": 0.0,
    "Z": 0.0,
    "EDT": -4.0,
    "CDT": -5.0,
    "PDT": -7.0,
    "CEST": 2.0,
    "BST": 1.0,
    "EEST": 3.0,
    "MSK": 3.0,
    "TRT": 3.0,
    "TSI": 3.0,
    "KSA": 3.0,
    "PAK": 5.0,
    "IST": 5.5,
    "PKT": 5.0,
    "GST": 4.0,
    "WAT": 1.0,
    "CAT": 2.0,
    "EAT": 3.0,
    "WIB": 7.0,
    "ICT": 7.0,
    "SGT": 8.0,
    "HKT": 8.0,
    "PHT": 8.0,
    "MYT": 8.0,
    "JST": 9.0,
    "KST": 9.0,
    "BRT": -3.0,
}
# Names of standard time that people go on using all summer: the region decides, not the letters.
_REGIONS = {
    "EST": "America/New_York",
    "ET": "America/New_York",
    "CST": "America/Chicago",
    "PST": "America/Los_Angeles",
    "PT": "America/Los_Angeles",
    "CET": "Europe/Berlin",
    "EET": "Europe/Athens",
    "WET": "Europe/Lisbon",
    "AEST": "Australia/Sydney",
    "UK": "Europe/London",
    "LONDON": "Europe/London",
    "ENGLAND": "Europe/London",
    "MOSCOW": "Europe/Moscow",
    "RUSSIA": "Europe/Moscow",
    "INDIA": "Asia/Kolkata",
    "INDIAN": "Asia/Kolkata",
    "TURKEY": "Europe/Istanbul",
    "ISTANBUL": "Europe/Istanbul",
    "NEW YORK": "America/New_York",
    "DUBAI": "Asia/Dubai",
    "SINGAPORE": "Asia/Singapore",
    "HONG KONG": "Asia/Hong_Kong",
    "BERLIN": "Europe/Berlin",
    "PARIS": "Europe/Paris",
}
_STANDARD_HOURS = {"EST": -5.0, "CST": -6.0, "PST": -8.0, "CET": 1.0, "EET": 2.0, "WET": 0.0, "AEST": 10.0}

# Three letters in small print are words of other languages ("est", "ist"); places need the word "time" unless they are alone in brackets.
_ZONE = (
    r"(?:(?i:GMT|UTC)(?:(?P<{0}sign>[+-])(?P<{0}tight>\d{{1,2}})(?::?(?P<{0}tightmin>00|30|45))?(?!\d)"
    r"|\s?(?P<{0}sign2>[+-])\s?(?P<{0}loose>\d{{1,2}})(?!\d|\s*[:.]\d\d|\s*(?i:am|pm)\b))?(?![A-Za-z])"
    r"|(?:AEST|CEST|EEST|EDT|CDT|PDT|EST|CST|PST|CET|EET|WET|BST|MSK|TRT|TSI|KSA|PAK|IST|PKT|GST|WAT|CAT|EAT|WIB|ICT|SGT|HKT|PHT|MYT|JST|KST|BRT)\b"
    r"|(?:ET|PT)\b|(?<=\d)Z\b|(?i:UK|LONDON|ENGLAND|MOSCOW|RUSSIA|INDIAN?|TURKEY|ISTANBUL|NEW\sYORK|DUBAI|SINGAPORE|HONG\sKONG|BERLIN|PARIS)\b(?=\s*(?i:time|\)|/|,|\||$)))"
)
ZONE_PATTERN = _ZONE.format("zone_")
_ZONE_REGEX = re.compile(rf"(?<![A-Za-z]){ZONE_PATTERN}", re.MULTILINE)
_TURKISH = re.compile(r"\b(?:saati?|tarih|borsa|yarın|bugün)\b", re.IGNORECASE)
_RUSSIAN = re.compile(r"\b(?:время|дата|биржа|завтра|сегодня)\b", re.IGNORECASE)


class Zone(NamedTuple):
    """A written zone: its text, what it most likely means, and what else it may mean in summer."""

    text: str
    main: tzinfo
    other: tzinfo | None


class ZoneMention(NamedTuple):
    """Where in a text a zone stands."""

    zone: Zone
    start: int
    end: int


def _fixed(hours: float) -> tzinfo:
    return timezone(timedelta(hours=hours))


def parse_zone(text: str) -> Zone | None:
    """The zone that `text` names, e.g. 'GMT+3' or 'EST'; None if it names none."""
    match = _ZONE_REGEX.fullmatch(text.strip())
    return _zone_of(match) if match else None


def find_zones(text: str) -> list[ZoneMention]:
    """Every zone written in `text`, in order."""
    found: list[ZoneMention] = []
    for match in _ZONE_REGEX.finditer(text):
        zone = _zone_of(match)
        # An impossible offset ("UTC -17:00") leaves the bare name: the dash was a separator.
        if zone is None:
            zone = Zone(match.group()[:3], _fixed(0), ZoneInfo("Europe/London"))
            found.append(ZoneMention(zone, match.start(), match.start() + 3))
        else:
            found.append(ZoneMention(zone, match.start(), match.end()))
    return found


def _zone_of(match: re.Match[str]) -> Zone | None:
    text = match.group().strip()
    name = re.sub(r"\s+", " ", text.upper())
    sign = match["zone_sign"] or match["zone_sign2"]
    if sign:
        hours = int(match["zone_tight"] or match["zone_loose"]) + int(match["zone_tightmin"] or 0) / 60
        return Zone(text, _fixed(hours if sign == "+" else -hours), None) if hours <= 14 else None
    if name in ("GMT", "UTC"):
        # British announcers write GMT all year and mean the clock on their wall; see MESSAGES on 'GMT London'.
        return Zone(text, _fixed(0), ZoneInfo("Europe/London"))
    if name in _FIXED_HOURS:
        return Zone(text, _fixed(_FIXED_HOURS[name]), None)
    other = _fixed(_STANDARD_HOURS[name]) if name in _STANDARD_HOURS else None
    return Zone(text, ZoneInfo(_REGIONS[name]), other)


def zone_of_language(text: str) -> Zone | None:
    """The zone that announcers of a language mean when they write none: Turkey's for Turkish, Moscow's for Russian."""
    if _TURKISH.search(text):
        return Zone("Turkey", ZoneInfo("Europe/Istanbul"), None)
    if _RUSSIAN.search(text):
        return Zone("Moscow", ZoneInfo("Europe/Moscow"), None)
    return None


def to_utc(local: datetime, zone: tzinfo) -> datetime:
    """`local` (naive) in `zone` as an instant in UTC."""
    return local.replace(tzinfo=zone).astimezone(UTC)
