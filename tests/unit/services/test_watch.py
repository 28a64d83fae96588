"""The watch: every bucket ranked once, by one process, until the pump is over, moved, or called off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
import watch_scene as staged

from pnd_dagster.errors import DatabaseError, SettingError
from pnd_dagster.market.shards import Shard
from pnd_dagster.services import watch as watch_module
from pnd_dagster.services.watch_orders import Order, order_by_hand, order_for_pump
from pnd_dagster.services.watch_results import lags
from pnd_dagster.settings import Settings
from pnd_dagster.storage import read_frame
from pnd_dagster.storage.leases import acquire
from pnd_dagster.tables import ALERTS, LEASES, RANKING_TICKS, SCHEDULED_PUMPS, TARGET_RANKINGS, WATCH_RESULTS, WATCHES

START, BUCKET, COINS = staged.START, staged.BUCKET, staged.COINS
SECOND = timedelta(seconds=1)


@pytest.fixture
def scene(engine: sa.Engine, settings: Settings):
    """A pump on kucoin in a minute, and the exchange's last half minute."""
    made = staged.Scene(engine, settings)
    made.list_coins("kucoin")
    made.announce()
    made.write_minute_before()
    return made


def state(scene, watch_id: str = "p1:0") -> tuple[object, ...]:
    watch = WATCHES.c
    columns = (watch.state, watch.attempt, watch.tick_count)
    return read_frame(scene.engine, sa.select(*columns).where(watch.watch_id == watch_id)).row(0)


def test_every_bucket_is_ranked_until_two_minutes_past_the_start_and_the_pumped_coin_leads(scene) -> None:
    scene.most_ticks = 99

    ended = scene.watch()

    ticks = scene.rows(RANKING_TICKS).sort("bucket_end_at")
    assert ticks["bucket_end_at"].to_list() == [START - 60 * SECOND + place * BUCKET for place in range(37)]
    assert ticks["lead_seconds"].to_list()[0] == 60.0
    assert ticks["lead_seconds"].to_list()[-1] == -120.0
    assert (ended.state, ended.detail, ended.tick_count) == ("over", "nothing was released", 37)
    assert state(scene) == ("over", 1, 37)
    rankings = scene.rows(TARGET_RANKINGS)
    assert rankings.height == 37 * COINS
    late = rankings.filter(rankings["bucket_end_at"] >= START, rankings["instrument_id"] == staged.ids_of("kucoin")[-1])
    assert set(late["rank"].to_list()) == {1.0}
    assert scene.ticks[-1].symbols[-1] == "PUMP/USDT"
    assert lags(scene.engine, "p1:0").height == 37
    assert scene.rows(LEASES).filter(name="watch:p1:0")["epoch"].to_list() == [1]


def test_a_released_coin_ends_the_watch_as_released_with_its_ranks_before_and_each_stage_is_told(scene) -> None:
    scene.now = START - 40 * SECOND
    scene.write_minute_before()
    scene.most_ticks = 10

    def release_after_the_start(tick) -> None:
        if tick.bucket_end_at == START:
            scene.release(START + 2 * SECOND)
        scene.go_on(tick)

    ended = scene.watch(on_tick=release_after_the_start)

    assert (ended.state, ended.detail) == ("released", "PUMP was released")
    watch = scene.rows(WATCHES).row(0, named=True)
    assert (watch["event_id"], watch["symbol"]) == ("e-p1", "PUMP")
    assert scene.rows(WATCH_RESULTS)["offset_seconds"].sort().to_list() == [20, 40, 60, 300]
    told = scene.rows(ALERTS).filter(channel="log").sort("created_at")
    assert told["stage"].to_list() == ["candidates", "target suspected", "released", "over"]
    suspected = told.row(1, named=True)
    assert (suspected["exchange"], suspected["symbol"]) == ("kucoin", "PUMP")


def test_a_postponement_ends_it_within_a_tick_and_the_new_time_is_another_watch(scene) -> None:
    def postpone(tick) -> None:
        scene.announce(at=START + timedelta(hours=1), schedule_revision=1, status="postponed")
        scene.go_on(tick)

    ended = scene.watch(on_tick=postpone)

    assert ended == ("postponed", "the pump was moved to 2026-03-06 18:00 UTC", 1)
    assert state(scene) == ("postponed", 1, 1)
    assert order_for_pump(scene.engine, scene.settings, "p1", scene.now).watch_id == "p1:1"


