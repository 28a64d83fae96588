"""Whether a message releases a coin: its label, its wording and what the channel was waiting for, weighed together.

The label alone does not tell: bare tickers look like noise, and ordinary trading signals look like releases. Weights are points on
a logistic scale, set by reading detections of half of the channels.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from enum import IntEnum
from typing import NamedTuple

from pnd_dagster.events import cues
from pnd_dagster.events.reading import Message
from pnd_dagster.events.symbols import SymbolReading

NEXT_POST_HOLDS = timedelta(minutes=45)
DUE_LEAD = timedelta(minutes=3)
DUE_LAG = timedelta(minutes=20)
COUNTDOWN_HOLDS = timedelta(minutes=90)
REPEAT_WITHIN = timedelta(hours=2)
RESULTS_WITHIN = timedelta(minutes=75)
THRESHOLD = 1.0

_LABEL_POINTS = (-3.0, -2.5, 2.0, -1.5, -3.5, -0.5)
_RELEASE_LABEL, _RESULTS_LABEL = 2, 3


class Alertness(IntEnum):
    """How surely a channel is about to name a coin."""

    NONE = 0
    WEAK = 1
    STRONG = 2


class Expectation(NamedTuple):
    """What a channel's last messages let one expect.

    Attributes:
        next_post_at: when a message last said that the next one names the coin.
        countdown_at: the last countdown that named no time.
        due_ats: start times of open announcements and countdowns.
        spoken_symbols: coins that announcements and countdowns already named, and so are no secret to reveal.
        served_symbol: the coin of the last release, at `served_at`.
        served_at: when it came.
        last_pump_talk_at: the last announcement, countdown or delay.
    """

    next_post_at: datetime | None = None
    countdown_at: datetime | None = None
    due_ats: tuple[datetime, ...] = ()
    spoken_symbols: frozenset[str] = frozenset()
    served_symbol: str | None = None
    served_at: datetime | None = None
    last_pump_talk_at: datetime | None = None


class Judgement(NamedTuple):
    """A release as judged: the coin, the probability that it is one, and whether it only repeats the last one."""

    symbol: SymbolReading
    confidence: float
    is_repeat: bool


def alertness(expected: Expectation, now: datetime) -> Alertness:
    """How surely a coin will be named at `now`."""
    if expected.next_post_at and now - expected.next_post_at <= NEXT_POST_HOLDS:
        return Alertness.STRONG
    if any(-DUE_LEAD <= now - due_at <= DUE_LAG for due_at in expected.due_ats):
        return Alertness.STRONG
    if expected.countdown_at and now - expected.countdown_at <= COUNTDOWN_HOLDS:
        return Alertness.WEAK
    if any(-5 * DUE_LEAD <= now - due_at <= 4 * DUE_LAG for due_at in expected.due_ats):
        return Alertness.WEAK
    return Alertness.NONE


def judge_release(message: Message, expected: Expectation, known_symbols: frozenset[str]) -> Judgement | None:
    """The release that `message` makes, or None (paper IV-C: class 2, a symbol, and the channel's context)."""
    alert = alertness(expected, message.date)
    if message.label != _RELEASE_LABEL and alert is Alertness.NONE:
        return None
    reading = message.symbol(known_symbols)
    if reading is None:
        return None
    text = message.text
    is_recent = expected.served_at is not None and message.date - expected.served_at <= REPEAT_WITHIN
    is_repeat = is_recent and reading.symbol == expected.served_symbol
    is_reveal, is_hype = cues.is_reveal_wording(text), cues.is_hype_wording(text)
    points = _LABEL_POINTS[message.label] * message.confidence
    points += {Alertness.STRONG: 2.5, Alertness.WEAK: 1.0, Alertness.NONE: -2.0}[alert]
    if is_repeat:
        points += 1.5 if message.label == _RELEASE_LABEL else -1.0
    elif is_recent:
        points -= 0.5
    if reading.symbol in expected.spoken_symbols:
        points -= 2.0
    points += max(0.0, _symbol_points(reading)) if is_repeat else _symbol_points(reading)
    points += 1.0 * is_reveal + 0.5 * is_hype
    if "link" in reading.evidence and (alert > Alertness.NONE or is_reveal or is_recent):
        points += 1.5
    # A picture that hides a coin among decoys is made for one purpose.
    points += 1.5 * ("image" in reading.evidence)
    points -= (0.0, 0.5, 2.0, 3.5, 4.5)[cues.count_signal_marks(text)] * (0.8 if alert is Alertness.STRONG else 1.0)
    if message.label == _RESULTS_LABEL or cues.is_result_wording(text):
        # Where the coin was shown as an image, the results are the first to name it in words.
        is_first_word = (
            message.label == _RESULTS_LABEL
            and _is_waiting(expected, message.date)
            and not is_recent
            and reading.symbol in known_symbols
            and reading.confidence >= 0.5
        )
        points += 4.5 if is_first_word else -1.5
        points -= 1.0 * (message.label != _RELEASE_LABEL and not is_first_word)
    if message.label != _RELEASE_LABEL:
        points -= 1.0 * cues.is_advert_wording(text) + 2.0 * cues.is_next_post_cue(text)
    points -= 0.5 * cues.is_news_wording(text) + 0.5 * (len(text) > 600)
    if not expected.last_pump_talk_at or message.date - expected.last_pump_talk_at > timedelta(days=14):
        points -= 1.0
    if points < THRESHOLD:
        return None
    return Judgement(reading, reading.confidence / (1 + math.exp(-points)), is_repeat)


def _is_waiting(expected: Expectation, now: datetime) -> bool:
    """Whether a reveal was due within the last hour or so and no coin has been named in words."""
    since = [at for at in (expected.next_post_at, *expected.due_ats) if at and timedelta(0) <= now - at <= RESULTS_WITHIN]
    return bool(since)


def _symbol_points(reading: SymbolReading) -> float:
    if reading.evidence == ("capitals",):
        return -3.0
    points = next(value for least, value in ((6.0, 1.0), (4.0, 0.5), (2.5, 0.0), (0.0, -1.5)) if reading.points >= least)
    return points - (2.0 if reading.confidence < 0.45 else 1.0 if reading.confidence < 0.5 else 0.0)
