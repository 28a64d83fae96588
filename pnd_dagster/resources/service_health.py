"""Whether the long-running services are alive, by the heartbeats they write: as an asset check, and for the sensor that watches it."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import sqlalchemy as sa

from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.storage import read_frame
from pnd_dagster.tables import HEARTBEATS

HEARTBEATS_KEY = dg.AssetKey(["core", "heartbeats"])
# A service that beats every 10 s is missed after this long.
MAX_SILENCE = {"listen": timedelta(minutes=5)}


def check_name(service: str) -> str:
    """Name of a service's check."""
    return f"{service}_is_alive"


def examine(engine: sa.Engine, service: str, now: datetime) -> dg.AssetCheckResult:
    """Passes when the service beat lately and says it is healthy, and where it never ran."""
    beat = HEARTBEATS.c
    rows = read_frame(engine, sa.select(beat.beat_at, beat.lag_seconds, beat.is_healthy).where(beat.name == service))
    if rows.is_empty():
        return dg.AssetCheckResult(passed=True, metadata={"state": "the service has never run here"})
    beat_at, lag_seconds, is_healthy = rows.row(0)
    silence = now - beat_at
    return dg.AssetCheckResult(
        passed=bool(is_healthy) and silence <= MAX_SILENCE[service],
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "state": "healthy" if is_healthy else "not healthy, by its own word",
            "silence_seconds": silence.total_seconds(),
            "lag_seconds": lag_seconds,
        },
    )


def alive_check(service: str) -> dg.AssetChecksDefinition:
    """The check of one service on core/heartbeats."""

    @dg.asset_check(
        asset=HEARTBEATS_KEY, name=check_name(service), description=f"`pnd {service}` gave a sign of life within {MAX_SILENCE[service]}"
    )
    def is_alive(database: DatabaseResource) -> dg.AssetCheckResult:
        return examine(database.engine, service, datetime.now(UTC))

    return is_alive