def test_a_cancellation_ends_it_within_a_tick(scene) -> None:
    def cancel(tick) -> None:
        scene.announce(status="cancelled")
        scene.go_on(tick)

    ended = scene.watch(on_tick=cancel)

    assert (ended.state, ended.tick_count) == ("cancelled", 1)
    assert scene.rows(ALERTS).filter(stage="cancelled", channel="log").height == 1


def test_a_pump_that_is_joined_to_another_is_left_to_that(scene) -> None:
    def join(tick) -> None:
        with scene.engine.begin() as connection:
            connection.execute(sa.update(SCHEDULED_PUMPS).values(pump_id="p2"))

    assert scene.watch(on_tick=join).state == "postponed"


def test_a_start_that_more_channels_name_is_followed_without_a_new_watch(scene) -> None:
    def correct(tick) -> None:
        if len(scene.ticks) == 2:
            scene.announce(at=START + timedelta(minutes=1))
        scene.go_on(tick)

    scene.watch(on_tick=correct)

    assert scene.ticks[-1].lead_seconds == 95.0
    assert scene.rows(WATCHES)["scheduled_at"].to_list() == [START + timedelta(minutes=1)]


def test_the_exchange_is_narrowed_down_when_a_channel_names_it(scene) -> None:
    scene.settings = scene.settings.model_copy(update={"exchanges": ["kucoin", "xt"]})
    scene.list_coins("xt")
    scene.announce(exchange=None)
    scene.write_minute_before("xt")

    def name_it(tick) -> None:
        if len(scene.ticks) == 2:
            scene.announce(exchange="xt")
        scene.go_on(tick)

    scene.watch(on_tick=name_it)

    ranked = scene.rows(RANKING_TICKS).group_by("exchange").len().sort("exchange")
    assert ranked["len"].to_list()[0] < 3
    assert ranked["len"].to_list()[1] > 3
    assert scene.rows(WATCHES)["exchanges"].to_list() == [["xt"]]


def test_two_pumps_at_once_on_two_exchanges_are_watched_side_by_side(scene) -> None:
    scene.list_coins("xt")
    scene.announce("p2", "xt")
    scene.write_minute_before("xt")
    orders = [order_for_pump(scene.engine, scene.settings, pump_id, scene.now) for pump_id in ("p1", "p2")]
    scenes = [scene, staged.Scene(scene.engine, scene.settings)]

    with ThreadPoolExecutor(2) as threads:
        ends = list(threads.map(lambda pair: pair[0].watch(pair[1]), zip(scenes, orders, strict=True)))

    assert [(ended.state, ended.tick_count) for ended in ends] == [("over", 6)] * 2
    assert scene.rows(RANKING_TICKS).group_by("watch_id", "exchange").len().sort("watch_id").rows() == [
        ("p1:0", "kucoin", 6),
        ("p2:0", "xt", 6),
    ]


def test_a_second_watch_of_a_pump_ends_at_once(scene) -> None:
    assert acquire(scene.engine, "watch:p1:0", "somebody", 30)

    ended = scene.watch()

    assert ended == (None, "somebody else watches it", 0)
    assert scene.rows(WATCHES).is_empty()


def test_a_watch_that_is_over_is_not_begun_again(scene) -> None:
    scene.watch()
    scene.now = START

    assert scene.watch() == (None, "its watch is over already", 0)
    assert state(scene) == ("over", 1, 6)


def test_a_watch_whose_lease_was_taken_ends_and_leaves_the_row_to_the_other(scene) -> None:
    def steal(tick) -> None:
        if len(scene.ticks) == 3:
            with scene.engine.begin() as connection:
                stolen = sa.update(LEASES).where(LEASES.c.name == "watch:p1:0")
                connection.execute(stolen.values(holder="other", epoch=LEASES.c.epoch + 1, expires_at=sa.func.now() + timedelta(hours=1)))
        scene.go_on(tick)

    ended = scene.watch(on_tick=steal)

    assert ended.state is None
    assert "taken over" in ended.detail
    assert state(scene)[0] == "running"
    assert scene.rows(RANKING_TICKS).height == 3
    assert scene.rows(LEASES).filter(name="watch:p1:0")["holder"].to_list() == ["other"]


