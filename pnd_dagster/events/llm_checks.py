"""Whether what a language model read in a message can be true of it, and what our rules read in the same message."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import NamedTuple

from pnd_dagster.events.announcements import SAME_PUMP, Announcement, announce, delay_or_cancel
from pnd_dagster.events.cues import is_cancellation, strip_emoji
from pnd_dagster.events.pairs import QUOTES, find_pairs, read_quote
from pnd_dagster.events.reading import Message
from pnd_dagster.events.symbols import load_known_symbols
from pnd_dagster.events.times import LONGEST_LAG, read_times
from pnd_dagster.events.words import LISTED_WORDS, MONEY, PLAIN_WORDS
from pnd_dagster.messages.llm.replies import AnnouncementReply, ChangeReply, read_time
from pnd_dagster.venues import find_venues

LONGEST_LEAD = timedelta(days=14)
_PLACEHOLDER = re.compile(r"@USER\b|UNKNOWN_\w+|(?:TRADE|EXCHANGE)_URL\b|CONTRACT_ADDRESS|_(?:CEX|DEX)\b")
_EXPLICIT = frozenset({"link", "pair", "cash", "hash", "name", "reveal"})


class Reading(NamedTuple):
    """What a message says of a pump: exchange, symbols, start (for a change the new one), and what becomes of it."""

    exchange: str | None = None
    base: str | None = None
    quote: str | None = None
    start: datetime | None = None
    is_inferred: bool | None = None
    is_cancelled: bool | None = None
    is_postponed: bool | None = None


def announcement_problem(message: Message, reply: AnnouncementReply, listed: frozenset[str] | None) -> str | None:
    """Why an announcement cannot say what a reply claims, in words that do not quote it; None if it may.

    Args:
        message: the announcement.
        reply: fits its schema.
        listed: symbols of the markets that exist; None where the past decides nothing.
    """
    problems = [
        "exchange is not named in the post" if reply.exchange and reply.exchange not in _exchanges(message.text) else None,
        _base_problem(message.text, reply.base_symbol, listed) if reply.base_symbol else None,
        _quote_problem(message.text, reply.quote_symbol) if reply.quote_symbol else None,
        _start_problem(message, read_time(reply.start)) if reply.start else None,
    ]
    return "; ".join(problem for problem in problems if problem) or None


def change_problem(message: Message, reply: ChangeReply) -> str | None:
    """Why a postponement or cancellation cannot say what a reply claims; None if it may."""
    if reply.cancelled and reply.postponed:
        return "cancelled and postponed exclude each other"
    if reply.new_start and not reply.postponed:
        return "new_start is for postponed pumps only"
    return _start_problem(message, read_time(reply.new_start)) if reply.new_start else None


def read_announcement(message: Message) -> tuple[Reading, list[datetime]]:
    """What our rules read in an announcement, and all starts it names: of several pumps the first one is the reading."""
    known: list[Announcement] = []
    announce(known, message, None)
    symbol = message.symbol(load_known_symbols())
    base = symbol.symbol if symbol and _EXPLICIT.intersection(symbol.evidence) else None
    if not known:
        return Reading(message.exchange, base, read_quote(message.text)), []
    first = known[0]
    starts = [announcement.scheduled_at for announcement in known if announcement.scheduled_at]
    return Reading(first.exchange, base, first.quote, first.scheduled_at, first.is_inferred if first.scheduled_at else None), starts


def read_change(message: Message, scheduled_at: datetime | None) -> Reading:
    """What our rules read in a postponement or cancellation of the pump that was scheduled before."""
    known = [_scheduled(message, scheduled_at)] if scheduled_at else []
    delay_or_cancel(known, message, None)
    exchange = message.exchange
    if not known or known[0].status == "cancelled":
        is_cancelled = is_cancellation(message.text)
        return Reading(exchange, is_cancelled=is_cancelled, is_postponed=not is_cancelled)
    pump = known[0]
    return Reading(exchange, start=pump.scheduled_at, is_inferred=pump.is_inferred, is_cancelled=False, is_postponed=True)


def announcement_disagreement(reading: Reading, rules: Reading, starts: list[datetime]) -> str | None:
    """What the rules read otherwise in an announcement, in words; None where they agree. An unknown coin is noted too."""
    found = [
        _differs("exchange", reading.exchange, rules.exchange),
        None if _is_near(reading.start, starts) else _differs("start", reading.start, rules.start),
        _differs("coin", reading.base, rules.base),
    ]
    if reading.base and reading.base not in load_known_symbols():
        found.append("the coin is in no list of markets")
    return "; ".join(problem for problem in found if problem) or None


def change_disagreement(reading: Reading, rules: Reading) -> str | None:
    """What the rules read otherwise in a postponement or cancellation, in words; None where they agree."""
    found = [
        _differs("cancelled", reading.is_cancelled, rules.is_cancelled),
        _differs("postponed", reading.is_postponed, rules.is_postponed),
        None if _is_near(reading.start, [rules.start] if rules.start else []) else _differs("start", reading.start, rules.start),
    ]
    return "; ".join(problem for problem in found if problem) or None


def _exchanges(text: str) -> set[str]:
    return {mention.venue.id for mention in find_venues(text)} | {pair.venue_id for pair in find_pairs(text) if pair.venue_id}


def _base_problem(text: str, symbol: str, listed: frozenset[str] | None) -> str | None:
    if symbol in MONEY:
        return "base_symbol is what coins are paid in"
    if symbol not in {pair.base for pair in find_pairs(text)} and not _stands_in(symbol, text):
        return "base_symbol does not stand in the post"
    return "base_symbol is no listed market" if listed is not None and symbol not in listed else None


def _quote_problem(text: str, symbol: str) -> str | None:
    if symbol not in QUOTES:
        return "quote_symbol is no currency that coins are paid in"
    is_there = symbol in {pair.quote for pair in find_pairs(text)} or _stands_in(symbol, text)
    return None if is_there else "quote_symbol does not stand in the post"


def _start_problem(message: Message, start: datetime) -> str | None:
    if not message.date - LONGEST_LAG <= start <= message.date + LONGEST_LEAD:
        return "the start is not within 14 days of the post"
    if not any(character.isdigit() for character in message.text) and not read_times(message.text, message.date):
        return "the post names no time"
    return None


def _stands_in(symbol: str, text: str) -> bool:
    """Whether a symbol is a word of the text; one that is a word of the language too must be in capitals."""
    is_word = symbol in PLAIN_WORDS or symbol in LISTED_WORDS
    bare = strip_emoji(_PLACEHOLDER.sub(" ", text))
    return bool(re.search(rf"(?<![A-Za-z0-9]){symbol}(?![A-Za-z0-9])", bare, 0 if is_word else re.IGNORECASE))


def _scheduled(message: Message, scheduled_at: datetime) -> Announcement:
    return Announcement(
        channel_id=message.channel_id,
        message_id=0,
        ordinal=0,
        announced_at=message.date,
        exchange=None,
        quote=None,
        scheduled_at=scheduled_at,
        zone_text=None,
        time_text=None,
        is_inferred=False,
        status_at=message.date,
    )


def _is_near(start: datetime | None, others: list[datetime]) -> bool:
    return start is not None and any(abs(start - other) <= SAME_PUMP for other in others)


def _differs(what: str, model: object, rules: object) -> str | None:
    if model == rules:
        return None
    if isinstance(rules, datetime):
        rules = f"{rules:%Y-%m-%d %H:%M} UTC"
    elif isinstance(rules, bool):
        rules = str(rules).lower()
    return f"{what}: the rules read {'none' if rules is None else rules}"
