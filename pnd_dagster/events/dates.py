"""Calendar days as written in a message: ISO, day and month in words or digits, weekdays, today. Clock times are in `times`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import NamedTuple

_MONTHS = {
    1: "january jan ocak января январь enero janvier januar janeiro gennaio januari",
    2: "february febuary feburary feb şubat subat февраля февраль febrero février fevrier februar fevereiro febbraio februari",
    3: "march mar mart марта март marzo mars märz maerz março maret",
    4: "april apr nisan апреля апрель abril avril aprile",
    5: "may mayıs mayis мая май mayo mai maio maggio mei",
    6: "june jun haziran июня июнь junio juin juni junho giugno",
    7: "july jul temmuz июля июль julio juillet juli julho luglio",
    8: "august aug ağustos agustos августа август agosto août aout",
    9: "september sept sep eylül eylul сентября сентябрь septiembre septembre setembro settembre",
    10: "october oct ekim октября октябрь octubre octobre oktober outubro ottobre",
    11: "november nov kasım kasim ноября ноябрь noviembre novembre novembro",
    12: "december dec aralık aralik декабря декабрь diciembre décembre decembre dezember dezembro dicembre desember",
}
_WEEKDAYS = {
    0: "monday mon pazartesi понедельник lunes lundi montag senin",
    1: "tuesday tuseday tues tue salı sali вторник martes mardi dienstag selasa",
    2: "wednesday wensday wednsday wed çarşamba carsamba среду среда miércoles miercoles mercredi mittwoch rabu",
    3: "thursday thrusday thurs thur thu perşembe persembe четверг jueves jeudi donnerstag kamis",
    4: "friday fri cuma пятницу пятница viernes vendredi freitag jumat",
    5: "saturday sat cumartesi субботу суббота sábado samedi samstag sabtu",
    6: "sunday sun pazar воскресенье domingo dimanche sonntag minggu",
}
_RELATIVE_DAYS = {
    0: "today tonight bugün bugun сегодня hoy heute",
    1: "tomorrow tommorow tommorrow tomorow tmrw 2morrow yarın yarin завтра mañana morgen besok",
}


def _index(words: dict[int, str]) -> dict[str, int]:
    return {word: number for number, line in words.items() for word in line.split()}


_MONTH_OF, _WEEKDAY_OF, _RELATIVE_OF = _index(_MONTHS), _index(_WEEKDAYS), _index(_RELATIVE_DAYS)


def _alternation(words: dict[str, int]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_MONTH = rf"(?P<month>{_alternation(_MONTH_OF)})"
_ISO = re.compile(r"(?<!\d)(?P<year>20\d\d)\s?[-/._]\s?(?P<month>\d{1,2})\s?[-/._]\s?(?P<day>\d{1,2})(?!\d)")
_NUMERIC = re.compile(
    r"(?<![\d.,:/+])(?P<a>\d{1,2})\s?(?P<separator>[./\-_])\s?(?P<b>\d{1,2})\s?(?P=separator)\s?(?P<year>20\d\d|\d\d)(?!\d)"
)
_DAY_MONTH = re.compile(
    rf"(?<![\d.:])(?P<day>\d{{1,2}})\s?(?:st|nd|rd|th)?[\s,.\-/_]{{0,3}}(?:of|de)?\s?{_MONTH}(?![^\W\d_])\.?(?:[\s,.\-/_']{{1,3}}(?P<year>20\d\d))?",
    re.IGNORECASE,
)
_MONTH_DAY = re.compile(
    rf"(?<![^\W\d_]){_MONTH}(?![^\W\d_])[\s.\-/_]{{1,3}}(?:the\s)?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?!\d|\s?[:.]\d|\s?[ap]m\b|\s?%)"
    r"(?:[\s,.\-/_]{1,3}(?P<year>20\d\d))?",
    re.IGNORECASE,
)
_SHORT = re.compile(
    r"(?<![\d.,:/+\-])(?P<a>\d{1,2})\s?[/.\-_]\s?(?P<b>\d{1,2})(?![\d/%:+]|\.\d|\s?[ap]\.?m\b|\s?(?:gmt|utc)\b)", re.IGNORECASE
)
_ORDINAL = re.compile(r"(?<!\d)(?P<day>\d{1,2})(?:st|nd|rd|th)\b(?!\s+(?:time|wave|pump|place|target|coin|group))", re.IGNORECASE)
_LONG_WEEKDAYS = {word: number for word, number in _WEEKDAY_OF.items() if len(word) > 4 or word in ("cuma", "salı", "sali", "rabu")}
_WEEKDAY = re.compile(
    rf"(?<![^\W_])(?:(?P<long>{_alternation(_LONG_WEEKDAYS)})s?|(?P<short>mon|tues?|wed|thurs?|thu|fri|sat|sun)(?=[,.]?\s?\d))(?![^\W\d_])",
    re.IGNORECASE,
)
_RELATIVE = re.compile(rf"(?<![^\W_])(?P<word>{_alternation(_RELATIVE_OF)})(?![^\W_])", re.IGNORECASE)
_IN_DAYS = re.compile(r"\bin\s(?P<n>\d{1,2}|one|two|three)\sdays?\b", re.IGNORECASE)
_SMALL_NUMBERS = {"one": 1, "two": 2, "three": 3}
# Without one of these on its line, 3/5 is a fraction or a price and "2nd" a wave.
_DATE_LABEL = re.compile(r"\b(?:date|day|tarih|gün|дата|fecha|when)\b|calendar|📅|📆|🗓", re.IGNORECASE)


class DateMention(NamedTuple):
    """A day written in a text. `is_inferred`: its year or month was not written, or what was written contradicts itself."""

    on: date
    start: int
    end: int
    is_inferred: bool
    is_weekday: bool


def find_dates(text: str, today: date) -> list[DateMention]:
    """Days written in `text`, in order of position; `today` (the message's own day) supplies what is missing."""
    named_weekdays = [_weekday_number(match) for match in _WEEKDAY.finditer(text)]
    mentions: list[DateMention] = []
    taken: list[tuple[int, int]] = []
    for mention in _written_dates(text, today, named_weekdays):
        if all(mention.end <= start or mention.start >= end for start, end in taken):
            mentions.append(mention)
            taken.append((mention.start, mention.end))
    for match in _WEEKDAY.finditer(text):
        ahead = (_weekday_number(match) - today.weekday()) % 7
        mentions.append(DateMention(today + timedelta(days=ahead), match.start(), match.end(), True, True))
    return sorted(mentions, key=lambda mention: mention.start)


def _weekday_number(match: re.Match[str]) -> int:
    return _WEEKDAY_OF[(match["long"] or match["short"]).lower()]


def _written_dates(text: str, today: date, weekdays: list[int]) -> Iterator[DateMention]:
    """Written days, the surest forms first: a later form must not claim a part of an earlier one."""
    for match in _ISO.finditer(text):
        if found := _closest([(int(match["day"]), int(match["month"]))], int(match["year"]), today, weekdays):
            yield DateMention(found[0], match.start(), match.end(), found[1], False)
    for match in _NUMERIC.finditer(text):
        a, b, year = int(match["a"]), int(match["b"]), int(match["year"]) % 100 + 2000
        if found := _closest([(a, b), (b, a)], year, today, weekdays):
            yield DateMention(found[0], match.start(), match.end(), found[1], False)
    for pattern in (_DAY_MONTH, _MONTH_DAY):
        for match in pattern.finditer(text):
            year = int(match["year"]) if match["year"] else None
            if found := _closest([(int(match["day"]), _MONTH_OF[match["month"].lower()])], year, today, weekdays):
                yield DateMention(found[0], match.start(), match.end(), found[1], False)
    for line in re.finditer(r"[^\n]+", text):
        if not (_DATE_LABEL.search(line.group()) or _WEEKDAY.search(line.group())):
            continue
        for match in _SHORT.finditer(text, line.start(), line.end()):
            if found := _closest([(int(match["a"]), int(match["b"])), (int(match["b"]), int(match["a"]))], None, today, weekdays):
                yield DateMention(found[0], match.start(), match.end(), True, False)
        for match in _ORDINAL.finditer(text, line.start(), line.end()):
            day = int(match["day"])
            months = [(day, (today.month + ahead - 1) % 12 + 1) for ahead in (0, 1)]
            if found := _closest(months, None, today, weekdays):
                yield DateMention(found[0], match.start(), match.end(), True, False)
    for match in _RELATIVE.finditer(text):
        yield DateMention(today + timedelta(days=_RELATIVE_OF[match["word"].lower()]), match.start(), match.end(), False, False)
    for match in _IN_DAYS.finditer(text):
        days = _SMALL_NUMBERS.get(match["n"].lower()) or int(match["n"])
        yield DateMention(today + timedelta(days=days), match.start(), match.end(), False, False)


def _closest(day_months: list[tuple[int, int]], year: int | None, today: date, weekdays: list[int]) -> tuple[date, bool] | None:
    """The most plausible day among readings of day and month, and whether anything had to be inferred.

    A pump lies ahead, by days or weeks: the reading that is soonest from yesterday on wins; a weekday in the text breaks ties between
    day/month and month/day; a written year that is a year off (announcers in January) gives way.
    """
    candidates: list[tuple[float, date, bool]] = []
    for order, (day, month) in enumerate(day_months):
        for shift in (0, 1, -1):
            try:
                on = date((year or today.year) + shift, month, day)
            except ValueError:
                continue
            ahead = (on - today).days
            if abs(ahead) > 200:
                continue
            cost = float(ahead if ahead >= -1 else 3 * -ahead) + order * 0.5
            cost += 400 * abs(shift) if year else 0
            cost -= 8 if weekdays and on.weekday() in weekdays else 0
            candidates.append((cost, on, year is None or shift != 0))
    if not candidates:
        return None
    _, on, is_inferred = min(candidates)
    return on, is_inferred or (len(weekdays) == 1 and on.weekday() not in weekdays)