def test_without_candidates_it_fails_and_says_so(engine: sa.Engine, settings: Settings) -> None:
    scene = staged.Scene(engine, settings)
    scene.announce()

    ended = scene.watch()

    assert ended.state == "failed"
    assert "no candidates on kucoin" in ended.detail


def test_without_history_all_ranks_are_neutral_and_it_says_so(engine: sa.Engine, settings: Settings) -> None:
    scene = staged.Scene(engine, settings)
    scene.list_coins("kucoin", with_history=False)
    scene.announce()
    scene.write_minute_before()

    ended = scene.watch()

    assert ended.detail == "nothing was released; no coin had enough history: all ranks were neutral"
    assert set(scene.rows(TARGET_RANKINGS)["rank"].to_list()) == {(COINS + 1) / 2}
    assert set(scene.rows(RANKING_TICKS)["active"].to_list()) == {0}


def test_without_a_collector_it_waits_and_ends_in_time(scene) -> None:
    def stand_still(tick) -> None:
        scene.now = START + timedelta(minutes=3)

    assert scene.watch(on_tick=stand_still).tick_count == 1


def test_a_bucket_waits_for_a_late_shard_but_not_for_a_dead_one(scene) -> None:
    first, second = Shard(1, 2), Shard(2, 2)
    with scene.engine.begin() as connection:
        connection.execute(sa.delete(LEASES))
    scene.write(scene.now + BUCKET, shard=second)
    scene.write(scene.now + BUCKET, shard=first)
    waited: list[float] = []

    def later(tick) -> None:
        place = len(scene.ticks)
        end = tick.bucket_end_at + BUCKET
        if place == 3:
            scene.now = START + timedelta(minutes=3)
            return
        scene.write(end, shard=first)
        waited.append(time.monotonic())
        if place == 1:
            threading.Timer(0.15, scene.write, (end,), {"shard": second}).start()

    scene.watch(on_tick=later)

    waited.append(time.monotonic())
    active = scene.rows(RANKING_TICKS).sort("bucket_end_at")["bucket_end_at"].to_list()
    assert active == [START - 60 * SECOND + BUCKET * place for place in (1, 2, 3)]
    # The third bucket misses a shard that is alive: it is ranked nonetheless, after the patience for stragglers.
    assert waited[2] - waited[1] >= staged.QUICK.straggler_seconds * 0.9


def test_it_goes_on_when_all_its_connections_break(scene) -> None:
    def cut(tick) -> None:
        scene.go_on(tick)
        if len(scene.ticks) in (2, 5):
            with scene.engine.begin() as connection:
                others = sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                connection.execute(others)

    ended = scene.watch(on_tick=cut)

    assert (ended.state, ended.tick_count) == ("over", 6)


def test_it_waits_for_a_database_that_is_away(scene, monkeypatch: pytest.MonkeyPatch) -> None:
    newest_buckets, calls = watch_module.newest_buckets, 0

    def sometimes(*arguments):
        nonlocal calls
        calls += 1
        if 3 <= calls < 6:
            raise DatabaseError("the server is starting up")
        return newest_buckets(*arguments)

    monkeypatch.setattr(watch_module, "newest_buckets", sometimes)

    ended = scene.watch()

    assert (ended.state, ended.tick_count) == ("over", 6)
    assert "last trouble: the server is starting up" in ended.detail


def test_an_error_of_ours_is_written_down_and_raised(scene) -> None:
    def fail(tick) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        scene.watch(on_tick=fail)

    assert scene.rows(WATCHES).row(0, named=True)["detail"] == "RuntimeError: a bug"
    assert state(scene)[0] == "failed"


def test_an_unknown_score_rule_is_named_before_anything_is_begun(scene) -> None:
    scene.settings = scene.settings.model_copy(update={"score_rule": "magic"})
    with pytest.raises(SettingError, match="PND_SCORE_RULE"):
        scene.watch()
    assert scene.rows(WATCHES).is_empty()


