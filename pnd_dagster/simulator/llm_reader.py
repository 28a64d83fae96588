"""How the simulated language model reads: it finds the message in the conversation, reads it by a few rules, and fills any schema.

The rules are its own and simple, so that a demonstration shows sensible answers; nobody's skill is measured by them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast

_UNITS = r"(?:seconds?|secs?|minutes?|mins?|min|hours?|hrs?|hr|hora|horas|minuto|minutos|saat|dakika|часа?|часов|минут\w*)"
_CHANGE = re.compile(
    r"postpon|delay|cancel|reschedul|pushing it back|new (?:date|time|schedule)|^moved\b|moved? to\b|move the pump"
    r"|ertelen|iptal|отмен|перен[её]с|aplaz|retras|स्थगित",
    re.I,
)
_CANCEL = re.compile(r"cancel|call(?:ed|ing) off|no pump today|iptal|отмен", re.I)
_ADVICE = re.compile(r"\bentry\b|take profit|\bstop[ -]?loss|\bSL:|buy zone|all targets|how it works|\blesson \d", re.I)
_RESULT = re.compile(r"\bresults?\b|\bpeak|\bmade\b.*%|\+\s?\d+\s?%|resultado|sonu[cç]|итог|\bdid \d+\s?%|congratulations", re.I)
_RELEASE = re.compile(
    r"\b(?:coin|token|pick|moneda|монета)\b(?: name)?(?: we picked| today| of today's event)?\s?(?:is(?! next)|:|=|👉)|TRADE_URL\("
    r"|(?-i:^[#$]?[A-Z0-9]{2,8}$)",
    re.I,
)
_COUNTDOWN = re.compile(rf"\d+\s?{_UNITS}\b|next (?:post|message|msg)|get ready|\bson \d|faltan|осталось", re.I)
_CLOCK = re.compile(
    r"\b(?P<hour>[01]?\d|2[0-3])(?:[:.](?P<minute>[0-5]\d)\s?(?P<half>[ap]m\b)?|\s?(?P<half_alone>[ap]m)\b)"
    r"\s?(?P<zone>GMT|UTC|CET|CEST|EST|EDT|MSK|IST)?\b",
    re.I,
)
_ZONES = {"CET": 1, "CEST": 2, "EST": -5, "EDT": -4, "MSK": 3, "IST": 5.5}
_MONTHS: tuple[str, ...] = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NAMED_DAY = re.compile(
    rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s(?:of\s)?(?P<month>{'|'.join(_MONTHS)})[a-z]*\.?(?:,?\s(?P<year>20\d\d))?", re.I
)
_ISO_DAY = re.compile(r"\b(20\d\d)-(\d\d)-(\d\d)\b")
_VENUE = re.compile(r"([A-Za-z][\w.]*?)_(?:CEX|DEX)\b")
_LINK = re.compile(r"TRADE_URL\((?P<venue>\S+) (?P<base>[A-Za-z0-9]+)(?:/(?P<quote>[A-Za-z0-9]+))?\)")
_PAIR = re.compile(r"\b([A-Z0-9]{2,10})\s?/\s?(BTC|USDT|ETH|BNB|BUSD|USDC)\b")
_QUOTE = re.compile(r"\b(?:pair(?:ing)?|market|par)\b\W{0,4}(BTC|USDT|ETH|BNB)\b|\b(BTC|USDT|ETH|BNB) (?:pair|market)\b", re.I)
_COIN = re.compile(
    r"(?:coin|token|moneda|монета)(?: name)?\s?(?:is|:|=)\W{0,6}([A-Za-z0-9]{2,10})\b"
    r"|[#$]([A-Za-z][A-Za-z0-9]{1,9})\b|(?-i:^([A-Z0-9]{2,8})$)",
    re.I,
)
_BY = re.compile(rf"\b(?:by|for)\s(?P<count>\d{{1,3}}|an?|one|two|three)\s(?P<unit>{_UNITS})", re.I)
_COUNTS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3}

# What a property asks for, by its name; the first that fits.
_MEANINGS = (
    ("label", "label"), ("exchange", "exchange"), ("quote", "quote"), ("base", "base"), ("symbol", "base"), ("coin", "base"),
    ("inferred", "inferred"), ("cancel", "cancelled"), ("postpon", "postponed"), ("delay", "postponed"), ("start", "start"),
    ("time", "start"), ("date", "start"), ("scheduled", "start"), ("confidence", "confidence"),
)  # fmt: skip
MEANINGS = frozenset(meaning for _, meaning in _MEANINGS)


class Asked(NamedTuple):
    """The message a conversation is about; when it was posted and for when a pump was scheduled, as far as the conversation says."""

    text: str
    posted_at: datetime | None = None
    scheduled_at: datetime | None = None


def find_message(messages: list[dict[str, Any]]) -> Asked:
    """The message in the first user turn: the text in its JSON object, or the whole turn if it holds none."""
    turns = [str(message.get("content") or "") for message in messages if message.get("role") == "user"]
    turn = turns[0] if turns else ""
    values = list(_strings(_first_object(turn)))
    if not values:
        return Asked(turn)
    times = {key: at for key, value in values if (at := _instant(value))}
    scheduled_at = next((at for key, at in times.items() if "schedul" in key), None)
    posted_at = next((at for key, at in times.items() if "schedul" not in key), None)
    texts = [(key, value) for key, value in values if key not in times]
    named = [value for key, value in texts if re.search("message|text", key, re.I)]
    return Asked(max(named or [value for _, value in texts] or [""], key=len), posted_at, scheduled_at)


def read_message(asked: Asked) -> dict[str, Any]:
    """What the rules read: label, exchange, base, quote, start (ISO 8601), inferred, cancelled, postponed, confidence."""
    text = asked.text.strip()
    link, venue = _LINK.search(text), _VENUE.search(text)
    pair, quote, coin = _PAIR.search(text), _QUOTE.search(text), _COIN.search(text)
    base = link["base"] if link else pair[1] if pair else next((word for word in coin.groups() if word), None) if coin else None
    start, is_inferred = _start(text, asked)
    label = _label(text, has_venue=bool(venue), has_start=start is not None)
    is_cancelled = bool(_CANCEL.search(text)) and start is None
    return {
        "label": label,
        "exchange": venue[1].lower() if venue else link["venue"] if link else None,
        "base": base.upper() if base else None,
        "quote": (link and link["quote"]) or (pair and pair[2]) or (quote and (quote[1] or quote[2]).upper()) or None,
        "start": start.isoformat() if start else None,
        "inferred": is_inferred,
        "cancelled": is_cancelled,
        "postponed": bool(_CHANGE.search(text)) and not is_cancelled,
        "confidence": 0.9,
    }


def fill(schema: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """An object that fits the JSON schema and says what `facts` say, property by property."""
    properties: dict[str, Any] = schema.get("properties", {})
    return {name: _fit(facts.get(meaning(name) or ""), part, schema) for name, part in properties.items()}


def meaning(name: str) -> str | None:
    """What a property called `name` asks for, None if the reader does not know."""
    return next((found for word, found in _MEANINGS if word in name.lower()), None)


def _label(text: str, *, has_venue: bool, has_start: bool) -> int:
    if not text or _ADVICE.search(text):
        return 5
    if _CHANGE.search(text):
        return 4
    is_counting = bool(_COUNTDOWN.search(text)) and len(text) < 200
    if has_venue and has_start and not is_counting and not re.search(r"\bresults?\b|\bpeak", text, re.I):
        return 0
    if _RESULT.search(text):
        return 3
    if _RELEASE.search(text) and len(text) < 400:
        return 2
    return 1 if is_counting else 5


def _start(text: str, asked: Asked) -> tuple[datetime | None, bool]:
    """The start written in a text, and whether part of it had to be inferred."""
    posted_at = asked.posted_at
    if asked.scheduled_at and (by := _BY.search(text)):
        count = _COUNTS.get(by["count"].lower()) or int(by["count"])
        seconds = {"s": 1, "m": 60, "h": 3600}.get(by["unit"][0].lower(), 0)
        return asked.scheduled_at + timedelta(seconds=count * seconds), True
    clock = _CLOCK.search(text)
    if clock is None:
        return None, False
    half = (clock["half"] or clock["half_alone"] or "").lower()
    hour = int(clock["hour"]) % 12 + 12 * (half == "pm") if half else int(clock["hour"])
    offset = _ZONES.get((clock["zone"] or "").upper(), 0)
    day, is_written = _day(text, posted_at)
    if day is None:
        return None, False
    at = datetime(day.year, day.month, day.day, hour % 24, int(clock["minute"] or 0), tzinfo=UTC) - timedelta(hours=offset)
    if not is_written and posted_at and at < posted_at:
        at += timedelta(days=1)
    return at, not (is_written and clock["zone"])


def _day(text: str, posted_at: datetime | None) -> tuple[datetime | None, bool]:
    try:
        if match := _ISO_DAY.search(text):
            return datetime(*map(int, match.groups()), tzinfo=UTC), True
        if match := _NAMED_DAY.search(text):
            month = _MONTHS.index(match["month"].lower()) + 1
            year = int(match["year"] or (posted_at.year if posted_at else 0) or datetime.now(UTC).year)
            return datetime(year, month, int(match["day"]), tzinfo=UTC), match["year"] is not None
    except ValueError:
        return None, False
    if posted_at is None:
        return None, False
    for number, name in enumerate(_DAYS):
        if name in text.lower():
            return posted_at + timedelta(days=(number - posted_at.weekday()) % 7), False
    return posted_at + timedelta(days="tomorrow" in text.lower()), False


def _fit(value: Any, part: dict[str, Any], root: dict[str, Any]) -> Any:
    """`value` as the schema `part` takes it; where it does not, NULL or the least the schema allows."""
    options = [_resolve(option, root) for option in _resolve(part, root).get("anyOf", [part])]
    types = {kind for option in options for kind in _types(option)}
    choices = [choice for option in options for choice in option.get("enum", [option["const"]] if "const" in option else [])]
    if choices:
        same = [choice for choice in choices if choice is not None and str(choice).lower() == str(value).lower()]
        return same[0] if same else None if None in choices or "null" in types else choices[0]
    if value is not None:
        for kind, make in (("boolean", bool), ("integer", int), ("number", float), ("string", str)):
            if kind in types and isinstance(value, str) == (kind == "string"):
                return make(value)
    if "null" in types:
        return None
    empty: dict[str, Any] = {"boolean": False, "integer": 0, "number": 0.0, "string": "", "array": [], "object": {}}
    return next((empty[kind] for kind in types if kind in empty), None)


def _resolve(part: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    reference = part.get("$ref", "")
    return root.get("$defs", {}).get(reference.rpartition("/")[2], {}) if reference else part


def _types(part: dict[str, Any]) -> list[str]:
    kind = part.get("type", [])
    return [kind] if isinstance(kind, str) else list(kind)


def _first_object(text: str) -> Any:
    at = text.find("{")
    while at >= 0:
        try:
            return json.JSONDecoder().raw_decode(text, at)[0]
        except ValueError:
            at = text.find("{", at + 1)
    return None


def _strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, part in cast(dict[str, Any], value).items():
            yield from _strings(part, name)
    elif isinstance(value, list):
        for part in cast(list[Any], value):
            yield from _strings(part, key)


def _instant(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
