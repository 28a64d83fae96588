"""What is kept, and what goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from pnd_dagster.services.retention import DAY_TABLES, keep_retention
from pnd_dagster.storage.leases import acquire
from pnd_dagster.storage.partitions import make_days, partition_name
from pnd_dagster.tables import LEASES, TARGET_RANKINGS, TRADE_METRICS


def test_old_days_of_metrics_and_rankings_go_and_coming_days_are_there(engine: sa.Engine) -> None:
    today = datetime.now(UTC).date()
    make_days(engine, DAY_TABLES, [today - timedelta(days=11), today - timedelta(days=10)])
    kept = keep_retention(engine, 10)
    assert {partition_name(table, today - timedelta(days=11)) for table in DAY_TABLES} <= set(kept.dropped)
    with engine.connect() as connection:
        names = set(connection.execute(sa.text("SELECT relname FROM pg_class")).scalars())
    for table in (TRADE_METRICS, TARGET_RANKINGS):
        assert {partition_name(table, today + timedelta(days=offset)) for offset in (-10, 0, 1, 2, 3)} <= names
        assert partition_name(table, today - timedelta(days=11)) not in names
    assert keep_retention(engine, 10) == ([], [], 0)


def test_leases_of_watches_go_a_day_after_they_expired_and_others_stay(engine: sa.Engine) -> None:
    for name in ("watch:old:0", "watch:new:0", "collect:kucoin:1/1"):
        assert acquire(engine, name, "me", 60)
    with engine.begin() as connection:
        old = datetime.now(UTC) - timedelta(days=1, minutes=1)
        connection.execute(sa.update(LEASES).where(LEASES.c.name != "watch:new:0").values(expires_at=old))
    assert keep_retention(engine, 10).leases == 1
    with engine.connect() as connection:
        assert set(connection.execute(sa.select(LEASES.c.name)).scalars()) == {"watch:new:0", "collect:kucoin:1/1"}
