"""Which of the services that `pnd up` runs are not at work yet."""

from __future__ import annotations

import json
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from pnd_dagster.tables import BUCKET_COMMITS, HEARTBEATS

if TYPE_CHECKING:
    from pnd_dagster.settings import Settings

# A sign of life, and a bucket, that are older say nothing of now.
FRESH_BEAT, FRESH_BUCKET = timedelta(seconds=60), timedelta(seconds=15)
_WATCHED_DAEMONS = {"SENSOR", "QUEUED_RUN_COORDINATOR"}
_QUERY = (
    "{ instance { daemonHealth { allDaemonStatuses { daemonType healthy } } } "
    "workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }"
)


def missing_services(configured: Settings, engine: sa.Engine) -> dict[str, str]:
    """What stands in the way of a pump that would be announced now: service and reason; empty when Dagster's daemon looks after its
    sensors, the listener follows channels and every exchange is collected.

    Args:
        configured: port of the UI, exchanges.
        engine: the platform's database.
    """
    silent = silent_exchanges(engine, configured)
    return {
        **({} if is_dagster_up(configured) else {"dagster": "does not look after its sensors"}),
        **({} if is_listening(engine) else {"listen": "follows no channel"}),
        **({"collect": f"nothing from {', '.join(silent)}"} if silent else {}),
    }


def is_dagster_up(configured: Settings) -> bool:
    """Whether the webserver answers, the code location is loaded, and the daemon looks after sensors and runs."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{configured.ui_port}/graphql", json.dumps({"query": _QUERY}).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            data = json.load(answer)["data"]
    except (OSError, ValueError):
        return False
    if not data or not data["instance"]:  # the webserver runs, and its database does not
        return False
    healthy = {daemon["daemonType"] for daemon in data["instance"]["daemonHealth"]["allDaemonStatuses"] if daemon["healthy"]}
    locations = data["workspaceOrError"].get("locationEntries", [])
    return healthy >= _WATCHED_DAEMONS and any(entry["loadStatus"] == "LOADED" for entry in locations)


def is_listening(engine: sa.Engine) -> bool:
    """Whether the listener is connected and follows a channel."""
    beat = HEARTBEATS.c
    is_fresh = beat.beat_at > datetime.now(UTC) - FRESH_BEAT
    statement = sa.select(beat.details["channels"].as_integer()).where(beat.name == "listen", beat.is_healthy, is_fresh)
    with engine.connect() as connection:
        return bool(connection.execute(statement).scalar())


def silent_exchanges(engine: sa.Engine, configured: Settings) -> list[str]:
    """Exchanges of which no order book was stored lately."""
    commit = BUCKET_COMMITS.c
    is_fresh = sa.and_(commit.bucket_end_at > datetime.now(UTC) - FRESH_BUCKET, commit.book_rows > 0)
    with engine.connect() as connection:
        heard = set(connection.execute(sa.select(commit.exchange).distinct().where(is_fresh)).scalars())
    return [exchange for exchange in configured.exchanges if exchange not in heard]
