"""All that lies behind a pump: messages, what they were read as, the market, the ranking, the filter, the alerts, and who decided what.

Everything is read from the database as it stands; what is not there is left empty and said to be missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from pnd_dagster import __version__
from pnd_dagster.alerts import coin_market, facts, wording
from pnd_dagster.alerts.subjects import Subject, find
from pnd_dagster.alerts.text import plain
from pnd_dagster.storage import transaction
from pnd_dagster.tables import (
    ALERTS,
    CHANNEL_BUILDS,
    CHANNEL_WARNING_SIGNS,
    MESSAGE_WARNING_SIGNS,
)

Rows = list[dict[str, Any]]


class Explanation(NamedTuple):
    """What is known of a pump; each list holds rows with the same fields.

    Attributes:
        summary: subject ids, exchange, symbol, times, state.
        messages: evidence, in time order, as one plain line each.
        timeline: announcements, postponements, releases, watches, in time order.
        metrics: buckets of the coin's markets around the release.
        z: metric, horizon_seconds, and z at so many seconds before the release.
        ranking: the first and those around the coin, at the last tick before the release.
        standings: where the coin stood at the offsets.
        prior_pumps: earlier pumps of the symbol on any exchange, the newest first.
        filter: decisions of the market-cap filter on the coin's markets.
        warning_signs: of the messages and their channels.
        alerts: what was queued, by channel, and what became of it.
        versions: who labelled, extracted and ranked.
        missing: what could not be told, and why.
    """

    summary: dict[str, Any]
    messages: Rows
    timeline: Rows
    metrics: Rows
    z: Rows
    ranking: Rows
    standings: Rows
    prior_pumps: Rows
    filter: Rows
    warning_signs: Rows
    alerts: Rows
    versions: dict[str, Any]
    missing: list[str]


def explain(engine: sa.Engine, identity: str) -> Explanation:
    """What is known of a pump.

    Args:
        engine: the platform's database.
        identity: id of an event, a scheduled pump, a watch, a detection or an announcement, or its beginning if no other begins so.

    Raises:
        SourceError: there is none, or several; names ids that there are.
        DatabaseError: Postgres refused or is away.
    """
    with transaction(engine) as connection:
        return _explain(connection, find(connection, identity.strip()))


def _explain(connection: sa.Connection, subject: Subject) -> Explanation:
    event, pump, watch = subject.event, subject.pump, subject.watch
    detection = subject.detections[0] if subject.detections else {}
    named = facts.announcements(connection, subject.announcement_ids)
    releases = facts.releases(connection, event["event_id"]) if event else []
    keys = [(one["channel_id"], message_id) for one in named for message_id in (one["message_id"], *one["evidence_message_ids"])]
    keys += [(one["channel_id"], one["message_id"]) for one in releases]
    messages = sorted(facts.messages(connection, keys, is_cut=False), key=lambda row: (row["posted_at"], row["message_id"]))
    symbol = (event or {}).get("symbol") or (watch or {}).get("symbol") or detection.get("symbol")
    exchanges = (one.get("exchange") for one in (event or {}, detection, pump or {}))
    exchange = next((one for one in exchanges if one), None) or _only((watch or {}).get("exchanges"))
    released_at: datetime | None = event["released_at"] if event else None
    at = released_at or detection.get("detected_at") or (pump or watch or {}).get("scheduled_at")
    ids = facts.instrument_ids(connection, exchange, symbol, at) if exchange and symbol and at else []
    ticks = coin_market.ticks(connection, watch, exchange, at) if watch and exchange and at else {}
    alerts = _alerts(connection, subject)
    z, rule_note = coin_market.z(connection, ticks, ids)
    explanation = Explanation(
        summary={
            "event_id": (event or {}).get("event_id"),
            "pump_id": (pump or {}).get("pump_id"),
            "watch_id": (watch or {}).get("watch_id"),
            "exchange": exchange,
            "symbol": wording.symbol_text(symbol),
            "scheduled_at": facts.iso((pump or watch or {}).get("scheduled_at")),
            "released_at": facts.iso(released_at),
            "detected_at": facts.iso(detection.get("detected_at")),
            "pump_status": (pump or {}).get("status"),
            "watch_state": (watch or {}).get("state"),
            "watch_detail": plain((watch or {}).get("detail"), 300) or None,
        },
        messages=messages,
        timeline=_timeline(connection, named, releases, subject),
        metrics=coin_market.metrics(connection, ids, at) if at and symbol else [],
        z=z,
        ranking=coin_market.ranking(connection, ticks, ids),
        standings=wording.standing_facts(facts.standings(connection, watch["watch_id"], exchange, symbol, at))
        if watch and exchange and symbol and at
        else [],
        prior_pumps=[{**row, "released_at": facts.iso(row["released_at"])} for row in facts.prior_pumps(connection, [symbol], at)]
        if symbol and at
        else [],
        filter=coin_market.filter_decisions(connection, ids, at) if at else [],
        warning_signs=_warning_signs(connection, keys),
        alerts=alerts,
        versions=_versions(connection, messages, {channel for channel, _ in keys}, ticks, alerts),
        missing=[],
    )
    explanation.missing.extend(_missing(explanation, subject, symbol, exchange, ids, rule_note))
    return explanation


def _only(values: Sequence[str] | None) -> str | None:
    return values[0] if values and len(values) == 1 else None


def _timeline(connection: sa.Connection, named: Sequence[facts.Row], releases: Sequence[facts.Row], subject: Subject) -> Rows:
    titles = facts.channel_titles(connection, [one["channel_id"] for one in (*named, *releases)])
    told: list[tuple[datetime, str]] = []
    for one in named:
        where, channel = one["exchange"] or "an exchange not named", titles[one["channel_id"]]
        first = one["previous_scheduled_at"] or one["scheduled_at"]
        when = f"for {wording.clock(first)}" if first else "without a time"
        is_moved = one["schedule_revision"] and one["status"] != "postponed" and one["scheduled_at"]
        later = f", later moved to {wording.clock(one['scheduled_at'])}" if is_moved else ""
        told.append((one["announced_at"], f"{channel} announced a pump on {where}, {when}{later}"))
        if one["status_at"] != one["announced_at"] or one["status"] != "scheduled":
            to = f" to {wording.clock(one['scheduled_at'])}" if one["status"] == "postponed" and one["scheduled_at"] else ""
            told.append((one["status_at"], f"{channel}: {one['status']}{to} (revision {one['schedule_revision']})"))
    for one in releases:
        symbol = wording.symbol_text(one["symbol"])
        told.append((one["released_at"], f"{titles[one['channel_id']]} named {symbol} on {one['exchange'] or 'an exchange not named'}"))
    for one in subject.detections:
        told.append((one["detected_at"], f"{wording.symbol_text(one['symbol'])} was detected on {one['exchange']}: {plain(one['reason'])}"))
    if watch := subject.watch:
        told.append((watch["started_at"], f"watch started, attempt {watch['attempt']}"))
        if watch["ended_at"]:
            told.append((watch["ended_at"], f"watch ended: {watch['state']}, {watch['tick_count']:,} ticks"))
    return [{"at": facts.iso(at), "what": what} for at, what in sorted(told, key=lambda pair: pair[0])]


def _warning_signs(connection: sa.Connection, keys: Sequence[tuple[int, int]]) -> Rows:
    signed, channel = MESSAGE_WARNING_SIGNS.c, CHANNEL_WARNING_SIGNS.c
    titles = facts.channel_titles(connection, [channel_id for channel_id, _ in keys])
    of_messages = facts.rows(
        connection,
        sa.select(MESSAGE_WARNING_SIGNS).where(sa.tuple_(signed.channel_id, signed.message_id).in_(keys)).order_by(signed.message_id),
    )
    of_channels = facts.rows(
        connection,
        sa.select(CHANNEL_WARNING_SIGNS)
        .where(channel.channel_id.in_(titles), channel.signed_count > 0)
        .order_by(channel.channel_id, channel.signed_ratio.desc()),
    )
    return [
        {"of": f"{titles[row['channel_id']]}, message {row['message_id']}", "sign": sign, "found": plain(phrase)}
        for row in of_messages
        for sign, phrase in zip(row["signs"], row["phrases"], strict=False)
    ] + [
        {"of": titles[row["channel_id"]], "sign": row["sign"], "found": f"{row['signed_ratio']:.1%} of {row['message_count']:,} messages"}
        for row in of_channels
    ]


def _alerts(connection: sa.Connection, subject: Subject) -> Rows:
    event, pump, watch = subject.event or {}, subject.pump or {}, subject.watch or {}
    subjects = {event.get("event_id"), pump.get("pump_id"), watch.get("watch_id"), watch.get("pump_id"), *subject.announcement_ids}
    subjects |= {one["detection_id"] for one in subject.detections}
    alert = ALERTS.c
    statement = sa.select(ALERTS).where(alert.subject_id.in_(subjects - {None})).order_by(alert.created_at, alert.channel)
    names = ("stage", "channel", "state", "attempts", "title", "last_error", "alert_id")
    return [
        {
            "created_at": facts.iso(row["created_at"]),
            "sent_at": facts.iso(row["sent_at"]),
            **{name: row[name] for name in names},
            "version": row["body"].get("version"),
        }
        for row in facts.rows(connection, statement)
    ]


def _versions(
    connection: sa.Connection, messages: Rows, channel_ids: set[int], ticks: Mapping[int, facts.Row], alerts: Rows
) -> dict[str, Any]:
    build = CHANNEL_BUILDS.c
    extractors = connection.execute(sa.select(build.extractor_version).distinct().where(build.channel_id.in_(channel_ids))).scalars()
    return {
        "package": __version__,
        "packages_that_alerted": sorted({row["version"] for row in alerts if row["version"]}),
        "labellers": sorted({row["labeller"] for row in messages if row["labeller"]}),
        "extractors": sorted(extractors),
        "score_rules": sorted({tick["score_rule"] for tick in ticks.values()}),
    }


def _missing(
    explanation: Explanation, subject: Subject, symbol: str | None, exchange: str | None, ids: Sequence[int], rule_note: str | None
) -> list[str]:
    missing = [rule_note] if rule_note else []
    if symbol is None:
        missing.append("no coin was named, so there is nothing to say of one")
    elif exchange is None:
        missing.append("no exchange was named, so the coin's market is not known")
    elif not ids:
        missing.append(f"{exchange} lists no {wording.symbol_text(symbol)}, as far as core.instruments knows")
    elif not explanation.metrics:
        missing.append("no metrics of the coin around its release: it was not collected then, or they are past their retention")
    if subject.watch is None:
        missing.append("it was not watched, so nothing was ranked")
    elif not explanation.ranking:
        missing.append("no ranking within 15 s before: the watch had not started, had ended, or its rows are past their retention")
    if ids and not explanation.filter:
        missing.append("the market-cap filter decided nothing on the coin by that day")
    if not explanation.messages:
        missing.append("no message of it is held")
    if not explanation.alerts:
        missing.append("no alert was queued")
    return missing
