"""Pump events: releases of one coin on one exchange, joined across channels and across the hour's rounding edge."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from pnd_dagster import tables
from pnd_dagster.events.identity import stable_id

SAME_EVENT = timedelta(hours=2)
_Row = dict[str, Any]


def cluster_events(releases: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Pump events of `releases`, and the releases with their event_id (paper IV-C; the paper's own key is kept as paper_event_key).

    Releases of one coin on one exchange are chained while no more than two hours lie between neighbours. A release whose exchange is
    unknown joins the nearest one of its chain whose exchange is known. The event's id is the hash of its first release; ids that a part
    of it would have had before the parts met (the first release of every other channel) are its aliases.

    Args:
        releases: columns of core.pump_releases; event_id may be missing and is replaced.

    Returns:
        Frames of core.pump_events and core.pump_releases.
    """
    rows = releases.unique(["channel_id", "message_id"], keep="first", maintain_order=True).sort(
        "symbol", "released_at", "channel_id", "message_id"
    )
    events: list[_Row] = []
    event_ids: list[str] = []
    members: list[_Row] = []
    for chain in _chains(rows.iter_rows(named=True)):
        exchanges = _settled_exchanges(chain)
        parts: dict[str | None, list[_Row]] = {}
        for row, exchange in zip(chain, exchanges, strict=True):
            parts.setdefault(exchange, []).append(row)
        for exchange, part in parts.items():
            for evidence in _chains(iter(part)):
                event = _event(evidence, exchange)
                events.append(event)
                members += evidence
                event_ids += [event["event_id"]] * len(evidence)
    clustered = pl.DataFrame(members, schema=rows.schema).with_columns(pl.Series("event_id", event_ids, dtype=pl.String))
    return (
        tables.conform(pl.DataFrame(events, schema=tables.polars_schema(tables.PUMP_EVENTS)), tables.PUMP_EVENTS).sort(
            "released_at", "event_id"
        ),
        tables.conform(clustered, tables.PUMP_RELEASES).sort("released_at", "channel_id", "message_id"),
    )


def _chains(rows: Iterator[_Row]) -> Iterator[list[_Row]]:
    """Runs of one symbol (rows come sorted) in which neighbours are at most two hours apart."""
    chain: list[_Row] = []
    for row in rows:
        if chain and (row["symbol"] != chain[-1]["symbol"] or row["released_at"] - chain[-1]["released_at"] > SAME_EVENT):
            yield chain
            chain = []
        chain.append(row)
    if chain:
        yield chain


def _settled_exchanges(chain: list[_Row]) -> list[str | None]:
    """The exchange of each release of a chain; unknown ones take that of the nearest known one, the earlier on a tie."""
    known = [(row["released_at"], row["exchange"]) for row in chain if row["exchange"]]
    if not known:
        return [None] * len(chain)
    times = [at for at, _ in known]

    def nearest(at: datetime) -> str:
        after = bisect_left(times, at)
        around = known[max(0, after - 1) : after + 1]
        return min(around, key=lambda pair: abs(pair[0] - at))[1]

    return [row["exchange"] or nearest(row["released_at"]) for row in chain]


def _event(evidence: list[_Row], exchange: str | None) -> _Row:
    first = evidence[0]
    heads: dict[object, _Row] = {}
    for row in evidence:
        heads.setdefault(row["channel_id"], row)
        if row["exchange"] is None:
            heads.setdefault("unknown exchange", row)
    event_id = _evidence_id(first)
    channels = list(dict.fromkeys(row["channel_id"] for row in evidence))
    return {
        "event_id": event_id,
        "paper_event_key": f"{exchange or 'unknown'}:{first['symbol']}:{_nearest_hour(first['released_at']):%Y-%m-%dT%H}",
        "exchange": exchange,
        "symbol": first["symbol"],
        "quote": next((row["quote"] for row in evidence if row["quote"]), None),
        "released_at": first["released_at"],
        "last_released_at": evidence[-1]["released_at"],
        "confidence": max(row["confidence"] for row in evidence),
        "channel_ids": channels,
        "channel_count": len(channels),
        "evidence_count": len(evidence),
        "announcement_ids": list(dict.fromkeys(row["announcement_id"] for row in evidence if row["announcement_id"])),
        "aliases": sorted({_evidence_id(row) for row in heads.values()} - {event_id}),
    }


def _evidence_id(row: _Row) -> str:
    return stable_id("event", row["channel_id"], row["message_id"])


def _nearest_hour(at: datetime) -> datetime:
    return (at + timedelta(minutes=30)).replace(minute=0, second=0, microsecond=0)
