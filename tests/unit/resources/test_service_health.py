"""Of each kind of service every instance is looked at; one that was ended on purpose is not missed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.resources.service_health import examine
from pnd_dagster.storage import upsert
from pnd_dagster.tables import HEARTBEATS

NOW = datetime(2026, 5, 3, 12, tzinfo=UTC)


def beat(engine: sa.Engine, name: str, silence: timedelta = timedelta(), *, is_healthy: bool = True, state: str = "leading") -> None:
    row = {"name": name, "beat_at": NOW - silence, "is_healthy": is_healthy, "details": json.dumps({"state": state})}
    upsert(engine, HEARTBEATS, pl.DataFrame([row]))


def test_a_service_that_never_ran_is_not_missed(engine: sa.Engine) -> None:
    beat(engine, "collector-of-something-else")
    assert examine(engine, "collect", NOW).passed


@pytest.mark.parametrize(
    ("silence", "is_healthy", "state", "passes"),
    [
        (timedelta(seconds=30), True, "leading", True),
        (timedelta(minutes=2), True, "leading", False),
        (timedelta(seconds=30), False, "nothing to watch", False),
        (timedelta(hours=3), False, "stopped", True),
        (timedelta(days=2), True, "leading", True),
    ],
    ids=["alive", "silent", "not healthy", "stopped", "given up"],
)
def test_one_shard_decides_over_the_check_of_all(engine: sa.Engine, silence: timedelta, is_healthy: bool, state: str, passes: bool) -> None:
    beat(engine, "collect:xt:1/1")
    beat(engine, "collect:mexc:1/2", silence, is_healthy=is_healthy, state=state)
    result = examine(engine, "collect", NOW)
    assert result.passed == passes
    assert passes or "collect:mexc:1/2" in str(result.metadata["state"].value)
