"""Rankings as they are stored, under the lease of their watch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.errors import DatabaseError, LeaseLostError
from pnd_dagster.ranking.ranking import Ranking
from pnd_dagster.ranking.rules import RULES
from pnd_dagster.ranking.store import ranking_id, read_ranking, read_ticks, write_ranking
from pnd_dagster.storage import count_rows, create_engine, upsert
from pnd_dagster.storage.leases import Lease, acquire
from pnd_dagster.tables import INSTRUMENTS, RANKING_TICKS, TARGET_RANKINGS
from tests.unit.market.rows import instrument

AT = datetime(2026, 5, 3, 11, 59, 40, tzinfo=UTC)
RULE = RULES["paper_after"]
WATCH = "p1:2"


def ranking(count: int = 120, seed: int = 0) -> Ranking:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(count, len(RULE.columns)))
    z[:, 0] = np.nan
    is_active = rng.random(count) < 0.9
    return Ranking(np.arange(count) + 10, rng.normal(size=count), rng.permutation(count).astype(np.float64) + 1, is_active, z)


@pytest.fixture
def lease(engine: sa.Engine) -> Lease:
    upsert(engine, INSTRUMENTS, pl.DataFrame([instrument(number, base=f"COIN{number}") for number in range(10, 129)]))
    lease = acquire(engine, f"watch:{WATCH}", "here", 60)
    assert lease is not None
    return lease


def test_what_is_stored_is_what_was_ranked(engine: sa.Engine, lease: Lease) -> None:
    ranked = ranking()
    assert write_ranking(engine, lease, WATCH, "kucoin", AT, 300.0, RULE, ranked)

    (tick,) = read_ticks(engine, WATCH).rows(named=True)
    assert tick["ranking_id"] == ranking_id(WATCH, "kucoin", AT)
    assert (tick["exchange"], tick["bucket_end_at"], tick["lead_seconds"]) == ("kucoin", AT, 300.0)
    assert (tick["score_rule"], tick["candidates"], tick["active"]) == ("paper_after", 120, ranked.is_active.sum())
    assert (tick["lease_epoch"], tick["lag_seconds"] > 0) == (lease.epoch, True)

    rows = read_ranking(engine, tick["ranking_id"])
    order = np.argsort(ranked.rank)
    assert rows["instrument_id"].to_list() == ranked.instrument_ids[order].tolist()
    assert rows["rank"].to_list() == ranked.rank[order].tolist()
    assert rows["score"].to_numpy() == pytest.approx(ranked.score[order], rel=1e-6)
    assert rows["is_active"].to_list() == ranked.is_active[order].tolist()
    # The 120th instrument is not listed any more; it is shown all the same.
    assert rows.filter(pl.col("instrument_id") == 129)["symbol"].to_list() == [None]
    assert rows.filter(pl.col("instrument_id") == 12)["symbol"].to_list() == ["COIN12/USDT"]
    kept = np.array(rows["z"].head(50).to_list())
    assert kept == pytest.approx(ranked.z[order[:50]], rel=1e-6, nan_ok=True)
    assert rows["z"].tail(70).null_count() == 70
    assert read_ranking(engine, tick["ranking_id"], top=3).equals(rows.head(3))


@pytest.mark.parametrize(("lead", "is_reported"), [(60.0, True), (42.4, True), (17.5, True), (17.4, False), (50.0, False)])
def test_at_reported_offsets_every_candidate_keeps_its_z(engine: sa.Engine, lease: Lease, lead: float, is_reported: bool) -> None:
    write_ranking(engine, lease, WATCH, "kucoin", AT, lead, RULE, ranking(), keep_z_of=1)
    z = read_ranking(engine, ranking_id(WATCH, "kucoin", AT))["z"]
    assert z.null_count() == (0 if is_reported else 119)


def test_a_tick_written_twice_stays_as_it_was_first(engine: sa.Engine, lease: Lease) -> None:
    assert write_ranking(engine, lease, WATCH, "kucoin", AT, 300.0, RULE, ranking())
    before = read_ranking(engine, ranking_id(WATCH, "kucoin", AT))
    assert not write_ranking(engine, lease, WATCH, "kucoin", AT, 300.0, RULE, ranking(seed=1))
    assert read_ranking(engine, ranking_id(WATCH, "kucoin", AT)).equals(before)
    assert (count_rows(engine, RANKING_TICKS), count_rows(engine, TARGET_RANKINGS)) == (1, 120)


def test_another_exchange_bucket_or_watch_is_another_tick(engine: sa.Engine, lease: Lease) -> None:
    later = AT + timedelta(days=1)
    for exchange, at in (("kucoin", AT), ("xt", AT), ("kucoin", later)):
        assert write_ranking(engine, lease, WATCH, exchange, at, 300.0, RULE, ranking())
    ticks = read_ticks(engine, WATCH)
    assert ticks.select("exchange", "bucket_end_at").rows() == [("kucoin", AT), ("kucoin", later), ("xt", AT)]
    assert len({*ticks["ranking_id"], ranking_id("p1:3", "kucoin", AT)}) == 4
    assert read_ticks(engine, "p1:3").is_empty()
    assert read_ranking(engine, 7).is_empty()


def test_who_lost_the_lease_writes_nothing(engine: sa.Engine, lease: Lease) -> None:
    assert acquire(engine, lease.name, "here", 60) is not None
    with pytest.raises(LeaseLostError):
        write_ranking(engine, lease, WATCH, "kucoin", AT, 300.0, RULE, ranking())
    assert (count_rows(engine, RANKING_TICKS), count_rows(engine, TARGET_RANKINGS)) == (0, 0)


def test_a_database_that_is_away_is_named(lease: Lease) -> None:
    nowhere = create_engine("postgresql+psycopg://nobody@127.0.0.1:9/none")
    with pytest.raises(DatabaseError, match="ranking of kucoin"):
        write_ranking(nowhere, lease, WATCH, "kucoin", AT, 300.0, RULE, ranking())
