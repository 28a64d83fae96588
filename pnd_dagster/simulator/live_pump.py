"""What a channel posts around a pump that is played live, from the announcement to the results, within minutes. All texts are invented."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pnd_dagster.simulator.markets import VENUES, trade_url

# Seconds before the start at which the channel counts down; those before the announcement fall away.
COUNTDOWN_SECONDS = (60, 30)
RESULTS_SECONDS = 15
_ANNOUNCEMENT = (
    "🚀 PUMP ANNOUNCEMENT 🚀\n\nDear members, our next pump is today!\n\n📅 Date: {day}\n⏰ Time: {hour} UTC\n🏦 Exchange: {exchange}\n"
    "💱 Pair: {quote}\n\nShort notice this time, so that nobody can prepare. Get your {quote} ready on {exchange} and wait for the coin!"
)
_COUNTDOWN = "⏳ {left} left until our pump on {exchange}! Be ready with your {quote}."
_RELEASE = "The coin is: {symbol}\n\nExchange: {exchange}\nPair: {symbol}/{quote}\n{url}\n\nBuy and hold!"
_RESULTS = "Pump results: {symbol} reached a great peak on {exchange} within minutes. Thank you all, the next pump will be announced soon."


class Post(NamedTuple):
    """A post that is due at a time; `kind` is announcement, countdown, release or results."""

    at: datetime
    kind: str
    text: str


def next_start(now: datetime, *, lead_seconds: float) -> datetime:
    """The first full minute that is at least so many seconds away."""
    earliest = now.astimezone(UTC) + timedelta(seconds=lead_seconds)
    full = earliest.replace(second=0, microsecond=0)
    return full if full == earliest else full + timedelta(minutes=1)


def live_posts(exchange: str, symbol: str, quote: str, *, announced_at: datetime, scheduled_at: datetime) -> list[Post]:
    """The posts of a pump, in time order: it is announced at once, released at its time, and its results are told soon after."""
    scheduled_at = scheduled_at.astimezone(UTC)
    words = {
        "exchange": VENUES[exchange].spellings[0],
        "symbol": symbol,
        "quote": quote,
        "day": f"{scheduled_at:%d.%m.%Y}",
        "hour": f"{scheduled_at:%H:%M}",
        "url": trade_url(exchange, symbol, quote),
    }
    countdown = [
        Post(at, "countdown", _COUNTDOWN.format(left="1 minute" if seconds == 60 else f"{seconds} seconds", **words))
        for seconds in COUNTDOWN_SECONDS
        if (at := scheduled_at - timedelta(seconds=seconds)) > announced_at + timedelta(seconds=5)
    ]
    return [
        Post(announced_at, "announcement", _ANNOUNCEMENT.format(**words)),
        *countdown,
        Post(scheduled_at, "release", _RELEASE.format(**words)),
        Post(scheduled_at + timedelta(seconds=RESULTS_SECONDS), "results", _RESULTS.format(**words)),
    ]
