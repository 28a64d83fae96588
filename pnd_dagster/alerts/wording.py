"""How alerts are worded: plain, "suspected", with evidence and with what is not known; never what to do about it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pnd_dagster.alerts.alert import Alert
from pnd_dagster.alerts.facts import Row, Standing, iso, rounded
from pnd_dagster.alerts.text import plain

SYMBOL_CHARACTERS = 20
LISTED_CHANNELS = 5
LeaderStage = Literal["candidates", "target suspected"]


def announced(
    row: Row,
    named: Sequence[Row],
    titles: Mapping[int, str],
    quoted: Sequence[Mapping[str, Any]],
    collected: Collection[str],
    now: datetime,
) -> Alert:
    """A pump was announced, or its time changed.

    Args:
        row: subject_id, exchange, scheduled_at (None if unknown), schedule_revision.
        named: its rows of core.pump_announcements.
        titles: channels by id.
        quoted: messages, see `facts.messages`.
        collected: exchanges whose markets are followed.
        now: when this is said.
    """
    exchange, at, revision = row["exchange"], row["scheduled_at"], row["schedule_revision"]
    place = exchange or "an exchange that is not named"
    previous = next((one["previous_scheduled_at"] for one in reversed(named) if one["previous_scheduled_at"]), None)
    is_moved = revision > 0
    when = f"for {clock(at)}" if at else "without a time"
    title = f"Suspected pump on {place}: {'postponed' if is_moved else 'announced'} {when}"
    lead = f", {span((at - now).total_seconds())} from now" if at else ""
    lines = [f"{_channels(titles)} {'moved' if is_moved else 'announced'} a pump on {place} {when}{lead}."]
    if is_moved and previous:
        lines.append(f"Before, it was announced for {clock(previous)}.")
    if exchange is not None and exchange not in collected:
        lines.append(f"It is not watched: {exchange} is not collected here, so its coins cannot be ranked.")
    coin = next((one["base_symbol"] for one in named if one["base_symbol"]), None)
    return Alert(
        "announced",
        row["subject_id"],
        str(revision),
        exchange,
        symbol_text(coin),
        title,
        [*lines, *map(_quote, quoted)],
        {
            "scheduled_at": iso(at),
            "seconds_ahead": rounded((at - now).total_seconds()) if at else None,
            "previous_scheduled_at": iso(previous),
            "schedule_revision": revision,
            "channels": [{"channel_id": channel_id, "title": title} for channel_id, title in titles.items()],
            "messages": list(quoted),
            "is_inferred": any(one["is_inferred"] for one in named),
            "time_text": [plain(one["time_text"]) for one in named if one["time_text"]],
        },
        [
            *_unknown_of_announcement(exchange, at, named, collected),
            *([] if coin else ["Which coin it is; it is usually named at the start."]),
        ],
    )


def _unknown_of_announcement(exchange: str | None, at: datetime | None, named: Sequence[Row], collected: Collection[str]) -> list[str]:
    unknown = ["Whether the channels carry it out."]
    if at is None:
        unknown.append("When it shall start.")
    elif any(one["is_inferred"] for one in named):
        unknown.append("Date, zone or year were not all written; the time is inferred.")
    if exchange is None:
        unknown.append("On which exchange it shall be; all that are collected are candidates.")
    elif exchange not in collected:
        unknown.append(f"What the coins of {exchange} do.")
    return unknown


def cancelled(subject_id: str, revision: int | None, exchange: str | None, scheduled_at: datetime) -> Alert:
    """A pump was called off."""
    place = exchange or "an exchange that is not named"
    return Alert(
        "cancelled",
        subject_id,
        _revision(revision),
        exchange,
        None,
        f"Suspected pump on {place}: called off, it was announced for {clock(scheduled_at)}",
        ["The channels called it off; the watch, if there was one, has ended."],
        {"scheduled_at": iso(scheduled_at), "schedule_revision": revision},
        ["Whether it is called off for good: channels announce pumps again."],
    )


def leaders(
    stage: LeaderStage, facts: Mapping[str, Any], exchange: str, occasion: str, subject_id: str, lead_seconds: float | None
) -> Alert:
    """The candidates of an exchange, or the coin that leads them.

    Args:
        stage: "candidates" or "target suspected".
        facts: candidates, active, score_rule and leaders (rank, symbol, score, words, prior_pumps: when it was pumped there before).
        exchange: whose coins.
        occasion, subject_id: see `Alert`.
        lead_seconds: from the ranked bucket to the announced start; None where no start is known.
    """
    first = facts["leaders"][0] if facts["leaders"] else None
    when = "for a start that is not known"
    if lead_seconds is not None:
        when = f"{span(abs(lead_seconds))} {'before' if lead_seconds >= 0 else 'after'} the announced start"
    count, idle = facts["candidates"], facts["candidates"] - facts["active"]
    lines = [f"{count:,} coins of {exchange} were ranked {when} by rule {facts['score_rule']}; they stand out by:"]
    for one in facts["leaders"]:
        why = "; ".join(filter(None, [one["words"], prior_words(one["prior_pumps"])]))
        lines.append(f"{_ordinal(one['rank'])}: {one['symbol']}, score {one['score']:.2f}, {why}.")
    unknown = ["Which coin will be named: unusual activity may have other reasons, and the target may show none beforehand."]
    if idle:
        unknown.append(f"How {idle:,} of the coins compare: nothing is known of them, they stand at the neutral score.")
    if stage == "target suspected" and first:
        title = f"Suspected target on {exchange}: {first['symbol']} leads {count:,} coins, {when}"
        return Alert("target suspected", subject_id, occasion, exchange, first["symbol"], title, lines, facts, unknown)
    return Alert(
        "candidates",
        subject_id,
        occasion,
        exchange,
        None,
        f"Suspected pump on {exchange}: {count:,} candidates are watched, {when}",
        lines,
        facts,
        unknown,
    )


def released(
    row: Row,
    subject_id: str,
    titles: Mapping[int, str],
    quoted: Sequence[Mapping[str, Any]],
    stood: Sequence[Standing],
    is_watched: bool,
    prior: Sequence[str],
) -> Alert:
    """A coin was named.

    Args:
        row: of core.pump_events.
        subject_id: the pump it belongs to, else the event.
        titles: channels that named it, by id.
        quoted: their messages.
        stood: where it stood before.
        is_watched: whether there was a watch at all.
        prior: when it was pumped there before, ISO times, the last first.
    """
    exchange, symbol = row["exchange"], symbol_text(row["symbol"])
    place = exchange or "an exchange that is not named"
    before = prior_words(prior)
    lines = [
        f"{_channels(titles)} named {symbol} on {place} at {clock(row['released_at'])}.",
        *standing_lines(stood, is_watched),
        *([f"It was {before}."] if before else []),
        *map(_quote, quoted),
    ]
    return Alert(
        "released",
        subject_id,
        row["event_id"],
        exchange,
        symbol,
        f"Suspected pump on {place}: {symbol} was named at {clock(row['released_at'])}",
        lines,
        {
            "event_id": row["event_id"],
            "released_at": iso(row["released_at"]),
            "confidence": rounded(row["confidence"]),
            "channels": [{"channel_id": channel_id, "title": title} for channel_id, title in titles.items()],
            "messages": list(quoted),
            "ranked_before": standing_facts(stood),
            "prior_pumps": list(prior),
        },
        ["Whether the price was moved by those who named it, and who they are."],
    )


def over(
    subject_id: str, revision: int | None, exchange: str | None, scheduled_at: datetime, events: Sequence[Row], lines: Sequence[str]
) -> Alert:
    """A pump's time is over.

    Args:
        subject_id: the pump.
        revision: of its schedule.
        exchange: where it was announced.
        scheduled_at: when it was announced for.
        events: rows of core.pump_events that belong to it.
        lines: what came of the watch, in words.
    """
    place = exchange or "an exchange that is not named"
    named = [symbol_text(one["symbol"]) or "" for one in events]
    outcome = f"{', '.join(named)} was named" if named else "no coin was seen to be named"
    return Alert(
        "over",
        subject_id,
        _revision(revision),
        exchange,
        named[0] if named else None,
        f"Suspected pump on {place} of {clock(scheduled_at)} is over: {outcome}",
        list(lines),
        {
            "scheduled_at": iso(scheduled_at),
            "schedule_revision": revision,
            "event_ids": [one["event_id"] for one in events],
            "symbols": named,
        },
        [] if named else ["Whether a coin was named where we do not read, or in a picture that cannot be read."],
    )


def detected(row: Mapping[str, Any]) -> Alert:
    """A pump was seen on the market after its start; a row of out.detected_pumps."""
    symbol, exchange = symbol_text(row["symbol"]), row["exchange"]
    pump_id = row.get("pump_id")
    known = "one was announced for then" if pump_id else "none was announced for then, as far as we read"
    return Alert(
        "detected",
        row["detection_id"],
        "0",
        exchange,
        symbol,
        f"Suspected pump on {exchange}: {symbol} moves as if it were pumped since {clock(row['detected_at'])}",
        [f"{plain(row['reason'], 300)}; {known}."],
        {
            "detection_id": row["detection_id"],
            "detected_at": iso(row["detected_at"]),
            "volume_z": rounded(row["volume_z"]),
            "trades_z": rounded(row["trades_z"]),
            "price_change": None if row["price_change"] is None else round(float(row["price_change"]), 4),
            "pump_id": pump_id,
        },
        ["Why it moves: news and large orders can look the same."],
    )


def standing_lines(stood: Sequence[Standing], is_watched: bool) -> list[str]:
    """Where a coin stood before it was named, in words."""
    if not stood:
        return ["Its coins had not been ranked before." if is_watched else "Nobody watched: its coins were not ranked."]
    if all(one.rank is None for one in stood):
        return [f"It was not among the {stood[-1].candidates:,} coins that were ranked."]
    places = ", ".join(f"{_ordinal(one.rank)} of {one.candidates:,} {one.offset_seconds} s before" for one in stood if one.rank is not None)
    return [f"It had been ranked {places}."]


def standing_facts(stood: Sequence[Standing]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [{**one._asdict(), "bucket_end_at": iso(one.bucket_end_at), "score": rounded(one.score)} for one in stood]


def prior_words(prior: Sequence[str]) -> str:
    """Earlier pumps of a coin on the exchange, by their ISO times, the last first; nothing where there were none."""
    if not prior:
        return ""
    day = prior[0][:10]
    return f"pumped there once before, on {day}" if len(prior) == 1 else f"pumped there {len(prior):,} times before, last on {day}"


def symbol_text(symbol: str | None) -> str | None:
    """A coin's symbol fit to be shown; of a pair, its base."""
    return plain(symbol.split("/")[0], SYMBOL_CHARACTERS).upper() if symbol else None


def clock(at: datetime) -> str:
    """A moment as people read it."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC".replace(":00 UTC", " UTC")


def span(seconds: float) -> str:
    """A length of time as people say it."""
    if abs(seconds) < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if abs(seconds) < 7200 else f"{seconds / 3600:.1f} h"


def _channels(titles: Mapping[int, str]) -> str:
    listed = ", ".join(list(titles.values())[:LISTED_CHANNELS])
    more = f" and {len(titles) - LISTED_CHANNELS} more" if len(titles) > LISTED_CHANNELS else ""
    return f"{len(titles)} channel{'s' if len(titles) != 1 else ''} ({listed}{more})"


def _quote(message: Mapping[str, Any]) -> str:
    return f'"{message["text"]}" ({message["channel"]}, message {message["message_id"]})'


def _ordinal(rank: float) -> str:
    # Ties have their mean rank.
    return f"{rank:.0f}." if rank == int(rank) else f"{rank:.1f}"


def _revision(revision: int | None) -> str:
    return str(revision or 0)
