"""Whether the long-running services are alive, by the heartbeats they write: as an asset check, and for the sensor that watches it."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl
import sqlalchemy as sa

from pnd_dagster.resources import table_metadata
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.storage import read_frame
from pnd_dagster.tables import HEARTBEATS

HEARTBEATS_KEY = dg.AssetKey(["core", "heartbeats"])
# A service that beats every 10 s is missed after this long. Of collectors there is one per exchange and shard: `collect:kucoin:1/1`.
MAX_SILENCE = {"listen": timedelta(minutes=5), "collect": timedelta(minutes=1)}
# A shard that has been silent for longer was given up, and is no longer missed.
GIVEN_UP = timedelta(days=1)


def check_name(service: str) -> str:
    """Name of a service's check."""
    return f"{service}_is_alive"


def examine(engine: sa.Engine, service: str, now: datetime) -> dg.AssetCheckResult:
    """Passes when every instance of the service beat lately and says it is healthy, or was ended on purpose, and where none ever ran."""
    beat = HEARTBEATS.c
    instances = read_frame(
        engine,
        sa.select(beat.name, beat.beat_at, beat.lag_seconds, beat.is_healthy, beat.details["state"].astext.label("state"))
        .where(sa.or_(beat.name == service, beat.name.startswith(f"{service}:", autoescape=True)))
        .order_by(beat.name),
    ).with_columns((pl.lit(now) - pl.col("beat_at")).dt.total_milliseconds().truediv(1000).alias("silence_seconds"))
    if instances.is_empty():
        return dg.AssetCheckResult(passed=True, metadata={"state": "the service has never run here"})
    missed = instances.filter(
        pl.col("state").ne_missing("stopped"),
        (pl.col("name") == service) | (pl.col("silence_seconds") <= GIVEN_UP.total_seconds()),
        ~pl.col("is_healthy") | (pl.col("silence_seconds") > MAX_SILENCE[service].total_seconds()),
    )
    return dg.AssetCheckResult(
        passed=missed.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "state": "healthy" if missed.is_empty() else f"silent, or not healthy by its own word: {', '.join(missed['name'])}",
            "instances": table_metadata.preview(instances, 50),
        },
    )


def alive_check(service: str) -> dg.AssetChecksDefinition:
    """The check of one service on core/heartbeats."""

    @dg.asset_check(
        asset=HEARTBEATS_KEY,
        name=check_name(service),
        description=f"Every `pnd {service}` gave a sign of life within {MAX_SILENCE[service]}",
    )
    def is_alive(database: DatabaseResource) -> dg.AssetCheckResult:
        return examine(database.engine, service, datetime.now(UTC))

    return is_alive
