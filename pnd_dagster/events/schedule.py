"""Scheduled pumps: the announcements of several channels that mean one pump, by exchange and start time."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any, cast

import polars as pl

from pnd_dagster import tables
from pnd_dagster.events.identity import stable_id

SAME_START = timedelta(minutes=10)
_Row = dict[str, Any]


def schedule_pumps(announcements: pl.DataFrame) -> pl.DataFrame:
    """Pumps that channels announced together: same exchange, starts within ten minutes of each other.

    An announcement without an exchange joins the nearest pump in time that has one. Announcements without a time are left out: they wait in
    core.pump_announcements until a time is known.

    Args:
        announcements: columns of core.pump_announcements.

    Returns:
        A frame of core.scheduled_pumps; `pump_id` is the hash of the cluster's first announcement.
    """
    timed = announcements.filter(pl.col("scheduled_at").is_not_null()).sort("scheduled_at", "announced_at", "announcement_id")
    rows = list(timed.iter_rows(named=True))
    clusters: dict[str, list[list[_Row]]] = {}
    homeless: list[_Row] = []
    for row in rows:
        if row["exchange"] is None:
            homeless.append(row)
            continue
        own = clusters.setdefault(row["exchange"], [])
        if own and row["scheduled_at"] - own[-1][0]["scheduled_at"] <= SAME_START:
            own[-1].append(row)
        else:
            own.append([row])
    named = sorted(
        (cluster for own in clusters.values() for cluster in own), key=lambda cluster: (cluster[0]["scheduled_at"], cluster[0]["exchange"])
    )
    unnamed: list[list[_Row]] = []
    at = 0
    for row in homeless:
        while at < len(named) and row["scheduled_at"] - named[at][0]["scheduled_at"] > SAME_START:
            at += 1
        near = [cluster for cluster in _ahead(named, at) if abs(cluster[0]["scheduled_at"] - row["scheduled_at"]) <= SAME_START]
        if near:
            min(near, key=lambda cluster: abs(cluster[0]["scheduled_at"] - row["scheduled_at"])).append(row)
        elif unnamed and row["scheduled_at"] - unnamed[-1][0]["scheduled_at"] <= SAME_START:
            unnamed[-1].append(row)
        else:
            unnamed.append([row])
    pumps = [_pump(cluster) for cluster in (*named, *unnamed)]
    frame = pl.DataFrame(pumps, schema=tables.polars_schema(tables.SCHEDULED_PUMPS))
    return tables.conform(frame, tables.SCHEDULED_PUMPS).sort("scheduled_at", "pump_id")


def connected_span(starts: pl.Series, changed: pl.Series) -> tuple[datetime, datetime]:
    """First and last start that may have to be grouped otherwise when the `changed` ones come or go.

    Starts further apart than `SAME_START` never meet, so a span ends where no other start is so near.

    Args:
        starts: all starts, before and after the change; NULL is passed over.
        changed: those that came or went, at least one of them known.
    """
    ordered = pl.concat([starts, changed]).drop_nulls().unique().sort()
    island = (ordered.diff() > SAME_START).fill_null(False).cum_sum()
    touched = island.filter(ordered.is_between(cast("datetime", changed.min()), cast("datetime", changed.max())))
    span = ordered.filter(island.is_between(touched.min(), touched.max()))
    return span[0], span[-1]


def _ahead(clusters: list[list[_Row]], at: int) -> list[list[_Row]]:
    """The clusters from index `at` on that start within twenty minutes of it: all that a neighbour can belong to."""
    found: list[list[_Row]] = []
    for cluster in clusters[at:]:
        if cluster[0]["scheduled_at"] - clusters[at][0]["scheduled_at"] > 2 * SAME_START:
            break
        found.append(cluster)
    return found


def _pump(cluster: list[_Row]) -> _Row:
    by_announcement = sorted(cluster, key=lambda row: (row["announced_at"], row["announcement_id"]))
    first = by_announcement[0]
    starts = Counter(row["scheduled_at"] for row in by_announcement)
    last_changed = max(by_announcement, key=lambda row: (row["status_at"], row["announcement_id"]))
    channels = list(dict.fromkeys(row["channel_id"] for row in by_announcement))
    return {
        "pump_id": stable_id("pump", first["announcement_id"]),
        "exchange": next((row["exchange"] for row in by_announcement if row["exchange"]), None),
        "scheduled_at": starts.most_common(1)[0][0],
        "schedule_revision": max(row["schedule_revision"] for row in by_announcement),
        "status": last_changed["status"],
        "announcement_ids": [row["announcement_id"] for row in by_announcement],
        "channel_ids": channels,
        "channel_count": len(channels),
        "first_announced_at": first["announced_at"],
    }