def test_one_by_hand_that_is_stopped_is_over_and_one_of_a_pump_is_left_to_the_next_attempt(scene) -> None:
    stop = threading.Event()

    def stop_now(tick) -> None:
        stop.set()

    by_hand = order_by_hand(scene.settings, "kucoin", START)
    assert scene.watch(by_hand, stop_now, stop=stop) == ("over", "ended by hand", 1)
    assert scene.rows(WATCHES).filter(watch_id="manual:kucoin:2026-03-06T17:00:00Z")["pump_id"].to_list() == [None]

    stop.clear()
    assert scene.watch(None, stop_now, stop=stop).state is None
    assert state(scene)[0] == "running"
    scene.ticks.clear()
    assert scene.watch().state == "over"
    assert state(scene) == ("over", 2, 6)


def test_an_announcement_without_a_time_is_ranked_for_two_minutes_and_ends_when_a_time_is_given(scene) -> None:
    scene.announce_without_time("u1", "kucoin", scene.now)
    order = order_for_pump(scene.engine, scene.settings, "u1", scene.now)

    ended = scene.watch(order)
    assert (ended.state, ended.tick_count) == ("over", 6)
    assert scene.ticks[0].lead_seconds == 0.0

    scene.now = START + timedelta(minutes=10)
    scene.announce_without_time("u2", "kucoin", scene.now)
    scene.write_minute_before()

    def give_a_time(tick) -> None:
        scene.announce_without_time("u2", "kucoin", scene.now, scheduled_at=START + timedelta(hours=3))

    order = order_for_pump(scene.engine, scene.settings, "u2", scene.now)
    assert scene.watch(order, give_a_time).state == "postponed"


CHILD = """
import sys
sys.path.insert(0, {folder!r})
from watch_scene import Scene
from pnd_dagster.settings import load_settings
from pnd_dagster.storage import create_engine

settings = load_settings(database_url={url!r}, home={home!r})
scene = Scene(create_engine({url!r}), settings)
scene.most_ticks = 99

def go_on(tick):
    scene.go_on(tick)
    print("ranked", flush=True)

scene.watch(on_tick=go_on)
"""


def test_a_watch_that_is_killed_is_resumed_by_the_next_attempt_without_a_tick_twice(scene) -> None:
    url = scene.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    program = CHILD.format(folder=str(Path(__file__).parent), url=url, home=str(scene.settings.home))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as child:
        assert child.stdout is not None
        for _ in range(5):
            assert child.stdout.readline() == "ranked\n"
        child.send_signal(signal.SIGKILL)
    before = scene.rows(RANKING_TICKS)
    assert 5 <= before.height < 12
    assert state(scene)[:2] == ("running", 1)
    scene.now = before["bucket_end_at"].max() + BUCKET

    assert scene.watch().state is None, "its lease has not expired"
    until = time.monotonic() + 5
    while scene.watch().state is None:
        assert time.monotonic() < until
        time.sleep(0.1)

    ticks = scene.rows(RANKING_TICKS)
    assert state(scene) == ("over", 2, ticks.height)
    assert ticks["bucket_end_at"].n_unique() == ticks.height > before.height
    assert set(ticks["lease_epoch"].to_list()) == {1, 2}
    assert scene.rows(TARGET_RANKINGS).height == ticks.height * COINS


def test_a_pump_that_is_past_or_unknown_is_refused_by_name(scene) -> None:
    with pytest.raises(SettingError, match="no such pump"):
        order_for_pump(scene.engine, scene.settings, "nobody", scene.now)
    with pytest.raises(SettingError, match="its start was 2026-03-06 17:00 UTC"):
        order_for_pump(scene.engine, scene.settings, "p1", START + timedelta(hours=1))
    scene.announce(exchange="hotbit")
    with pytest.raises(SettingError, match="hotbit is not among"):
        order_for_pump(scene.engine, scene.settings, "p1", scene.now)
    with pytest.raises(SettingError, match="hotbit is not among"):
        order_by_hand(scene.settings, "hotbit", START)
    assert isinstance(order_by_hand(scene.settings, "xt", START), Order)
