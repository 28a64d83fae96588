"""Pumps that one channel announced, and their state: scheduled, postponed, cancelled, released, expired.

The functions change a list of `Announcement`s by one message each; the replay that feeds them is in `channels`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pnd_dagster.events.cues import is_cancellation, is_pump_wording, read_delay
from pnd_dagster.events.exchanges import read_exchange
from pnd_dagster.events.identity import stable_id
from pnd_dagster.events.pairs import read_quote
from pnd_dagster.events.reading import Message
from pnd_dagster.events.times import TimeReading, read_remaining, read_times

SAME_PUMP = timedelta(minutes=10)
SAME_SESSION = timedelta(hours=3)  # a new time this close to the old one, on the same exchange, moves the pump
RELEASE_LEAD = timedelta(minutes=15)
RELEASE_LAG = timedelta(hours=3)
EXPIRES_AFTER = timedelta(hours=6)
UNDATED_EXPIRES_AFTER = timedelta(days=7)
_PRECISE = timedelta(minutes=61)  # countdowns of up to an hour are posted on the minute
_SURE = 0.6


@dataclass(slots=True)
class Announcement:
    """One announced pump while the replay goes on; `to_row` gives the row of core.pump_announcements."""

    channel_id: int
    message_id: int
    ordinal: int
    announced_at: datetime
    exchange: str | None
    quote: str | None
    scheduled_at: datetime | None
    zone_text: str | None
    time_text: str | None
    is_inferred: bool
    status_at: datetime
    status: str = "scheduled"
    base: str | None = None
    previous_scheduled_at: datetime | None = None
    schedule_revision: int = 0
    released_message_id: int | None = None
    evidence: list[int] = field(default_factory=list[int])

    @property
    def announcement_id(self) -> str:
        """Hash of channel, first message and ordinal."""
        return stable_id("announcement", self.channel_id, self.message_id, self.ordinal)

    @property
    def is_open(self) -> bool:
        """Whether the pump is still to come."""
        return self.status in ("scheduled", "postponed")

    def add_evidence(self, message: Message) -> None:
        """Note a message that made or changed this announcement."""
        if message.message_id not in self.evidence:
            self.evidence.append(message.message_id)

    def set_status(self, status: str, at: datetime) -> None:
        """Change the state; the time of an unchanged state stays."""
        if status != self.status:
            self.status, self.status_at = status, at

    def to_row(self) -> dict[str, object]:
        """The row of core.pump_announcements."""
        return {
            "announcement_id": self.announcement_id,
            "channel_id": self.channel_id,
            "message_id": self.message_id,
            "announced_at": self.announced_at,
            "exchange": self.exchange,
            "base_symbol": self.base,
            "quote_symbol": self.quote,
            "scheduled_at": self.scheduled_at,
            "previous_scheduled_at": self.previous_scheduled_at,
            "zone_text": self.zone_text,
            "time_text": self.time_text,
            "is_inferred": self.is_inferred,
            "schedule_revision": self.schedule_revision,
            "status": self.status,
            "status_at": self.status_at,
            "released_message_id": self.released_message_id,
            "evidence_message_ids": self.evidence,
        }


def announce(known: list[Announcement], message: Message, zone_text: str | None) -> None:
    """Open the pumps that an announcement names, or bring open ones up to date when it restates, edits or moves them."""
    readings = [
        reading for reading in read_times(message.text, message.date, zone_text) if reading.at > message.date - timedelta(minutes=5)
    ]
    exchange, quote = message.exchange, read_quote(message.text)
    edited = [a for a in known if a.message_id == message.message_id]
    if not readings:
        if edited:
            _fill(edited[0], message, exchange, quote)
        elif exchange or message.confidence >= _SURE:
            undated = next((a for a in reversed(known) if a.is_open and _may_be_one(a.exchange, exchange)), None)
            if undated:
                _fill(undated, message, exchange, quote)
            else:
                _open(known, message, None, exchange, quote)
        return
    claimed: list[Announcement] = []
    for ordinal, reading in enumerate(readings):
        own = _section_exchange(message, readings, ordinal) or exchange
        match = next((a for a in edited if a.ordinal == ordinal and a.is_open), None) or _matching(known, reading.at, own, claimed)
        if match is None and len(readings) == 1 and not edited:
            match = _to_be_moved(known, reading.at, own, message.date)
        if match is None:
            claimed.append(_open(known, message, reading, own, quote, ordinal))
            continue
        _move(match, reading, message.date)
        _fill(match, message, own, quote)
        claimed.append(match)


def delay_or_cancel(known: list[Announcement], message: Message, zone_text: str | None) -> None:
    """Postpone or cancel the pump that a delay-or-cancellation message speaks of.

    'By one hour' counts from the scheduled time; a full new time replaces it; neither leaves the pump postponed without a time.
    """
    text, exchange = message.text, message.exchange
    target = _current(known, message.date, exchange)
    delay = read_delay(text)
    readings = [reading for reading in read_times(text, message.date, zone_text) if reading.at > message.date]
    if target and target.scheduled_at and delay is None:
        # Old and new time may both be written; the one that is not the old one is the new one.
        changed = [reading for reading in readings if abs(reading.at - target.scheduled_at) > SAME_PUMP]
        readings = changed or readings
    if is_cancellation(text) and not readings and delay is None:
        if target:
            target.add_evidence(message)
            target.set_status("cancelled", message.date)
        return
    if target is None:
        if readings:
            _open(known, message, readings[-1], exchange, read_quote(text))
        return
    target.add_evidence(message)
    if delay is not None and target.scheduled_at:
        _reschedule(target, target.scheduled_at + delay, message.date)
    elif readings:
        new = readings[-1]
        target.zone_text, target.time_text, target.is_inferred = new.zone_text or target.zone_text, new.time_text, new.is_inferred
        _reschedule(target, new.at, message.date)
    elif target.scheduled_at and _is_same_time_tomorrow(text):
        _reschedule(target, target.scheduled_at + timedelta(days=1), message.date)
    elif target.scheduled_at:
        _reschedule(target, None, message.date)
    else:
        target.set_status("postponed", message.date)


def count_down(known: list[Announcement], message: Message, zone_text: str | None) -> datetime | None:
    """Note what a countdown says of the pump it counts down to; open the pump if nothing announced it. Returns when it is due, if known."""
    remaining = read_remaining(message.text, message.date)
    readings = (
        [remaining]
        if remaining
        else [r for r in read_times(message.text, message.date, zone_text) if r.at > message.date - timedelta(minutes=5)]
    )
    if not readings:
        return None
    reading = readings[0]
    exchange = message.exchange
    near = [
        a
        for a in known
        if a.is_open and a.scheduled_at and _may_be_one(a.exchange, exchange) and abs(a.scheduled_at - reading.at) <= timedelta(minutes=35)
    ]
    is_close = remaining is not None and remaining.at - message.date <= _PRECISE
    if near:
        match = min(near, key=lambda a: abs((a.scheduled_at or reading.at) - reading.at))
        if is_close and match.is_inferred and match.zone_text is None:
            _correct(match, message, reading.at)
        if match.exchange is None and exchange:
            _fill(match, message, exchange, None)
        return match.scheduled_at
    if is_close and (slipped := _slipped(known, reading.at, exchange)):
        _correct(slipped, message, reading.at)
        return slipped.scheduled_at
    if message.confidence >= _SURE and (exchange or is_pump_wording(message.text)) and reading.at - message.date <= timedelta(days=2):
        undated = next((a for a in known if a.is_open and a.scheduled_at is None and _may_be_one(a.exchange, exchange)), None)
        rounded = reading._replace(at=_to_five_minutes(reading.at), is_inferred=True) if remaining else reading
        if undated:
            undated.scheduled_at, undated.time_text, undated.zone_text, undated.is_inferred = (
                rounded.at,
                rounded.time_text,
                rounded.zone_text,
                True,
            )
            _fill(undated, message, exchange, None)
        else:
            _open(known, message, rounded, exchange, read_quote(message.text))
        return rounded.at
    return reading.at


def release(known: list[Announcement], message: Message, exchange: str | None, symbol: str) -> Announcement | None:
    """Mark the open announcement that a release fulfils, the nearest in time; None if there is none."""
    due = [
        a
        for a in known
        if a.is_open
        and a.scheduled_at
        and _may_be_one(a.exchange, exchange)
        and a.scheduled_at - RELEASE_LEAD <= message.date <= a.scheduled_at + RELEASE_LAG
    ]
    undated = [
        a
        for a in known
        if a.is_open and a.scheduled_at is None and _may_be_one(a.exchange, exchange) and message.date - a.status_at <= timedelta(hours=48)
    ]
    if due:
        match = min(due, key=lambda a: abs((a.scheduled_at or message.date) - message.date))
    elif undated:
        match = undated[-1]
    else:
        return None
    match.set_status("released", message.date)
    match.released_message_id = message.message_id
    match.base = symbol
    match.exchange = match.exchange or exchange
    match.add_evidence(message)
    return match


def expire(known: list[Announcement], now: datetime) -> list[Announcement]:
    """Expire what nothing came of; returns the announcements that are still open."""
    still_open: list[Announcement] = []
    for announcement in known:
        if not announcement.is_open:
            continue
        ends_at = announcement.scheduled_at + EXPIRES_AFTER if announcement.scheduled_at else announcement.status_at + UNDATED_EXPIRES_AFTER
        if ends_at <= now:
            announcement.set_status("expired", ends_at)
        else:
            still_open.append(announcement)
    return still_open


def _open(
    known: list[Announcement], message: Message, reading: TimeReading | None, exchange: str | None, quote: str | None, ordinal: int = 0
) -> Announcement:
    taken = {a.ordinal for a in known if a.message_id == message.message_id}
    while ordinal in taken:
        ordinal += 1
    announcement = Announcement(
        channel_id=message.channel_id,
        message_id=message.message_id,
        ordinal=ordinal,
        announced_at=message.date,
        exchange=exchange,
        quote=quote,
        scheduled_at=reading.at if reading else None,
        zone_text=reading.zone_text if reading else None,
        time_text=reading.time_text if reading else None,
        is_inferred=reading.is_inferred if reading else False,
        status_at=message.date,
        evidence=[message.message_id],
    )
    known.append(announcement)
    return announcement


def _fill(announcement: Announcement, message: Message, exchange: str | None, quote: str | None) -> None:
    announcement.add_evidence(message)
    announcement.exchange = announcement.exchange or exchange
    announcement.quote = announcement.quote or quote


def _move(announcement: Announcement, reading: TimeReading, at: datetime) -> None:
    if announcement.scheduled_at is None:
        announcement.scheduled_at = reading.at
        announcement.set_status("scheduled", at)
    elif abs(announcement.scheduled_at - reading.at) > SAME_PUMP:
        _reschedule(announcement, reading.at, at)
    elif announcement.zone_text or not reading.zone_text:
        return
    announcement.zone_text, announcement.time_text, announcement.is_inferred = reading.zone_text, reading.time_text, reading.is_inferred


def _reschedule(announcement: Announcement, scheduled_at: datetime | None, at: datetime) -> None:
    if scheduled_at == announcement.scheduled_at:
        return
    announcement.previous_scheduled_at = announcement.scheduled_at or announcement.previous_scheduled_at
    announcement.scheduled_at = scheduled_at
    announcement.schedule_revision += 1
    announcement.status, announcement.status_at = "postponed", at


def _slipped(known: list[Announcement], at: datetime, exchange: str | None) -> Announcement | None:
    """The announcement that a countdown shows to be an hour off: its zone was summer time, or none was written."""
    hour = timedelta(hours=1)
    for announcement in known:
        if not announcement.is_open or announcement.scheduled_at is None or not _may_be_one(announcement.exchange, exchange):
            continue
        if abs(abs(announcement.scheduled_at - at) - hour) <= SAME_PUMP:
            return announcement
    return None


def _correct(announcement: Announcement, message: Message, at: datetime) -> None:
    """Set the start to what a close countdown says; nobody postponed anything, so the state stays."""
    at = _to_five_minutes(at)
    if announcement.scheduled_at is None or abs(announcement.scheduled_at - at) <= timedelta(minutes=3):
        return
    announcement.previous_scheduled_at, announcement.scheduled_at = announcement.scheduled_at, at
    announcement.schedule_revision += 1
    announcement.is_inferred = True
    announcement.add_evidence(message)


def _may_be_one(a: str | None, b: str | None) -> bool:
    return a is None or b is None or a == b


def _matching(known: list[Announcement], at: datetime, exchange: str | None, claimed: list[Announcement]) -> Announcement | None:
    """The announcement of the same pump: open, or lately cancelled or released, so that a restatement opens nothing new."""
    for announcement in reversed(known):
        if announcement in claimed or not _may_be_one(announcement.exchange, exchange):
            continue
        if announcement.is_open and announcement.scheduled_at is None:
            return announcement
        if announcement.is_open and announcement.scheduled_at and abs(announcement.scheduled_at - at) <= SAME_PUMP:
            return announcement
    return None


def _to_be_moved(known: list[Announcement], at: datetime, exchange: str | None, now: datetime) -> Announcement | None:
    """The open pump that an announcement with a slightly different time moves."""
    near = [
        a
        for a in known
        if a.is_open and a.scheduled_at and a.scheduled_at > now and a.exchange == exchange and abs(a.scheduled_at - at) < SAME_SESSION
    ]
    return min(near, key=lambda a: abs((a.scheduled_at or at) - at)) if near else None


def _current(known: list[Announcement], now: datetime, exchange: str | None) -> Announcement | None:
    """The pump that a channel speaks of at a moment: the open one that is due next or was due last."""
    candidates = [a for a in known if a.is_open and _may_be_one(a.exchange, exchange)]
    if not candidates:
        return None
    return min(candidates, key=lambda a: abs((a.scheduled_at or a.status_at) - now))


def _section_exchange(message: Message, readings: list[TimeReading], ordinal: int) -> str | None:
    """The exchange named in the part of a post that belongs to one of its several pumps."""
    if len(readings) < 2:
        return None
    text = message.text
    places = [max(text.find(reading.time_text.split("\n")[0]), 0) for reading in readings]
    end = places[ordinal + 1] if ordinal + 1 < len(places) else len(text)
    begin = places[ordinal] if ordinal else 0
    return read_exchange(text[begin:end]) if begin < end else None


def _to_five_minutes(at: datetime) -> datetime:
    rounded = at + timedelta(minutes=2, seconds=30)
    return rounded.replace(minute=rounded.minute - rounded.minute % 5, second=0, microsecond=0)


def _is_same_time_tomorrow(text: str) -> bool:
    lowered = text.lower()
    return "tomorrow" in lowered or "next day" in lowered
