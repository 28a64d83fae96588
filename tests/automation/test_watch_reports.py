"""A watch's run tells Dagster how it went, how fast it was, and who stood in front and why."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from pnd_dagster.automation.watch_reports import RANKINGS, TICKS, WATCHES, materialisations
from pnd_dagster.services.watch_orders import order_for_pump
from pnd_dagster.services.watch_rows import WatchEnd
from pnd_dagster.settings import Settings
from tests.unit.services.watch_scene import COINS, START, Scene


@pytest.fixture
def scene(engine: sa.Engine, settings: Settings) -> Scene:
    made = Scene(engine, settings)
    made.list_coins("kucoin")
    made.announce()
    return made


def test_what_a_watch_ranked_is_told(scene: Scene) -> None:
    scene.write_minute_before()
    order = order_for_pump(scene.engine, scene.settings, "p1", scene.now)
    ended = scene.watch(order)
    scene.release(START + timedelta(seconds=2))
    told: dict[Any, dict[str, Any]] = {
        one.asset_key: {name: value.value for name, value in one.metadata.items()}
        for one in materialisations(scene.engine, order, ended, {"kucoin": scene.ticks[-1]})
    }
    assert set(told) == {WATCHES, TICKS, RANKINGS}
    assert (told[WATCHES]["state"], told[WATCHES]["ticks"]) == ("over", len(scene.ticks))
    assert told[TICKS]["lag_p95_seconds"] >= told[TICKS]["lag_p50_seconds"]
    ranked = told[RANKINGS]
    assert (ranked["candidates"], ranked["score_rule"]) == (COINS, "default")
    first = ranked["kucoin_leaders"].records[0].data
    assert first["symbol"] == "PUMP/USDT"
    assert "deviations above the last three days" in first["why"]
    assert len(ranked["kucoin_leaders"].records) == COINS


def test_a_watch_that_ranked_nothing_tells_of_itself_and_one_of_another_process_nothing(scene: Scene) -> None:
    order = order_for_pump(scene.engine, scene.settings, "p1", scene.now)
    (alone,) = materialisations(scene.engine, order, WatchEnd("cancelled", "the pump was called off"), {})
    assert alone.asset_key == WATCHES
    assert list(materialisations(scene.engine, order, WatchEnd(None, "somebody else watches it"), {})) == []
