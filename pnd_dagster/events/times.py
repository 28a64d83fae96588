"""Start times as written in announcements: ISO, clock times with zones, 'in 2 hours'. The message's own time is the anchor.

A general date parser was tried and is not used: it invents times from prices and reads the traps of this field wrong.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple

from pnd_dagster.events.dates import DateMention, find_dates
from pnd_dagster.events.zones import Zone, find_zones, parse_zone, to_utc, zone_of_language

LONGEST_LEAD = timedelta(days=31)
LONGEST_LAG = timedelta(hours=12)
# Each clock time is held against each date; no announcement has so many.
_MOST_MENTIONS = 40
_READ_CHARACTERS = 4000  # announcements say when at the top; the cap keeps hostile texts cheap
_UNIT = r"(?:hours?|hrs?|h|minutes?|minuts?|mins?|min|dakika|saat|минут\w*|час\w*)\b"
_NUMBER = r"(?:\d{1,3}|one|two|three|four|five|ten|fifteen|twenty|thirty|an?|half\san)"
_REST = r"(?:\s?(?:and|,|&)?\s?(?P<{0}>\d{{1,2}})\s?(?:minutes?|mins?|m)\b)?"
_VAGUE = r"(?:about|approximately|around|less\sthan|just|only|exactly|the\snext|next)"
_LEFT = r"(?:left|remaining|remain|to\sgo|until|till|kaldı|kaldi|осталось|to\s(?:the\s)?(?:\w+\s)?(?:pump|coin|signal|event))"
_AHEAD = re.compile(
    rf"\b(?:in|after|within|next)\s(?:{_VAGUE}\s)?(?P<n>{_NUMBER})\s?(?P<unit>{_UNIT}){_REST.format('more')}(?!\s(?:chart|candle|time|frame|tf\b))"
    rf"|(?<![\d.,:+])(?<!\w)(?P<n2>{_NUMBER})\s?(?:more\s)?(?P<unit2>{_UNIT}){_REST.format('more2')}\s?(?:more\s)?(?:are\s|is\s)?{_LEFT}"
    rf"|(?:remaining|left|kalan\ssüre)(?:\stime)?\s?[:=]?\s*(?P<n3>\d{{1,3}})\s?(?P<unit3>{_UNIT})",
    re.IGNORECASE,
)
_DAYS = re.compile(
    rf"(?:\b{_NUMBER}\s?(?:days?|weeks?)\s(?:are\s|is\s)?{_LEFT}|\b(?:in|after)\s{_NUMBER}\s(?:days?|weeks?)\b)", re.IGNORECASE
)
_NUMBER_WORDS = {
    "a": 1,
    "an": 1,
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "ten": 10,
    "fifteen": 15,
    "twenty": 20,
    "thirty": 30,
}
_DOUBLE_ZONE = re.compile(r"\b(?:UTC|GMT)\s?[/|]\s?(?=(?:UTC|GMT)\b)", re.IGNORECASE)
_AM_PM = r"(?P<ap>[ap])\.?\s?m\b\.?"
_CLOCK = re.compile(
    rf"(?<![\d.,:/$#_+])(?P<hour>\d{{1,2}})\s?(?P<separator>[:;.]|:\s(?=[03]0\b)|h(?=\d\d))(?P<minute>[0-5]\d)(?::[0-5]\d)?(?!\d|\s?%|[.,]\d|/\d|\s?[kx]\b)(?:\s*{_AM_PM})?",
    re.IGNORECASE,
)
_HOUR_AM_PM = re.compile(rf"(?<![\d.,:/$#_])(?P<hour>\d{{1,2}})\s*{_AM_PM}", re.IGNORECASE)
_BARE_HOUR = re.compile(
    r"(?<![\d.,:/$#_+\-])(?P<hour>\d{4}|\d{1,2})\s?(?:hrs?\.?|hours?|h|o'?clock)?\s?[(\[]?\s?(?=(?:GMT|UTC|CES?T|ES?T|PST|IST|MSK|BST|EDT|TSI|TRT)\b)",
    re.IGNORECASE,
)
_LABELLED_HOUR = re.compile(
    r"(?:\btime|\bsaati?|\bhora|\bвремя|\bclock)\b[^\w\n]{1,6}(?P<hour>\d{4}|\d{1,2})(?!\d|[./:_-]\d|\s?(?:minutes?|mins?|hours?|%|x|days?|st|nd|rd|th)\b|\s?[ap]\.?m\b|\s(?:of\s)?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec))",
    re.IGNORECASE,
)
_WORD_TIME = re.compile(r"\b(?P<word>noon|midnight)\b", re.IGNORECASE)
_TIME_CUE = re.compile(r"time|saat|clock|hora\b|время|gmt|utc|\bat\b|pump|[⏰⏱⏳🕐-🕧]", re.IGNORECASE)


class TimeReading(NamedTuple):
    """A start time read from a text.

    `at` is in UTC. `zone_text` and `time_text` are the words as written; `is_inferred` says that a date, a year or the zone was not written
    or contradicts the rest.
    """

    at: datetime
    zone_text: str | None
    time_text: str
    is_inferred: bool


class _Clock(NamedTuple):
    start: int
    end: int
    hour: int
    minute: int
    zone: Zone | None


class _Candidate(NamedTuple):
    at: datetime
    other_at: datetime | None
    zone: Zone | None
    text: str
    is_inferred: bool
    has_date: bool


def read_times(text: str, anchor: datetime, zone_text: str | None = None) -> list[TimeReading]:
    """Start times that `text` (normalised) names, in the order written, each instant once (paper IV-C).

    Args:
        text: a normalised message; only its first 4,000 characters are read.
        anchor: when the message was posted, UTC. Times must lie between 12 hours before and 31 days after it.
        zone_text: zone to assume where none is written, such as the one the channel wrote last; that of the
            text's language, else UTC, if None.
    """
    # 'UTC/GMT +3' is one zone; blanks keep every position.
    text = _DOUBLE_ZONE.sub(lambda match: " " * len(match.group()), text[:_READ_CHARACTERS])
    anchor = anchor.astimezone(UTC)
    if not any(character.isdigit() for character in text) and not _WORD_TIME.search(text) and not _AHEAD.search(text):
        return []
    relative = read_remaining(text, anchor)
    clocks = _find_clocks(text)[:_MOST_MENTIONS]
    if not clocks:
        return [relative] if relative else []
    default = (parse_zone(zone_text) if zone_text else None) or zone_of_language(text)
    dates = find_dates(text, anchor.date())[:_MOST_MENTIONS]
    candidates = [candidate for clock in clocks for candidate in _place(text, clock, dates, anchor, default)]
    candidates = [candidate for candidate in candidates if anchor - LONGEST_LAG <= candidate.at <= anchor + LONGEST_LEAD]
    if relative:
        return _reconcile(relative, candidates)
    return [_vote(group) for group in _same_moment(candidates)]


def is_days_ahead(text: str) -> bool:
    """Whether a countdown counts days: the coin is not to be expected today."""
    return bool(_DAYS.search(text[:_READ_CHARACTERS]))


def read_remaining(text: str, anchor: datetime) -> TimeReading | None:
    """The moment that a countdown ('15 minutes left', 'in 2 hours') points at, to the full minute; None if `text` is none.

    `is_inferred` marks those of two hours and more, which are rough.
    """
    match = _AHEAD.search(text[:_READ_CHARACTERS])
    if not match:
        return None
    number = (match["n"] or match["n2"] or match["n3"]).lower()
    unit = (match["unit"] or match["unit2"] or match["unit3"]).lower()
    amount = 0.5 if number.startswith("half") else float(_NUMBER_WORDS.get(number) or int(number))
    is_hours = unit.startswith(("h", "saat", "час"))
    delta = timedelta(hours=amount) if is_hours else timedelta(minutes=amount)
    if is_hours:
        delta += timedelta(minutes=int(match["more"] or match["more2"] or 0))
    at = anchor.astimezone(UTC) + delta
    # Countdown posts come within a minute of the mark they name.
    at = (at + timedelta(seconds=30)).replace(second=0, microsecond=0)
    # '24 hours left' is posted at any minute of the hour.
    return TimeReading(at, None, match.group().strip(), delta >= timedelta(hours=2)) if delta <= timedelta(days=4) else None


def _find_clocks(text: str) -> list[_Clock]:
    zones = find_zones(text)
    distinct = {mention.zone.text.upper(): mention.zone for mention in zones}
    # One zone in the whole message serves all its times.
    common = next(iter(distinct.values())) if len(distinct) == 1 else None
    found: list[_Clock] = []
    for match, hour, minute in _clock_matches(text):
        if any(match.start() < clock.end and match.end() > clock.start for clock in found):
            continue
        after = next(
            (z for z in zones if z.start >= match.end() - 1 and re.fullmatch(r"[\s(\[,|\-–_]{0,9}", text[match.end() : z.start])), None
        )
        before = next(
            (z for z in reversed(zones) if z.end <= match.start() and re.fullmatch(r"[\s)\],:/|=\-–]{0,6}", text[z.end : match.start()])),
            None,
        )
        mention = after or before
        zone = mention.zone if mention else None
        # '7 pm GMT London': the place says whose clock it is.
        if after and zone:
            place = next((z for z in zones if z.start >= after.end and re.fullmatch(r"[\s(),\[\]]{0,5}", text[after.end : z.start])), None)
            if place and place.zone.text.upper() in ("LONDON", "UK", "ENGLAND") and zone.other:
                zone = Zone(zone.text, place.zone.main, None)
        found.append(_Clock(match.start(), after.end if after else match.end(), hour, minute, zone or common))
    found.sort()
    # '17:00 - 18:00' is one window; its beginning counts.
    return [c for i, c in enumerate(found) if i == 0 or not re.fullmatch(r"\s?[-–]\s?", text[found[i - 1].end : c.start])]


def _clock_matches(text: str) -> list[tuple[re.Match[str], int, int]]:
    matches: list[tuple[re.Match[str], int, int]] = []
    for match in _CLOCK.finditer(text):
        hour = _hour(int(match["hour"]), match["ap"])
        if hour is not None and (match["separator"] != "." or match["ap"] or _is_dotted_time(text, match)):
            matches.append((match, hour, int(match["minute"])))
    for match in _HOUR_AM_PM.finditer(text):
        hour = _hour(int(match["hour"]), match["ap"])
        if hour is not None:
            matches.append((match, hour, 0))
    for pattern in (_BARE_HOUR, _LABELLED_HOUR):
        for match in pattern.finditer(text):
            digits = match["hour"]
            hour, minute = (int(digits[:2]), int(digits[2:])) if len(digits) == 4 else (int(digits), 0)
            if hour <= 24 and minute < 60:
                matches.append((match, hour % 24, minute))
    for match in _WORD_TIME.finditer(text):
        if re.search(r"\b(?:at|gmt|utc)\b", text, re.IGNORECASE):
            matches.append((match, 12 if match["word"].lower() == "noon" else 0, 0))
    return matches


def _is_dotted_time(text: str, match: re.Match[str]) -> bool:
    """'21.00' is a time only where the line says so: prices look the same."""
    line_start = text.rfind("\n", 0, match.start()) + 1
    line_end = text.find("\n", match.end())
    line = text[line_start : line_end if line_end >= 0 else len(text)]
    previous = text[max(0, line_start - 40) : line_start]
    return match["minute"] in ("00", "15", "30", "45") and bool(_TIME_CUE.search(line) or _TIME_CUE.search(previous))


def _hour(hour: int, half: str | None) -> int | None:
    """Hour of the day, 0-23; '17:00 PM' and '18 pm' keep their 24-hour sense."""
    if hour > 24:
        return None
    if half and hour <= 12:
        return hour % 12 + (12 if half.lower() == "p" else 0)
    return hour % 24


def _place(text: str, clock: _Clock, dates: list[DateMention], anchor: datetime, default: Zone | None) -> list[_Candidate]:
    """The instants of one clock time: on its own date, or the next time it comes round."""
    zone = clock.zone or default
    main = zone.main if zone else UTC
    other = zone.other if zone else None
    mention = _date_for(text, clock, dates)
    words = re.sub(r"\s+", " ", text[clock.start : clock.end]).strip()
    if mention:
        on = mention.on
        if mention.is_weekday and to_utc(datetime.combine(on, time(clock.hour, clock.minute)), main) < anchor - timedelta(minutes=30):
            on += timedelta(days=7)
        begin, finish = sorted(((mention.start, mention.end), (clock.start, clock.end)))
        if finish[1] - begin[0] <= 60:
            words = re.sub(r"\s+", " ", text[begin[0] : finish[1]]).strip()
        is_inferred = mention.is_inferred or clock.zone is None
    else:
        on = anchor.astimezone(main).date()
        if to_utc(datetime.combine(on, time(clock.hour, clock.minute)), main) < anchor - timedelta(minutes=10):
            on += timedelta(days=1)
        is_inferred = True
    local = datetime.combine(on, time(clock.hour, clock.minute))
    other_at = to_utc(local, other) if other else None
    return [_Candidate(to_utc(local, main), other_at, clock.zone, words, is_inferred, mention is not None)]


def _date_for(text: str, clock: _Clock, dates: list[DateMention]) -> DateMention | None:
    """The date a clock time belongs to: on its line, else on the nearest line before, else after. A full date beats a weekday beside it."""
    if not dates:
        return None

    def distance(mention: DateMention) -> tuple[int, bool, int]:
        is_before = mention.start < clock.start
        between = text[mention.end : clock.start] if is_before else text[clock.end : mention.start]
        # Blank lines are layout; a date below counts only if none is above.
        lines = len(re.findall(r"\n+", between)) * (1 if is_before else 3)
        return lines, mention.is_weekday, len(between)

    return min(dates, key=lambda m: (m.is_weekday and any(not d.is_weekday and abs(d.start - m.start) < 40 for d in dates), distance(m)))


def _same_moment(candidates: list[_Candidate]) -> list[list[_Candidate]]:
    """Groups of readings that name one moment in several zones, an hour's slip for summer time allowed."""
    groups: list[list[_Candidate]] = []
    for candidate in candidates:
        for group in groups:
            first = group[0]
            gap = abs(candidate.at - first.at)
            is_other_zone = candidate.zone and first.zone and candidate.zone.text.upper() != first.zone.text.upper()
            if gap == timedelta(0) or (gap <= timedelta(hours=1, minutes=30) and is_other_zone):
                group.append(candidate)
                break
        else:
            groups.append([candidate])
    return groups


