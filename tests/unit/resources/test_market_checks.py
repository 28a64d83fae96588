"""The checks of metrics fail on rows that cannot be, on missing buckets, on unseen coins and on silence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
import sqlalchemy as sa

from pnd_dagster.resources import market_checks
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.settings import Settings
from pnd_dagster.tables import BUCKET_COMMITS, INSTRUMENTS, ORDER_BOOK_METRICS
from tests.unit.market.rows import book, commit, instrument, store

ASSET = dg.AssetKey(["core", "order_book_metrics"])
NEGATIVE_SPREAD = market_checks.never_check(
    ASSET, ORDER_BOOK_METRICS, "spread_is_never_negative", "no spread is negative", ORDER_BOOK_METRICS.c.bid_ask_spread < 0
)
FOLLOW = market_checks.buckets_follow_check(ASSET)
COVERAGE = market_checks.coverage_check(ASSET)
FRESH = market_checks.freshness_check(ASSET)


@pytest.fixture
def passes(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """Evaluates a check and says whether it passed."""
    assert settings.database_url
    monkeypatch.setenv("PND_DATABASE_URL", settings.database_url.get_secret_value())

    def evaluate(check: dg.AssetChecksDefinition) -> bool:
        result = check(DatabaseResource())
        assert isinstance(result, dg.AssetCheckResult)
        return result.passed

    return evaluate


@pytest.fixture
def newest() -> datetime:
    """End of the newest whole bucket."""
    now = datetime.now(UTC)
    return now.replace(second=now.second - now.second % 5, microsecond=0)


def test_a_negative_spread_fails(engine: sa.Engine, passes, newest: datetime) -> None:
    store(engine, ORDER_BOOK_METRICS, book(1, newest, bid_ask_spread=0.0), book(2, newest, bid_ask_spread=None))
    assert passes(NEGATIVE_SPREAD)
    store(engine, ORDER_BOOK_METRICS, book(3, newest, bid_ask_spread=-0.1))
    assert not passes(NEGATIVE_SPREAD)


@pytest.mark.parametrize(
    ("offsets", "lag"), [((0, 5, 15), 0.5), ((0, 5, 7), 0.5), ((0, 5, 10), -0.1)], ids=["missing", "misaligned", "early"]
)
def test_buckets_that_do_not_follow_each_other_fail(
    engine: sa.Engine, passes, newest: datetime, offsets: tuple[int, ...], lag: float
) -> None:
    store(engine, BUCKET_COMMITS, *(commit(newest - timedelta(seconds=at), shard="1/2") for at in (0, 5, 10)))
    assert passes(FOLLOW)
    store(engine, BUCKET_COMMITS, *(commit(newest - timedelta(seconds=at), shard="2/2", lag_seconds=lag) for at in offsets))
    assert not passes(FOLLOW)


def test_a_watched_coin_without_a_book_fails_an_exchange_that_is_not_collected_does_not(
    engine: sa.Engine, passes, newest: datetime
) -> None:
    store(engine, INSTRUMENTS, instrument(1), instrument(2, base="DEF"), instrument(3, exchange="xt"))
    store(engine, BUCKET_COMMITS, commit(newest, watched=1))
    store(engine, ORDER_BOOK_METRICS, book(1, newest))
    assert passes(COVERAGE)
    store(engine, BUCKET_COMMITS, commit(newest, watched=1, exchange="xt"))
    assert not passes(COVERAGE)


def test_a_shard_that_fell_silent_fails_until_it_is_given_up(engine: sa.Engine, passes, newest: datetime) -> None:
    store(engine, BUCKET_COMMITS, commit(newest - timedelta(seconds=10)), commit(newest - timedelta(days=2), exchange="xt"))
    assert passes(FRESH)
    store(engine, BUCKET_COMMITS, commit(newest - timedelta(minutes=5), exchange="mexc"))
    assert not passes(FRESH)
