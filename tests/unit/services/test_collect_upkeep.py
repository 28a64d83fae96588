"""What a collector does by the hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from pnd_dagster.market.windows import LAYOUT
from pnd_dagster.services.collect_upkeep import RollupClerk
from pnd_dagster.tables import BUCKET_COMMITS, INSTRUMENTS, METRIC_ROLLUPS

NOW = datetime(2026, 3, 1, 12, 1, tzinfo=UTC)


def commit(
    engine: sa.Engine, end: datetime, *, exchange: str = "kucoin", is_spilled: bool = False, committed_at: datetime | None = None
) -> None:
    names = ("watched", "blind", "book_rows", "trade_rows", "book_updates", "trades", "unusable_books", "rejected_frames", "duplicates")
    row = {**dict.fromkeys((*names, "lag_seconds"), 1), "is_gap": False, "is_spilled": is_spilled, "lease_epoch": 1}
    key = {"exchange": exchange, "shard": "1/1", "bucket_end_at": end}
    with engine.begin() as connection:
        connection.execute(sa.insert(BUCKET_COMMITS).values(**key, **row, committed_at=committed_at or end))


def roll_up_in_database(engine: sa.Engine, hour: datetime, layout: int = LAYOUT) -> None:
    listing = {"exchange": "kucoin", "market_id": "A", "symbol": "A/USDT", "base_symbol": "A", "quote_symbol": "USDT"}
    with engine.begin() as connection:
        connection.execute(
            sa.insert(INSTRUMENTS).values(
                instrument_id=1, **listing, base_id="A", quote_id="USDT", is_derivative=False, valid_from=hour - timedelta(days=1)
            )
        )
        connection.execute(sa.insert(METRIC_ROLLUPS).values(instrument_id=1, hour_end_at=hour, layout=layout, n=[1], mean=[1.0], m2=[0.0]))


@pytest.fixture
def worked() -> list[datetime]:
    return []


@pytest.fixture
def clerk(engine: sa.Engine, worked: list[datetime]) -> RollupClerk:
    return RollupClerk(engine, "kucoin", worked.append)


def hour(number: int) -> datetime:
    return datetime(2026, 3, 1, number, tzinfo=UTC)


def test_every_hour_that_ended_and_has_buckets_is_rolled_up_once(engine: sa.Engine, clerk: RollupClerk) -> None:
    for end in (hour(9), hour(10) + timedelta(seconds=5), hour(12), hour(12) + timedelta(seconds=5)):
        commit(engine, end)
    commit(engine, hour(8), exchange="mexc")
    # A bucket that ends with the hour belongs to it; the hour of 12:00:05 lasts.
    assert clerk.work(NOW) == [hour(9), hour(11), hour(12)]
    assert clerk.work(NOW) == []
    commit(engine, hour(13))
    assert clerk.work(NOW + timedelta(hours=1)) == [hour(13)]


def test_an_hour_is_left_until_its_last_buckets_have_come(engine: sa.Engine, clerk: RollupClerk) -> None:
    commit(engine, hour(12))
    assert clerk.work(hour(12) + timedelta(seconds=10)) == []
    assert clerk.work(hour(12) + timedelta(seconds=40)) == [hour(12)]


def test_what_came_later_is_rolled_up_again(engine: sa.Engine, clerk: RollupClerk) -> None:
    commit(engine, hour(11))
    assert clerk.work(NOW) == [hour(11)]
    commit(engine, hour(11) - timedelta(seconds=5), is_spilled=True, committed_at=NOW)
    assert clerk.work(NOW) == [hour(11)]
    assert clerk.work(NOW) == []


def test_a_new_process_does_not_repeat_what_an_earlier_one_did_unless_buckets_were_late(
    engine: sa.Engine, clerk: RollupClerk, worked: list[datetime]
) -> None:
    commit(engine, hour(11))
    roll_up_in_database(engine, hour(11))
    assert clerk.work(NOW) == []
    commit(engine, hour(11) - timedelta(seconds=5), is_spilled=True, committed_at=NOW)
    assert RollupClerk(engine, "kucoin", worked.append).work(NOW) == [hour(11)]
    assert worked == [hour(11)]


def test_hours_that_an_earlier_version_rolled_up_are_rolled_up_anew(engine: sa.Engine, clerk: RollupClerk) -> None:
    commit(engine, hour(11))
    roll_up_in_database(engine, hour(11), layout=LAYOUT - 1)
    assert clerk.work(NOW) == [hour(11)]


def test_a_rollup_that_fails_is_tried_again(engine: sa.Engine) -> None:
    commit(engine, hour(11))
    answers = iter([RuntimeError("no"), None])

    def roll_up(_: datetime) -> None:
        if error := next(answers):
            raise error

    clerk = RollupClerk(engine, "kucoin", roll_up)
    with pytest.raises(RuntimeError):
        clerk.work(NOW)
    assert clerk.work(NOW) == [hour(11)]