def _vote(group: list[_Candidate]) -> TimeReading:
    """The instant most readings of a group agree on; without agreement GMT or UTC as written."""
    votes: Counter[datetime] = Counter()
    for candidate in group:
        votes[candidate.at] += 1
        if candidate.other_at and candidate.other_at != candidate.at and len(group) > 1:
            votes[candidate.other_at] += 1

    def is_universal(candidate: _Candidate) -> bool:
        return bool(candidate.zone and candidate.zone.text.upper() in ("GMT", "UTC"))

    universal = next((candidate for candidate in group if is_universal(candidate)), group[0])
    at = max(votes, key=lambda instant: (votes[instant], instant == universal.at, -instant.timestamp()))
    source = universal if is_universal(universal) else group[0]
    return TimeReading(at, source.zone.text if source.zone else None, source.text, source.is_inferred or at != source.at)


def _reconcile(relative: TimeReading, candidates: list[_Candidate]) -> list[TimeReading]:
    """A countdown beside a clock time: the countdown is sure of the hour (and so of an unwritten zone), the clock time of the minute."""
    near = [candidate for candidate in candidates if abs(candidate.at - relative.at) <= timedelta(minutes=20)]
    if near:
        return [_vote(near[:1])]
    for candidate in candidates:
        if candidate.zone is None:
            shifted = candidate.at
            hours = round((relative.at - shifted).total_seconds() / 1800) / 2
            if abs(shifted + timedelta(hours=hours) - relative.at) <= timedelta(minutes=12):
                return [TimeReading(shifted + timedelta(hours=hours), None, relative.time_text, True)]
    # The clock times are those of another pump, or of a chart: a dated one with a zone stands beside the countdown. 'Buy within
    # 5 minutes' in the rules of a dated pump is no countdown.
    dated = [_vote(group) for group in _same_moment([candidate for candidate in candidates if candidate.has_date and candidate.zone])]
    is_rule = dated and relative.time_text.lower().startswith(("in", "after", "within", "next"))
    return dated if is_rule else [relative, *dated]
