"""The replay of channels: messages in time order become announcements with their state, and releases with their exchange."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

import polars as pl

from pnd_dagster import tables
from pnd_dagster.errors import SchemaError
from pnd_dagster.events import announcements as pumps
from pnd_dagster.events import cues
from pnd_dagster.events.announcements import Announcement
from pnd_dagster.events.image_releases import as_release
from pnd_dagster.events.pairs import find_pairs, read_quote
from pnd_dagster.events.reading import Message
from pnd_dagster.events.releases import NEXT_POST_HOLDS, Alertness, Expectation, Judgement, alertness, judge_release
from pnd_dagster.events.symbols import load_known_symbols
from pnd_dagster.events.times import is_days_ahead
from pnd_dagster.messages.labels import MessageLabel

EXCHANGE_LOOKBACK = timedelta(hours=48)
HABIT_LOOKBACK = timedelta(days=90)
NAMED_LOOKBACK = timedelta(hours=24)
_LOOKBACK_MESSAGES = 150
_HABIT_MESSAGES = 40
_DUE_KEPT = timedelta(hours=3)
_LETTER_GAP = timedelta(minutes=2)
_REQUIRED = {
    "channel_id": pl.Int64,
    "message_id": pl.Int64,
    "date": pl.Datetime("us", "UTC"),
    "text": pl.String,
    "label": pl.Int16,
    "confidence": pl.Float64,
}
_OPTIONAL = {"image_symbol": pl.String, "image_confidence": pl.Float64}
_Row = dict[str, object]


class ChannelPumps(NamedTuple):
    """Frames of core.pump_announcements and core.pump_releases (`event_id` still to come)."""

    announcements: pl.DataFrame
    releases: pl.DataFrame


@dataclass(slots=True)
class _State:
    """What the replay of one channel remembers."""

    known: list[Announcement] = field(default_factory=list[Announcement])
    still_open: list[Announcement] = field(default_factory=list[Announcement])
    past: deque[Message] = field(default_factory=lambda: deque[Message](maxlen=_LOOKBACK_MESSAGES))
    due_ats: list[datetime] = field(default_factory=list[datetime])
    expected: Expectation = field(default_factory=Expectation)
    releases: dict[int, _Row] = field(default_factory=dict[int, _Row])
    letters: list[Message] = field(default_factory=list[Message])
    spoken: deque[tuple[datetime, str]] = field(default_factory=lambda: deque[tuple[datetime, str]](maxlen=_HABIT_MESSAGES))
    named: deque[tuple[datetime, str]] = field(default_factory=lambda: deque[tuple[datetime, str]](maxlen=_HABIT_MESSAGES))
    zone_text: str | None = None

    def copy(self) -> _State:
        """A state that may go another way: what the replay still changes is its own."""
        copies = {id(announcement): replace(announcement, evidence=list(announcement.evidence)) for announcement in self.still_open}
        releases = dict(self.releases)
        if releases:
            # A repeat may tell the exchange of the one before it.
            last = next(reversed(releases))
            releases[last] = dict(releases[last])
        return replace(
            self,
            known=[copies.get(id(announcement), announcement) for announcement in self.known],
            still_open=[copies[id(announcement)] for announcement in self.still_open],
            past=self.past.copy(),
            releases=releases,
            spoken=self.spoken.copy(),
            named=self.named.copy(),
        )


class ChannelReplay:
    """The replay of one channel in time order. It can be continued by later messages, and asked at any time what it has found.

    Args:
        known_symbols: symbols that count as listed; the packaged list if None.
    """

    def __init__(self, known_symbols: frozenset[str] | None = None) -> None:
        self._known_symbols = load_known_symbols() if known_symbols is None else known_symbols
        self._state = _State()
        self._last_at: datetime | None = None

    def read(self, messages: pl.DataFrame) -> None:
        """Goes on with messages of the channel, all later than those read before. Columns and errors are those of `build_channel`."""
        for row in _prepare(messages).iter_rows():
            message = as_release(Message(*row), self._known_symbols)
            self._last_at = message.date
            _step(self._state, message, self._known_symbols)

    def found(self, as_of: datetime | None = None) -> ChannelPumps:
        """What the messages read so far tell; asking changes nothing. `as_of` is that of `build_channel`."""
        # How a channel ends is not how it goes on: letters may still be coming, and nothing has expired for the next message.
        state = self._state.copy()
        _release_spelt(state, self._known_symbols)
        if self._last_at:
            pumps.expire(state.still_open, as_of or self._last_at)
        return _frames([announcement.to_row() for announcement in state.known], list(state.releases.values()))


def build_channel(messages: pl.DataFrame, known_symbols: frozenset[str] | None = None, as_of: datetime | None = None) -> ChannelPumps:
    """Announcements and releases of one or many channels, by replaying each in time order.

    Args:
        messages: channel_id, message_id, date (UTC; when this text was known), text (raw), label (0-5), confidence; one row per revision.
            image_symbol and image_confidence, where there, are what the message's picture reveals. Order and duplicates do not matter;
            other columns are ignored.
        known_symbols: symbols that count as listed; the packaged list if None.
        as_of: announcements that nothing came of expire as seen at this time; each channel's last message if None.

    Raises:
        SchemaError: a column is missing or of the wrong type; it is named.
    """
    symbols = load_known_symbols() if known_symbols is None else known_symbols
    found = [_frames([], [])]
    for channel in _prepare(messages).partition_by("channel_id", maintain_order=True):
        replay = ChannelReplay(symbols)
        replay.read(channel)
        found.append(replay.found(as_of))
    return ChannelPumps(*(pl.concat(frames) for frames in zip(*found, strict=True)))


def _frames(announced: list[_Row], released: list[_Row]) -> ChannelPumps:
    release_schema = {name: dtype for name, dtype in tables.polars_schema(tables.PUMP_RELEASES).items() if name != "event_id"}
    return ChannelPumps(
        tables.conform(pl.DataFrame(announced, schema=tables.polars_schema(tables.PUMP_ANNOUNCEMENTS)), tables.PUMP_ANNOUNCEMENTS),
        pl.DataFrame(released, schema=release_schema).sort("channel_id", "released_at", "message_id"),
    )


def _prepare(messages: pl.DataFrame) -> pl.DataFrame:
    if missing := [name for name in _REQUIRED if name not in messages.columns]:
        raise SchemaError(f"messages: missing columns {', '.join(missing)}")
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in _OPTIONAL.items() if name not in messages.columns]
    try:
        frame = messages.with_columns(absent).select(pl.col(name).cast(dtype) for name, dtype in (_REQUIRED | _OPTIONAL).items())
    except pl.exceptions.PolarsError as error:
        raise SchemaError(f"messages: {str(error).splitlines()[0]}") from error
    frame = frame.with_columns(
        pl.col("text").fill_null(""),
        pl.col("label").fill_null(int(MessageLabel.NOISE)),
        pl.col("confidence").fill_null(0.0).fill_nan(0.0).clip(0.0, 1.0).round(6),
    )
    if empty := [name for name in ("channel_id", "message_id", "date") if frame[name].null_count()]:
        raise SchemaError(f"messages: NULL in required columns {', '.join(empty)}")
    return frame.unique().sort("channel_id", "date", "message_id", "text", "label", "confidence", "image_symbol", "image_confidence")


def _step(state: _State, message: Message, known_symbols: frozenset[str]) -> None:
    """One message: time passes, then it is a release, or moves the announcements, or is remembered only."""
    if state.still_open:
        state.still_open = pumps.expire(state.still_open, message.date)
    state.due_ats = [due_at for due_at in state.due_ats if message.date - due_at <= _DUE_KEPT]
    expected = state.expected
    if state.due_ats or state.still_open:
        open_ats = (a.scheduled_at for a in state.still_open if a.scheduled_at)
        expected = expected._replace(due_ats=tuple(sorted({*state.due_ats, *open_ats})))
    if _is_letter(message) and alertness(expected, message.date) > Alertness.NONE:
        if state.letters and message.date - state.letters[-1].date > _LETTER_GAP:
            _release_spelt(state, known_symbols)
        state.letters.append(message)
    else:
        _release_spelt(state, known_symbols)
        judgement = judge_release(message, expected, known_symbols) if message.raw_text or message.image_symbol else None
        if judgement:
            _release(state, message, judgement, known_symbols)
        elif message.raw_text:
            _announce(state, message, expected, known_symbols)
    state.past.append(message)


def _announce(state: _State, message: Message, expected: Expectation, known_symbols: frozenset[str]) -> None:
    label = message.label
    if label not in (MessageLabel.PUMP_ANNOUNCEMENT, MessageLabel.COUNTDOWN, MessageLabel.DELAY_CANCELLATION):
        # A classifier takes 'next post will be the coin' for noise now and then; near a pump the words decide.
        if len(message.raw_text) < 400 and alertness(expected, message.date) > Alertness.NONE and cues.is_next_post_cue(message.text):
            state.expected = state.expected._replace(next_post_at=message.date)
        return
    count = len(state.still_open)
    if label == MessageLabel.PUMP_ANNOUNCEMENT:
        pumps.announce(state.still_open, message, state.zone_text)
    elif label == MessageLabel.DELAY_CANCELLATION:
        pumps.delay_or_cancel(state.still_open, message, state.zone_text)
    else:
        due_at = pumps.count_down(state.still_open, message, state.zone_text)
        if due_at:
            state.due_ats.append(due_at)
        elif not is_days_ahead(message.text):
            state.expected = state.expected._replace(countdown_at=message.date)
        if cues.is_next_post_cue(message.text):
            state.expected = state.expected._replace(next_post_at=message.date)
    for announcement in state.still_open[count:]:
        state.known.append(announcement)
    written = [a.zone_text for a in state.still_open if a.zone_text and message.message_id in a.evidence]
    state.zone_text = written[-1] if written else state.zone_text
    if message.exchange:
        state.spoken.append((message.date, message.exchange))
    reading = message.symbol(known_symbols)
    if reading and ("hash" in reading.evidence or "cash" in reading.evidence):
        state.named.append((message.date, reading.symbol))
    named = frozenset(symbol for at, symbol in state.named if message.date - at <= NAMED_LOOKBACK)
    state.expected = state.expected._replace(last_pump_talk_at=message.date, spoken_symbols=named)


def _release(state: _State, message: Message, judgement: Judgement, known_symbols: frozenset[str]) -> None:
    reading = judgement.symbol
    exchange, source = _exchange_of(state, message, reading.symbol)
    if judgement.is_repeat and state.releases:
        last = next(reversed(state.releases.values()))
        announcement_id = last["announcement_id"]
        if source in (None, "announcement", "channel"):
            exchange, source = last["exchange"], last["exchange_source"]
        elif last["exchange_source"] in (None, "channel") and last["symbol"] == reading.symbol:
            last["exchange"], last["exchange_source"] = exchange, source
    else:
        announcement = pumps.release(state.still_open, message, exchange, reading.symbol)
        announcement_id = announcement.announcement_id if announcement else None
    quote = read_quote(message.text, reading.symbol)
    state.releases.setdefault(
        message.message_id,
        {
            "channel_id": message.channel_id,
            "message_id": message.message_id,
            "released_at": message.date,
            "exchange": exchange,
            "exchange_source": source,
            "symbol": reading.symbol,
            "quote": quote,
            "confidence": judgement.confidence,
            "is_symbol_listed": reading.symbol in known_symbols,
            "announcement_id": announcement_id,
        },
    )
    if isinstance(exchange, str) and source in ("url", "text"):
        state.spoken.append((message.date, exchange))
    if judgement.is_repeat:
        return
    state.expected = state.expected._replace(served_symbol=reading.symbol, served_at=message.date)
    if judgement.confidence >= 0.6:
        # What the channel was waiting for has come; another coin needs a countdown of its own.
        state.due_ats = [due_at for due_at in state.due_ats if due_at > message.date + NEXT_POST_HOLDS / 3]
        state.expected = state.expected._replace(next_post_at=None, countdown_at=None)


def _exchange_of(state: _State, message: Message, symbol: str) -> tuple[str | None, str | None]:
    """The exchange of a release and where it was found: url, text, announcement, channel."""
    for pair in find_pairs(message.text):
        if pair.is_link and pair.base == symbol and pair.venue_id:
            return pair.venue_id, "url"
    if message.exchange:
        return message.exchange, "text"
    due = [a for a in state.still_open if a.exchange and a.scheduled_at and abs(a.scheduled_at - message.date) <= timedelta(minutes=45)]
    if due:
        return min(due, key=lambda a: abs((a.scheduled_at or message.date) - message.date)).exchange, "announcement"
    spoken: str | None = None
    for past in reversed(state.past):
        if message.date - past.date > EXCHANGE_LOOKBACK:
            break
        is_pump_talk = past.label in (MessageLabel.PUMP_ANNOUNCEMENT, MessageLabel.COUNTDOWN, MessageLabel.DELAY_CANCELLATION)
        if (is_pump_talk or spoken is None) and past.raw_text and past.exchange:
            if is_pump_talk:
                return past.exchange, "announcement"
            spoken = past.exchange
    habits = Counter(exchange for at, exchange in state.spoken if message.date - at <= HABIT_LOOKBACK)
    if habits:
        return habits.most_common(1)[0][0], "channel"
    return (spoken, "channel") if spoken else (None, None)


def _is_letter(message: Message) -> bool:
    if len(message.raw_text) > 12:
        return False
    letter = cues.strip_emoji(message.text).strip()
    return len(letter) == 1 and letter.isascii() and letter.isalnum()


def _release_spelt(state: _State, known_symbols: frozenset[str]) -> None:
    """Release the coin that single letters, one message each, have spelt; the last letter is its message."""
    letters, state.letters = state.letters, []
    if len(letters) < 2:
        return
    word = "".join(cues.strip_emoji(letter.text).strip() for letter in letters).upper()
    message = letters[-1]._replace(raw_text=word)
    if judgement := judge_release(message, state.expected, known_symbols):
        _release(state, message, judgement, known_symbols)
