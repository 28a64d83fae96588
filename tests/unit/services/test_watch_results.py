"""What a watch was worth: ranks before the release, as they were known then."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest
import sqlalchemy as sa
import watch_scene as staged
from sqlalchemy.dialects import postgresql as pg

from pnd_dagster.alerts.releases import over_of
from pnd_dagster.events.fulfilment import pump_of, pumps_about
from pnd_dagster.services.watch_orders import due_pumps, read_pump
from pnd_dagster.services.watch_results import evaluate, lags, released_coin, results, sweep
from pnd_dagster.services.watch_rows import begin, end
from pnd_dagster.settings import Settings
from pnd_dagster.storage import upsert
from pnd_dagster.storage.leases import acquire, release
from pnd_dagster.storage.partitions import make_days
from pnd_dagster.tables import INSTRUMENTS, PUMP_EVENTS, RANKING_TICKS, TARGET_RANKINGS, WATCH_RESULTS, WATCHES

START, BUCKET = staged.START, staged.BUCKET
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
PUMPED = staged.ids_of("kucoin")[-1]


def write_ticks(engine: sa.Engine, ends: list[datetime], *, lag_seconds: float = 0.8) -> None:
    """A ranking at each of these buckets; the pumped coin comes first in the last, second in the one before, ..."""
    ticks = pl.DataFrame({"bucket_end_at": ends}).with_columns(
        ranking_id=pl.col("bucket_end_at").dt.epoch("s"),
        watch_id=pl.lit("p1:0"),
        exchange=pl.lit("kucoin"),
        lead_seconds=(pl.lit(START) - pl.col("bucket_end_at")).dt.total_seconds().cast(pl.Float64),
        score_rule=pl.lit("default"),
        candidates=staged.COINS,
        active=staged.COINS,
        lag_seconds=pl.lit(lag_seconds),
        lease_epoch=1,
    )
    upsert(engine, RANKING_TICKS, ticks)
    make_days(engine, [TARGET_RANKINGS], [START.date()])
    ranks = [
        {"ranking_id": number, "instrument_id": PUMPED, "bucket_end_at": at, "rank": len(ends) - place, "score": 2.5, "is_active": True}
        for place, (number, at) in enumerate(ticks.select("ranking_id", "bucket_end_at").iter_rows())
    ]
    with engine.begin() as connection:
        connection.execute(pg.insert(TARGET_RANKINGS).values(ranks).on_conflict_do_nothing())


@pytest.fixture
def scene(engine: sa.Engine, settings: Settings):
    """A watch that ranked the last two minutes before the start, the pumped coin better each time, and died."""
    made = staged.Scene(engine, settings)
    made.list_coins("kucoin", with_history=False)
    made.announce()
    (order,) = due_pumps(engine, settings, START - MINUTE).orders
    lease = acquire(engine, "watch:p1:0", "me", 60)
    assert lease is not None
    begin(engine, lease, order, START - 10 * MINUTE)
    write_ticks(engine, [START - 2 * MINUTE + place * BUCKET for place in range(25)])
    release(engine, lease)
    return made


def stood(scene) -> dict[int, float | None]:
    rows = scene.rows(WATCH_RESULTS)
    return dict(zip(rows["offset_seconds"], rows["rank"], strict=True))


def test_the_rank_before_the_release_is_that_of_the_last_ranking_written_by_then(scene) -> None:
    scene.release(START + 2 * SECOND)

    released = evaluate(scene.engine, "p1:0")

    assert released is not None
    assert released.symbol == "PUMP"
    # 20 s before the release is 2 s after the bucket of START - 20 s, which was written within 0.8 s.
    assert stood(scene) == {20: 5.0, 40: 9.0, 60: 13.0, 300: None}
    assert results(scene.engine, "p1:0") == {"20 s": 5.0, "40 s": 9.0, "60 s": 13.0, "300 s": None}
    row = scene.rows(WATCH_RESULTS).filter(offset_seconds=20).row(0, named=True)
    assert (row["instrument_id"], row["candidates"], row["bucket_end_at"]) == (PUMPED, staged.COINS, START - 20 * SECOND)


def test_a_ranking_that_was_not_written_yet_does_not_count(scene) -> None:
    write_ticks(scene.engine, [START - 20 * SECOND], lag_seconds=3.0)
    scene.release(START + 2 * SECOND)
    evaluate(scene.engine, "p1:0")
    assert stood(scene)[20] == 6.0


def test_a_ranking_of_long_before_says_nothing(scene) -> None:
    scene.release(START + 50 * SECOND)
    evaluate(scene.engine, "p1:0")
    assert stood(scene) == {20: None, 40: 1.0, 60: 4.0, 300: None}


def test_evaluating_twice_changes_nothing(scene) -> None:
    scene.release(START)
    evaluate(scene.engine, "p1:0", now=START + MINUTE)
    before = scene.rows(WATCH_RESULTS)
    evaluate(scene.engine, "p1:0", now=START + 2 * MINUTE)
    assert scene.rows(WATCH_RESULTS).equals(before)


def test_a_coin_that_is_no_candidate_has_no_rank(scene) -> None:
    scene.release(START, symbol="OTHER")
    evaluate(scene.engine, "p1:0")
    assert set(stood(scene).values()) == {None}
    assert scene.rows(WATCH_RESULTS)["instrument_id"].unique().to_list() == [None]


def test_a_symbol_that_two_markets_bear_is_no_identity(scene) -> None:
    listed = scene.rows(INSTRUMENTS).filter(instrument_id=PUMPED).with_columns(instrument_id=pl.lit(999), market_id=pl.lit("PUMP2"))
    upsert(scene.engine, INSTRUMENTS, listed)
    scene.release(START)
    evaluate(scene.engine, "p1:0")
    assert scene.rows(WATCH_RESULTS)["instrument_id"].unique().to_list() == [None]


def test_a_release_of_another_pump_on_the_exchange_is_not_taken_for_this_one(scene) -> None:
    scene.release(START + SECOND, pump_id="p9", symbol="C0")
    assert evaluate(scene.engine, "p1:0") is None
    scene.release(START + 3 * SECOND, pump_id=None)
    released = evaluate(scene.engine, "p1:0")
    assert released is not None
    assert released.symbol == "PUMP"


def test_one_by_hand_takes_any_release_on_its_exchange_about_the_time(scene) -> None:
    scene.release(START + SECOND, pump_id="p9")
    released = released_coin(scene.engine, ["kucoin"], START, None)
    assert released is not None
    assert released.symbol == "PUMP"
    assert released_coin(scene.engine, ["xt"], START, None) is None
    assert released_coin(scene.engine, ["kucoin"], START + 10 * MINUTE, None) is None


def test_the_sweep_ends_what_died_and_finds_what_was_released_later(scene) -> None:
    assert sweep(scene.engine, START + MINUTE) == [], "it is still due: another attempt may go on"
    assert sweep(scene.engine, START + 3 * MINUTE) == ["p1:0"]
    watch = scene.rows(WATCHES).row(0, named=True)
    assert (watch["state"], watch["tick_count"], watch["event_id"]) == ("failed", 25, None)
    assert sweep(scene.engine, START + 3 * MINUTE) == []

    scene.release(START + 4 * SECOND)
    sweep(scene.engine, START + 4 * MINUTE)

    watch = scene.rows(WATCHES).row(0, named=True)
    assert (watch["state"], watch["symbol"]) == ("failed", "PUMP")
    assert stood(scene)[20] == 5.0


def test_a_watch_that_still_holds_its_lease_is_not_swept(scene) -> None:
    assert acquire(scene.engine, "watch:p1:0", "me", 60)
    assert sweep(scene.engine, START + 3 * MINUTE) == []
    assert scene.rows(WATCHES)["state"].to_list() == ["running"]


def test_a_watch_that_was_moved_is_not_evaluated_by_the_release_at_its_new_time(scene) -> None:
    lease = acquire(scene.engine, "watch:p1:0", "me", 60)
    assert lease is not None
    end(scene.engine, lease, "p1:0", "postponed", "moved", START)
    scene.announce(at=START + 60 * MINUTE, schedule_revision=1)
    scene.release(START + 60 * MINUTE)
    sweep(scene.engine, START + 62 * MINUTE)
    assert scene.rows(WATCHES)["event_id"].to_list() == [None]


def test_lags_are_those_of_the_ticks(scene) -> None:
    assert lags(scene.engine, "p1:0")["lag_seconds"].to_list() == pytest.approx([0.8] * 25)
    assert lags(scene.engine, "nobody").is_empty()


def test_a_watch_and_the_alerts_name_the_same_coin_where_two_announced_pumps_are_near(scene) -> None:
    scene.announce("p2", at=START + 11 * MINUTE)
    named: dict[int, str | None] = {}
    for minutes in (1, 5, 9, 10, 12, 21, 22):
        scene.release(START + minutes * MINUTE + 30 * SECOND, pump_id=None)
        watched = {
            pump_id: released_coin(scene.engine, ["kucoin"], at, read_pump(scene.engine, pump_id))
            for pump_id, at in (("p1", START), ("p2", START + 11 * MINUTE))
        }
        with scene.engine.connect() as connection:
            (event,) = [dict(row) for row in connection.execute(sa.select(PUMP_EVENTS)).mappings()]
            told = pump_of(event, pumps_about(connection, START - 60 * MINUTE, START + 60 * MINUTE))
            over = {pump_id: over_of(connection, pump_id, 0, "kucoin", START + 11 * MINUTE * (pump_id == "p2")) for pump_id in watched}
        by_watch = [pump_id for pump_id, coin in watched.items() if coin]
        assert by_watch == [pump_id for pump_id, alert in over.items() if alert.symbol] == ([told["pump_id"]] if told else [])
        named[minutes] = by_watch[0] if by_watch else None
    assert named == {1: "p1", 5: "p1", 9: "p2", 10: "p2", 12: "p2", 21: None, 22: None}


def test_a_coin_of_two_announced_pumps_is_the_coin_of_both_watches(scene) -> None:
    scene.announce("p2", at=START + 30 * MINUTE, announcement_ids=["a-p1", "a-p2"])
    scene.release(START + SECOND)
    for pump_id in ("p1", "p2"):
        pump = read_pump(scene.engine, pump_id)
        released = released_coin(scene.engine, ["kucoin"], pump.scheduled_at, pump)
        assert released is not None
