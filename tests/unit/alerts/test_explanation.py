"""`pnd explain`: what lies behind a pump, as far as the database knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from pnd_dagster import __version__, tables
from pnd_dagster.alerts.explanation import explain
from pnd_dagster.alerts.stages import announced_alerts
from pnd_dagster.cli import app
from pnd_dagster.cli import explain as command
from pnd_dagster.errors import SourceError
from pnd_dagster.ranking.ranking import Ranking
from pnd_dagster.ranking.rules import DEFAULT
from pnd_dagster.ranking.store import write_ranking
from pnd_dagster.settings import Settings
from pnd_dagster.storage.leases import acquire
from pnd_dagster.storage.partitions import make_days

Store = Callable[..., None]


@pytest.fixture
def story(engine: sa.Engine, settings: Settings, scheduled: Store, released: Store, insert: Store, message: Store, now: datetime) -> None:
    """A pump from its announcement to the release, watched, with 12 coins."""
    scheduled(now - timedelta(seconds=10), announced_at=now - timedelta(hours=1))
    released(now)
    listings = [
        {
            "instrument_id": n,
            "exchange": "poloniex",
            "market_id": str(n),
            "symbol": f"{base}/USDT",
            "base_symbol": base,
            "quote_symbol": "USDT",
            "base_id": base,
            "quote_id": "USDT",
            "is_derivative": False,
            "valid_from": now - timedelta(days=9),
        }
        for n, base in enumerate(["ABC", *(f"C{n}" for n in range(11))], start=1)
    ]
    insert(tables.INSTRUMENTS, *listings)
    decision = {
        "exchange": "poloniex",
        "symbol": "ABC/USDT",
        "is_candidate": True,
        "reason": "2.0 million USD",
        "cap_source": "coinmarketcap",
    }
    days = [
        {"instrument_id": 1, "as_of_date": (now - timedelta(days=ago)).date(), "market_cap_usd": 2e6 + ago, **decision} for ago in (1, 3)
    ]
    insert(tables.CANDIDATE_COINS, *days)
    insert(
        tables.WATCHES,
        {
            "watch_id": "pump1:0",
            "pump_id": "pump1",
            "schedule_revision": 0,
            "exchanges": ["poloniex"],
            "scheduled_at": now - timedelta(seconds=10),
            "started_at": now - timedelta(minutes=10),
            "attempt": 1,
            "state": "running",
            "tick_count": 3,
        },
    )
    lease = acquire(engine, "watch:pump1:0", "test", 60)
    assert lease is not None
    z = np.zeros((12, len(DEFAULT.columns)))
    z[0, 3] = 7.5
    rank = np.array([8.0, *(n for n in range(1, 13) if n != 8)])
    ranking = Ranking(np.arange(1, 13), 3 - rank / 4, rank, np.full(12, True), z)
    for seconds in (61, 41, 21, 2):
        write_ranking(engine, lease, "pump1:0", "poloniex", now - timedelta(seconds=seconds), seconds - 10, DEFAULT, ranking)
    make_days(engine, [tables.TRADE_METRICS, tables.ORDER_BOOK_METRICS], [now.date(), (now - timedelta(minutes=2)).date()])
    trades = [
        {"instrument_id": 1, "bucket_end_at": now - timedelta(seconds=ago), "trade_count": ago, "quote_volume": 10.0, "is_gap": False}
        for ago in (90, 20, 5)
    ]
    insert(tables.TRADE_METRICS, *trades)
    signs = {"signs": ["pressure"], "phrases": ["be ready"], "lexicon_version": "1"}
    insert(tables.MESSAGE_WARNING_SIGNS, {"channel_id": 501, "message_id": 7, "revision_id": 1, **signs})
    insert(tables.CHANNEL_BUILDS, {"channel_id": 501, "extractor_version": "rules-2 v1", "labels_through_at": now, "label_count": 2})
    announced_alerts(engine, settings)


@pytest.mark.parametrize("identity", ["event1", "event0", "pump1", "pump1:0", "a1", "even", "pump"])
def test_every_id_of_a_pump_leads_to_the_same_explanation(engine: sa.Engine, story: None, identity: str) -> None:
    found = explain(engine, identity)
    assert (found.summary["event_id"], found.summary["pump_id"], found.summary["watch_id"]) == ("event1", "pump1", "pump1:0")
    assert found.missing == []


def test_an_explanation_holds_messages_market_ranking_filter_alerts_and_versions(engine: sa.Engine, story: None) -> None:
    found = explain(engine, "event1")
    assert [(row["message_id"], row["label"]) for row in found.messages] == [(7, "Pump Announcement"), (9, "Target Coin Release")]
    assert found.timeline[0]["what"].startswith("Mega Signals announced a pump on poloniex")
    assert [row["seconds_to_release"] for row in found.metrics] == [-20, -5]
    assert [(row["offset_seconds"], row["rank"], row["candidates"]) for row in found.standings] == [
        (60, 8.0, 12),
        (40, 8.0, 12),
        (20, 8.0, 12),
    ]
    metric, horizon = next((m, h) for place, (m, h) in enumerate((m, h) for m in DEFAULT.metrics for h in DEFAULT.horizons) if place == 3)
    assert found.z[0] == {"metric": metric, "horizon_seconds": horizon, "z_60s": 7.5, "z_40s": 7.5, "z_20s": 7.5}
    assert [row["rank"] for row in found.ranking] == [*range(1, 12)]
    assert [row["symbol"] for row in found.ranking if row["is_target"]] == ["ABC/USDT"]
    assert [row["market_cap_usd"] for row in found.filter] == [2e6 + 1]
    assert [row["sign"] for row in found.warning_signs] == ["pressure"]
    assert {(row["stage"], row["channel"]) for row in found.alerts} == {("released", "file"), ("released", "log")}
    assert found.versions == {
        "package": __version__,
        "packages_that_alerted": [__version__],
        "labellers": ["pumpbert v1"],
        "extractors": ["rules-2 v1"],
        "score_rules": ["default"],
    }


def test_earlier_pumps_of_the_symbol_are_told_with_their_exchange(engine: sa.Engine, story: None, pumped: Store, now: datetime) -> None:
    pumped("ABC", now - timedelta(days=30))
    pumped("ABC", now - timedelta(days=3), exchange="kucoin")
    pumped("XYZ", now - timedelta(days=3))
    assert [row["exchange"] for row in explain(engine, "event1").prior_pumps] == ["kucoin", "poloniex"]


def test_z_scores_of_another_version_of_the_rule_are_left_out_and_said_to_be(engine: sa.Engine, story: None) -> None:
    with engine.begin() as connection:
        connection.execute(sa.update(tables.RANKING_TICKS).values(score_rule="forgotten"))
    found = explain(engine, "event1")
    assert found.z == []
    assert any("another version of rule forgotten" in line for line in found.missing)


def test_what_is_not_there_is_said_to_be_missing(engine: sa.Engine, settings: Settings, scheduled: Store) -> None:
    scheduled()
    found = explain(engine, "pump1")
    assert any("no coin was named" in line for line in found.missing)
    assert any("not watched" in line for line in found.missing)
    assert any("no alert" in line for line in found.missing)


def test_a_detection_leads_to_its_coin_and_stands_in_the_timeline(engine: sa.Engine, story: None, insert: Store, now: datetime) -> None:
    seen = {
        "instrument_id": 1,
        "exchange": "poloniex",
        "symbol": "ABC",
        "reason": "taker buys",
        "volume_z": 9,
        "trades_z": 9,
        "price_change": 0.1,
    }
    insert(tables.DETECTED_PUMPS, {"detection_id": "d1", "detected_at": now + timedelta(seconds=5), **seen})
    other = {**seen, "symbol": "C3", "instrument_id": 5}
    insert(tables.DETECTED_PUMPS, {"detection_id": "e-other", "detected_at": now, **other})
    found = explain(engine, "d1")
    assert (found.summary["event_id"], found.summary["pump_id"], found.summary["watch_id"]) == ("event1", "pump1", "pump1:0")
    assert found.timeline == explain(engine, "event1").timeline
    assert found.timeline[-1]["what"] == "ABC was detected on poloniex: taker buys"
    alone = explain(engine, "e-other")
    assert (alone.summary["symbol"], alone.summary["event_id"]) == ("C3", None)
    assert any("not watched" in line for line in alone.missing)


def test_an_unknown_id_names_the_newest(engine: sa.Engine, story: None) -> None:
    with pytest.raises(SourceError, match="event1; pumps pump1"):
        explain(engine, "nonsense%")
    with pytest.raises(SourceError, match="newest"):
        explain(engine, "")


def test_with_an_empty_database_it_says_that_there_is_none(engine: sa.Engine) -> None:
    with pytest.raises(SourceError, match="there are none yet"):
        explain(engine, "x")


def test_a_beginning_of_several_ids_names_them(engine: sa.Engine, story: None, scheduled: Store, insert: Store, now: datetime) -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.insert(tables.SCHEDULED_PUMPS).from_select(
                [column.name for column in tables.SCHEDULED_PUMPS.c],
                sa.select(*(sa.literal("pump2") if column.name == "pump_id" else column for column in tables.SCHEDULED_PUMPS.c)),
            )
        )
    with pytest.raises(SourceError, match="pump pump1, pump pump2"):
        explain(engine, "pump")


def test_the_command_prints_for_people_and_for_programs(
    engine: sa.Engine, settings: Settings, story: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.begin() as connection:
        connection.execute(sa.update(tables.TELEGRAM_MESSAGES).values(text="[bold]loud[/] \x1b[31m <b>text</b>"))
    monkeypatch.setattr(command, "settings", lambda: settings)
    shown = CliRunner().invoke(app, ["explain", "event1"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "[bold]loud[/]" in shown.output
    assert "\x1b[31m" not in shown.output
    told = CliRunner().invoke(app, ["explain", "event1", "--json"])
    assert json.loads(told.stdout)["summary"]["symbol"] == "ABC"
