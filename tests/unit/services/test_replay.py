"""A watch that is played again: found by any of its names, in the order it went, ranked again to the same."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from pnd_dagster.cli import app
from pnd_dagster.errors import SourceError
from pnd_dagster.services.replay import find_watch, moments, rank_again
from pnd_dagster.services.watch_market import RankedTick
from pnd_dagster.settings import Settings, environment
from pnd_dagster.settings import settings as read_settings
from pnd_dagster.storage import upsert
from pnd_dagster.tables import (
    RANKING_TICKS,
    TARGET_RANKINGS,
    TELEGRAM_MESSAGES,
    TRADE_METRICS,
    WATCHES,
    polars_schema,
)

sys.path.insert(0, str(Path(__file__).parent))
from watch_scene import START, Scene

SECOND = timedelta(seconds=1)


@pytest.fixture
def watched(engine: sa.Engine, settings: Settings) -> Scene:
    """A pump that was announced by channel 1, watched for six ticks, and released."""
    scene = Scene(engine, settings)
    scene.list_coins("kucoin")
    scene.announce()
    scene.write_minute_before()
    scene.announce_without_time(
        "a-p1", "kucoin", START - timedelta(hours=5), scheduled_at=START, status="released", evidence_message_ids=[7, 9]
    )
    say(scene, 7, START - timedelta(hours=5), "pump at 17:00 UTC on Kucoin")
    say(scene, 8, START - timedelta(hours=2), "nothing to do with it")
    say(scene, 9, START + 2 * SECOND, "the coin is PUMP [bold]https://evil.example/x\u202e")

    def release(tick: RankedTick) -> None:
        if len(scene.ticks) == 2:
            scene.release(START + 2 * SECOND)
        scene.go_on(tick)

    scene.watch(on_tick=release)
    return scene


def say(scene: Scene, message_id: int, at: datetime, text: str) -> None:
    row = {
        "channel_id": 1,
        "message_id": message_id,
        "revision_id": message_id,
        "occurred_at": at,
        "ingested_at": at,
        "is_deleted": False,
        "kind": "message",
        "text": text,
        "source": "simulated",
    }
    upsert(scene.engine, TELEGRAM_MESSAGES, pl.DataFrame([row], schema=polars_schema(TELEGRAM_MESSAGES)))


def test_a_watch_is_found_by_event_pump_and_watch_and_by_the_beginning_of_each(watched: Scene) -> None:
    for name in ("p1:0", "p1", "p", "e-p1", "e-"):
        assert find_watch(watched.engine, name).watch_id == "p1:0"


def test_an_unknown_name_is_refused_with_the_newest_watches_and_wildcards_mean_nothing(watched: Scene) -> None:
    for name in ("e-q", "%", "p_:0", ""):
        with pytest.raises(SourceError, match=r"the newest: p1:0"):
            find_watch(watched.engine, name)


def test_a_name_that_several_pumps_share_is_refused(watched: Scene) -> None:
    with watched.engine.begin() as connection:
        row = connection.execute(sa.select(WATCHES)).mappings().one()
        connection.execute(sa.insert(WATCHES).values(**{**row, "watch_id": "p2:0", "pump_id": "p2"}))
    with pytest.raises(SourceError, match="several"):
        find_watch(watched.engine, "p")
    assert find_watch(watched.engine, "p2").watch_id == "p2:0"


def test_messages_rankings_and_alerts_come_in_the_order_of_time_and_strangers_words_are_harmless(watched: Scene) -> None:
    found = moments(watched.engine, find_watch(watched.engine, "p1"))
    assert [moment.at for moment in found] == sorted(moment.at for moment in found)
    assert sum(moment.kind == "ranking" for moment in found) == 6
    texts = [moment.text for moment in found if moment.kind == "message"]
    assert [text.split(": ", 1)[1] for text in texts] == ["pump at 17:00 UTC on Kucoin", "the coin is PUMP [bold][link]"]
    stages = {moment.text.split(":")[0] for moment in found if moment.kind == "alert"}
    assert {"candidates", "released"} <= stages


def test_ranking_again_from_the_stored_metrics_gives_the_same_ranks(watched: Scene) -> None:
    found = rank_again(watched.engine, find_watch(watched.engine, "p1"))
    assert (found.ticks, found.same_ticks, found.same_leaders, found.largest_difference, found.skipped) == (6, 6, 6, 0.0, 0)


def test_ranking_again_tells_when_ranks_differ(watched: Scene) -> None:
    with watched.engine.begin() as connection:
        connection.execute(
            sa.update(TRADE_METRICS).where(TRADE_METRICS.c.instrument_id == 101).values(volume=900.0, taker_buy_volume=900.0)
        )
    found = rank_again(watched.engine, find_watch(watched.engine, "p1"))
    assert found.same_ticks < found.ticks
    assert found.largest_difference > 0


def test_what_is_no_longer_stored_is_said(watched: Scene) -> None:
    watch = find_watch(watched.engine, "p1")
    with watched.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM core.bucket_commits")
    with pytest.raises(SourceError, match="no longer stored"):
        rank_again(watched.engine, watch)
    with watched.engine.begin() as connection:
        connection.execute(sa.delete(TARGET_RANKINGS))
    with pytest.raises(SourceError, match="no longer stored"):
        moments(watched.engine, watch)
    with watched.engine.begin() as connection:
        connection.execute(sa.delete(RANKING_TICKS))
    with pytest.raises(SourceError, match="ranked nothing"):
        moments(watched.engine, watch)


def test_the_command_prints_what_happened_and_whether_it_agrees(watched: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(watched.settings).items():
        monkeypatch.setenv(name, value)
    read_settings.cache_clear()
    try:
        done = CliRunner().invoke(app, ["replay", "e-p1", "--speed", "100000", "--recompute"])
    finally:
        read_settings.cache_clear()
    assert done.exit_code == 0, done.output
    assert "the coin is PUMP [bold][link]" in done.output
    assert "ranking  kucoin: 1 PUMP/USDT" in done.output
    assert "6 of 6 ticks agree in every rank" in " ".join(done.output.split())
