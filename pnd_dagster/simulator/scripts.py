"""What one channel posts around one pump: announcement, countdown, release, hype, results, or the postponement or cancellation."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random

from pnd_dagster.simulator.clocks import time_left
from pnd_dagster.simulator.drafts import Draft
from pnd_dagster.simulator.lettering import hashtag, stacked
from pnd_dagster.simulator.markets import VENUES, trade_url
from pnd_dagster.simulator.pumps import CANCELLED, POSTPONED, Pump
from pnd_dagster.simulator.reveals import Reveal
from pnd_dagster.simulator.voices import Voice

# From here on the next post is the coin.
_LAST_CALL_MINUTES = 5


def play(pump: Pump, channel: int, voice: Voice, reveal: Reveal | None, rng: Random) -> list[Draft]:
    """The drafts of `channel` for `pump`.

    Args:
        pump: the plan.
        channel: index of the channel that posts; a channel that only joins posts a little after the leader.
        voice: its voice.
        reveal: the image by which the coin is named, if it is named by one.
        rng: source of chance.
    """
    is_leader = channel == pump.channels[0]
    announced_at = pump.announced_at
    if not is_leader:
        announced_at += (pump.first_scheduled_at - pump.announced_at) * rng.uniform(0.01, 0.3)
    changed_at = _changed_at(pump, announced_at, rng)
    drafts = list(_announce(pump, channel, voice, announced_at, rng))
    first_until = changed_at if changed_at is not None else pump.scheduled_at
    drafts += _count_down(pump, channel, voice, pump.first_scheduled_at, announced_at, first_until, rng)
    if pump.outcome == CANCELLED and changed_at is not None:
        drafts.append(_post(voice.cancellations, pump, channel, voice, changed_at, pump.first_scheduled_at, rng))
        return drafts
    if pump.outcome == POSTPONED and changed_at is not None:
        templates = voice.delays_by if pump.is_delay_relative else voice.delays_to
        drafts.append(_post(templates, pump, channel, voice, changed_at, pump.scheduled_at, rng))
        drafts += _count_down(pump, channel, voice, pump.scheduled_at, changed_at, pump.scheduled_at, rng)
    drafts += _release(pump, channel, voice, reveal, rng)
    return drafts


def _changed_at(pump: Pump, announced_at: datetime, rng: Random) -> datetime | None:
    """When the pump is called off or moved: minutes before its time for a short delay, up to most of a day otherwise."""
    if pump.outcome not in (CANCELLED, POSTPONED):
        return None
    notice = timedelta(minutes=rng.choice((4, 8, 12, 25, 45)))
    if not (pump.outcome == POSTPONED and pump.is_delay_relative):
        notice = rng.choice((notice, timedelta(hours=2, minutes=rng.randrange(60)), timedelta(minutes=-6)))
    return max(pump.first_scheduled_at - notice + timedelta(seconds=rng.randrange(50)), announced_at + timedelta(minutes=2))


def _announce(pump: Pump, channel: int, voice: Voice, announced_at: datetime, rng: Random) -> Iterator[Draft]:
    announcement = _post(voice.announcements, pump, channel, voice, announced_at, pump.first_scheduled_at, rng)
    announcement.is_pinned = rng.random() < 0.4
    announcement.reach = 1.3
    if rng.random() < 0.2:
        announcement.edited_at = announced_at + timedelta(minutes=rng.randrange(1, 9))
    yield announcement
    if announcement.is_pinned:
        pinned_at = announced_at + timedelta(seconds=rng.randrange(5, 90))
        yield Draft(channel=channel, posted_at=pinned_at, text="", action="MessageActionPinMessage", reply_to=announcement)
    ahead = pump.first_scheduled_at - announced_at
    if voice.instructions and ahead > timedelta(hours=3):
        posted_at = announced_at + ahead * rng.uniform(0.05, 0.7)
        yield _post(voice.instructions, pump, channel, voice, posted_at, pump.first_scheduled_at, rng)
    if ahead > timedelta(hours=20) and rng.random() < 0.4:
        again = _post(voice.announcements, pump, channel, voice, announced_at + ahead * rng.uniform(0.3, 0.8), pump.first_scheduled_at, rng)
        again.reply_to = announcement
        yield again


def _count_down(
    pump: Pump, channel: int, voice: Voice, scheduled_at: datetime, after: datetime, until: datetime, rng: Random
) -> Iterator[Draft]:
    for minutes in voice.countdown:
        posted_at = scheduled_at - timedelta(minutes=minutes) + timedelta(seconds=rng.randrange(0, 25))
        if not after + timedelta(minutes=2) < posted_at < until or rng.random() < 0.12:
            continue
        templates = voice.last_calls if minutes <= _LAST_CALL_MINUTES else voice.countdowns
        draft = _post(templates, pump, channel, voice, posted_at, scheduled_at, rng, left_minutes=minutes)
        if rng.random() < 0.05:
            draft.media_type = "MessageMediaPhoto"
        yield draft


def _release(pump: Pump, channel: int, voice: Voice, reveal: Reveal | None, rng: Random) -> Iterator[Draft]:
    released_at = pump.released_at
    if released_at is None:
        return
    if channel != pump.channels[0]:
        released_at += timedelta(seconds=rng.choice((1, 2, 5, 14, 31, 58)))
    if reveal is not None:
        caption = rng.choice(("", "", "The coin!", "Coin in red 👇"))
        release = Draft(channel=channel, posted_at=released_at, text=caption, media_type="MessageMediaPhoto", reveal=reveal, reach=1.6)
        yield release
    elif voice.split_release and rng.random() < 0.3:
        yield Draft(channel=channel, posted_at=released_at - timedelta(seconds=3), text=rng.choice(voice.split_release))
        release = Draft(channel=channel, posted_at=released_at, text=pump.symbol, reach=1.6)
        yield release
    else:
        release = _post(voice.releases, pump, channel, voice, released_at, pump.scheduled_at, rng)
        release.reach = 1.6
        yield release
    for template in rng.sample(voice.hype, rng.randrange(1, len(voice.hype) + 1)):
        hyped_at = released_at + timedelta(seconds=rng.randrange(20, 700))
        yield _post((template,), pump, channel, voice, hyped_at, pump.scheduled_at, rng)
    yield from _tell_results(pump, channel, voice, release, released_at, rng)


def _tell_results(pump: Pump, channel: int, voice: Voice, release: Draft, released_at: datetime, rng: Random) -> Iterator[Draft]:
    told_at = released_at + timedelta(minutes=rng.choice((12, 18, 25, 60, 170)), seconds=rng.randrange(60))
    results = _post(voice.results, pump, channel, voice, told_at, pump.scheduled_at, rng)
    way = rng.random()
    if way < 0.07 and release.text and release.reveal is None:
        # Some channels edit the result into the release: its words are then known only from the time of the edit.
        release.text = f"{release.text}\n\n{results.text}"
        release.edited_at = told_at
    elif way < 0.85:
        if rng.random() < 0.3:
            results.media_type = "MessageMediaPhoto"
        if rng.random() < 0.15:
            results.edited_at = told_at + timedelta(minutes=rng.randrange(1, 40))
        results.reply_to = release if rng.random() < 0.3 else None
        yield results


def _post(
    templates: tuple[str, ...],
    pump: Pump,
    channel: int,
    voice: Voice,
    posted_at: datetime,
    scheduled_at: datetime,
    rng: Random,
    *,
    left_minutes: int | None = None,
) -> Draft:
    words = voice.clock(scheduled_at, posted_at)
    minutes_left = left_minutes if left_minutes is not None else max(1, round((scheduled_at - posted_at).total_seconds() / 60))
    template = rng.choice(templates)
    letters = rng.choice(voice.letters)
    # A hash sign or a column of letters makes sense for the whole post only.
    if (letters is hashtag and "#{symbol}" in template) or (letters is stacked and template != "{symbol}"):
        letters = voice.letters[0]
    text = template.format(
        exchange=rng.choice(VENUES[pump.exchange].spellings),
        quote=pump.quote,
        day=words.day,
        hour=words.hour,
        left=time_left(minutes_left, voice.units),
        delay=time_left(round(pump.delay.total_seconds() / 60), voice.units),
        symbol=letters(pump.symbol),
        ticker=pump.symbol,
        url=trade_url(pump.exchange, pump.symbol, pump.quote),
        target=rng.choice((100, 150, 200, 300, 500, 800)),
        gain=rng.randrange(38, 620),
        volume=rng.randrange(12, 900),
        handle=f"@{voice.username}_admin",
    )
    return Draft(channel=channel, posted_at=posted_at, text=text)
