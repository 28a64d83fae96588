"""The marts, built by the real dbt on a real Postgres: on nothing, on a whole made-up pump, and again when more becomes known."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import mart_scene as scene
import numpy as np
import pytest
import sqlalchemy as sa

from assets import warehouse
from pnd_dagster import tables
from pnd_dagster.errors import DatabaseError
from pnd_dagster.events.fulfilment import pump_of
from pnd_dagster.ranking.explanation import explain, in_words
from pnd_dagster.ranking.rules import DEFAULT
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.settings import Settings
from pnd_dagster.storage.schema import upgrade
from pnd_dagster.warehouse import build as build_module
from pnd_dagster.warehouse.build import build
from pnd_dagster.warehouse.project import EXECUTABLE

GROWING = ("fct_message_daily", "fct_coin_day", "fct_ranking")
OUTLIVING = ("fct_event_market", "fct_event_rank", "fct_event_zscore", "fct_collection_hour")
WITHOUT_TESTS = ("--resource-type", "model", "--select")
Rows = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="package")
def empty(mart_engine: sa.Engine, mart_settings: Settings) -> dict[str, set[str]]:
    """Everything built and tested on an empty database: statuses by kind."""
    built = build(mart_engine, mart_settings)
    return {kind: set(built.filter(kind=kind)["status"]) for kind in built["kind"].unique()}


@pytest.fixture(scope="package")
def warm(empty: dict[str, set[str]]) -> Iterator[None]:
    """From here on dbt runs in this process, once the command itself has built everything: importing it takes seconds each time."""
    from dbt.cli.main import dbtRunner
    from dbt_common.events.base_types import EventMsg
    from dbt_common.events.functions import msg_to_json

    in_a_process = build_module._lines

    @contextmanager
    def lines(command: Sequence[str], variables: Mapping[str, str]) -> Generator[Iterable[str]]:
        if command[0] != str(EXECUTABLE):
            with in_a_process(command, variables) as told:
                yield told
            return
        said: list[EventMsg] = []
        with pytest.MonkeyPatch.context() as patched:
            for name, value in variables.items():
                patched.setenv(name, value)
            dbtRunner(callbacks=[said.append]).invoke(list(command[1:]))
        yield [msg_to_json(event) for event in said]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(build_module, "_lines", lines)
        yield


@pytest.fixture(scope="package")
def graph_run(warm: None, mart_engine: sa.Engine, mart_settings: Settings) -> dg.ExecuteInProcessResult:
    """The graph's own build of the marts and their checks, after the scene came into the empty database."""
    assert mart_settings.database_url
    scene.fill(mart_engine)
    graph = warehouse.marts
    wanted = dg.AssetSelection.assets(*[key for key in graph.keys if key.path[0] == "mart"])
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PND_DATABASE_URL", mart_settings.database_url.get_secret_value())
        patched.setenv("PND_BI_PASSWORD", "read-only")
        patched.setenv("PND_HOME", str(mart_settings.home))
        return dg.materialize(
            [graph],
            selection=wanted,
            resources={"database": DatabaseResource()},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )


@pytest.fixture(scope="package")
def rows(graph_run: dg.ExecuteInProcessResult, mart_engine: sa.Engine) -> Rows:
    """Rows of a mart that was built of the scene."""
    return lambda mart: read(mart_engine, mart)


def read(engine: sa.Engine, mart: str) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.text(f"SELECT * FROM mart.{mart} AS mart ORDER BY mart::text")).mappings()]


def only(rows: list[dict[str, Any]], **wanted: object) -> dict[str, Any]:
    (row,) = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return row


def test_a_fresh_installation_builds_and_passes_every_test(empty: dict[str, set[str]]) -> None:
    assert empty == {"seed": {"success"}, "model": {"success"}, "test": {"pass"}, "unit_test": {"pass"}, "exposure": {"no-op"}}


def test_a_run_of_the_graph_builds_what_is_selected_counts_rows_and_checks(graph_run: dg.ExecuteInProcessResult) -> None:
    counted = {
        event.asset_key.path[-1]: event.materialization.metadata.get("dagster/row_count")
        for event in graph_run.get_asset_materialization_events()
        if event.asset_key
    }
    assert {name: count and count.value for name, count in counted.items()}.items() >= {
        "fct_pump_event": 5,
        "fct_labeller_label": 3,
        "fct_watch": None,
    }.items()
    assert counted.keys() == {key.path[-1] for key in warehouse.marts.keys if key.path[0] == "mart"}
    checks = graph_run.get_asset_check_evaluations()
    assert {check.check_name for check in checks} >= {"unique_fct_pump_event_event_id", "every_message_is_counted_once"}
    assert all(check.passed for check in checks)
    assert "DBT_ENV_SECRET_PND_PASSWORD" not in os.environ


def test_an_event_has_its_pump_its_watch_its_coin_and_its_standing(rows: Rows) -> None:
    event = only(rows("fct_pump_event"), event_id="event")
    assert (event["pump_id"], event["watch_id"], event["instrument_id"], event["coin_id"]) == ("pump", "pump:0", 1, 100)
    assert (event["announced_lead_seconds"], event["start_delay_seconds"]) == (12 * 3600, -10)
    assert (event["rank_20s"], event["rank_40s"], event["ranked_coins"], event["alert_count"]) == (1, None, 51, 1)
    assert (event["market_cap_usd"], event["is_candidate"], event["token_standard"]) == (2e6, True, "ERC-20")
    assert event["previous_event_count"] == 1
    assert only(rows("fct_scheduled_pump"), pump_id="pump")["event_id"] == "event"


def test_days_are_utc_days_whatever_the_servers_time_zone(rows: Rows) -> None:
    event = only(rows("fct_pump_event"), event_id="event")
    assert (event["released_on"], event["released_month"]) == (date(2026, 1, 1), date(2026, 1, 1))
    daily = {(row["channel_id"], row["day"]): row["message_count"] for row in rows("fct_message_daily")}
    assert daily == {(1, date(2026, 1, 1)): 2, (2, date(2026, 1, 2)): 1, (3, date(2026, 1, 2)): 2}
    assert {row["hour_end_at"]: row["buckets"] for row in rows("fct_collection_hour")} == {
        scene.START: 1,
        scene.START + timedelta(hours=1): 1,
    }


def test_titles_and_texts_pass_through_unchanged(rows: Rows) -> None:
    channels = {row["channel_id"]: row["display_title"] for row in rows("dim_channel")}
    assert channels == {1: scene.HOSTILE.strip(), 2: "2", 3: "3", 4: "4"}
    assert only(rows("fct_event_message"), channel_id=1, message_id=2)["text"] == f"The coin is ABC {scene.HOSTILE}"
    assert only(rows("fct_alert"), alert_id="a1")["lines"] == f"{scene.HOSTILE}\nsecond"


def test_an_event_before_the_first_candle_stays(rows: Rows) -> None:
    event = only(rows("fct_pump_event"), event_id="before candles")
    assert (event["has_candle"], event["was_market_seen"], event["market_cap_usd"]) == (False, False, None)


def test_what_several_markets_or_coins_share_repeats_no_row_and_is_left_open(rows: Rows) -> None:
    assert len(rows("fct_pump_event")) == 5
    assert only(rows("fct_pump_event"), event_id="several markets")["instrument_id"] is None
    days = rows("fct_coin_day")
    assert [(row["pair"], row["day"].day) for row in days] == [
        *[("ABC/USDT", day) for day in (5, 1, 2, 3)],
        ("NEW/USDT", 6),
        ("DUP/USDT", 2),
    ]
    assert only(days, pair="ABC/USDT", day=date(2026, 1, 2))["interactions"] == 70
    assert only(days, pair="DUP/USDT")["instrument_id"] is None
    assert {row["coin_id"]: row["symbol_coin_count"] for row in rows("dim_coin")} == {100: 2, 101: 2}


def test_a_capitalisation_is_the_filters_else_that_of_coincodex(rows: Rows) -> None:
    days = {row["day"].day: row for row in rows("fct_coin_day") if row["pair"] == "ABC/USDT"}
    assert [(days[day]["market_cap_usd"], days[day]["cap_source"]) for day in (2, 3)] == [(2e6, "coinmarketcap"), (3e6, "coincodex")]
    assert days[3]["is_candidate"] is None


def test_a_value_traded_that_no_source_gives_is_estimated_and_says_so(rows: Rows) -> None:
    days = rows("fct_coin_day")
    estimated, given = only(days, pair="ABC/USDT", day=date(2026, 1, 2)), only(days, pair="DUP/USDT")
    assert (estimated["quote_volume"], estimated["is_quote_volume_estimated"]) == (20, True)
    assert (given["quote_volume"], given["is_quote_volume_estimated"]) == (7, False)


def test_an_exchange_that_only_data_names_is_an_exchange(rows: Rows) -> None:
    assert only(rows("dim_exchange"), exchange="elsewhere")["kind"] is None
    assert only(rows("dim_exchange"), exchange="kucoin")["event_count"] == 2


def test_a_ranking_keeps_the_best_and_says_why_in_the_alerts_words(rows: Rows) -> None:
    ranking = rows("fct_ranking")
    assert [(row["rank"], row["symbol"]) for row in ranking] == [(1, "ABC"), (2, None)]
    said = in_words(explain(np.array(scene.Z), DEFAULT), at_most=3)
    assert said.startswith(
        "order flow at the best prices over 1 h more than 1,000 deviations above the last three days, volume over 1 min 9."
    )
    assert (ranking[0]["reasons"], ranking[1]["reasons"]) == (said, "not kept")
    assert only(rows("fct_event_rank"), event_id="event")["reasons"] == said
    z = {(row["metric"], row["horizon_seconds"]): row["z"] for row in rows("fct_event_zscore")}
    assert list(z.values()).count(None) == len(DEFAULT.columns) - 5
    assert z[("volume", 60)] == pytest.approx(9.26)


def test_the_curves_of_an_event_join_books_and_trades_by_bucket(rows: Rows) -> None:
    curve = [(row["seconds_to_release"], row["mid_price"], row["trade_count"], row["is_gap"]) for row in rows("fct_event_market")]
    assert sorted(curve) == [(-5, 2, 3, True), (0, 2, None, False)]


def test_an_alert_is_one_row_however_many_channels_it_went_to(rows: Rows) -> None:
    alert = only(rows("fct_alert"), alert_id="a1")
    assert (alert["state"], alert["channel_count"], alert["sent_count"], alert["delivery_seconds"]) == ("sent", 2, 1, 2)
    assert alert["last_error"] == "webhook: refused"


def test_a_service_is_silent_sooner_than_the_listener_and_stopped_when_it_said_so(rows: Rows) -> None:
    states = {row["name"]: row["state"] for row in rows("fct_service_health")}
    assert states == {"listen": "healthy", "collect:kucoin:1/1": "silent", "deliver": "stopped"}


def test_an_event_is_given_to_the_pump_that_alerts_name(rows: Rows, mart_engine: sa.Engine) -> None:
    with mart_engine.connect() as connection:
        events = list(connection.execute(sa.select(tables.PUMP_EVENTS)).mappings())
        pumps = list(connection.execute(sa.select(tables.SCHEDULED_PUMPS)).mappings())
    told = {event["event_id"]: (pump_of(event, pumps) or {}).get("pump_id") for event in events}
    assert {row["event_id"]: row["pump_id"] for row in rows("fct_pump_event")} == told


def test_no_live_view_stands_on_a_table_that_is_made_anew(rows: Rows, mart_engine: sa.Engine) -> None:
    """Replacing such a table would take the view away until its turn comes."""
    dependent = sa.text(
        "SELECT DISTINCT view.relname, used.relname FROM pg_rewrite AS rule JOIN pg_class AS view ON view.oid = rule.ev_class "
        "JOIN pg_depend AS depend ON depend.objid = rule.oid AND depend.refclassid = 'pg_class'::regclass "
        "JOIN pg_class AS used ON used.oid = depend.refobjid AND used.relkind = 'r' "
        "WHERE used.relnamespace = 'mart'::regnamespace"
    )
    with mart_engine.connect() as connection:
        assert connection.execute(dependent).all() == []


def test_late_news_reach_old_days_a_full_build_says_the_same_and_what_retention_dropped_stays(
    rows: Rows, mart_engine: sa.Engine, mart_settings: Settings
) -> None:
    with mart_engine.connect() as connection:
        oid = connection.execute(sa.text("SELECT 'mart.fct_scheduled_pump'::regclass::oid")).scalar_one()

    later = datetime.now(UTC)
    old = datetime(2025, 1, 1, 12, tzinfo=UTC)
    with mart_engine.begin() as connection:
        connection.execute(sa.insert(tables.TELEGRAM_MESSAGES), [scene.message(1, 90, old, "an old one", ingested_at=later)])
        human = scene.label(3, 9, 2, labeller="human:a", labelled_at=later)
        connection.execute(sa.insert(tables.MESSAGE_LABELS), [human])
        connection.execute(sa.delete(tables.MESSAGE_LABELS).where(tables.MESSAGE_LABELS.c.channel_id == 2))
        connection.execute(sa.insert(tables.OHLCV_DAILY), [scene.candle("kucoin", "ABC/USDT", old.date(), ingested_at=later)])
        connection.execute(sa.insert(tables.CANDIDATE_COINS), [scene.candidate(1, date(2025, 2, 1))])
        of = tables.CANDIDATE_COINS.c
        connection.execute(sa.update(tables.CANDIDATE_COINS).where(of.as_of_date == scene.LONG_AGO).values(market_cap_usd=9e6))
        connection.execute(sa.insert(tables.INSTRUMENTS), [scene.instrument(5, "kucoin", "NEW")])
        link = {"instrument_id": 5, "coin_id": 101, "method": "name", "rivals": [], "reason": "same name", "linked_at": scene.KNOWN}
        connection.execute(sa.insert(tables.COIN_LINKS), [link])
        tick = connection.execute(sa.select(tables.RANKING_TICKS)).mappings().one()
        connection.execute(
            sa.insert(tables.RANKING_TICKS), [{**tick, "ranking_id": 4, "bucket_end_at": scene.RELEASED - timedelta(minutes=1)}]
        )
        ranked = {"ranking_id": 4, "instrument_id": 1, "bucket_end_at": scene.RELEASED - timedelta(minutes=1), "rank": 3, "score": 2.0}
        connection.execute(sa.insert(tables.TARGET_RANKINGS), [{**ranked, "is_active": True, "z": None}])
    build(mart_engine, mart_settings, *WITHOUT_TESTS, *GROWING, "fct_scheduled_pump")
    grown = {mart: read(mart_engine, mart) for mart in GROWING}
    assert only(grown["fct_message_daily"], day=old.date())["unlabelled_count"] == 1
    assert only(grown["fct_message_daily"], channel_id=3)["release_count"] == 1
    taken_back = only(grown["fct_message_daily"], channel_id=2)
    assert (taken_back["release_count"], taken_back["unlabelled_count"], taken_back["label_count"]) == (0, 1, 0)
    assert {row["day"] for row in grown["fct_coin_day"]} >= {old.date(), date(2025, 2, 1)}
    assert only(grown["fct_coin_day"], pair="ABC/USDT", day=scene.LONG_AGO)["market_cap_usd"] == 9e6
    found = only(grown["fct_coin_day"], pair="NEW/USDT")
    assert (found["instrument_id"], found["coin_id"]) == (5, 101)
    assert {row["ranking_id"] for row in grown["fct_ranking"]} == {4, 5}

    outliving = {mart: read(mart_engine, mart) for mart in OUTLIVING}
    assert all(outliving.values())
    with mart_engine.begin() as connection:
        assert connection.execute(sa.text("SELECT 'mart.fct_scheduled_pump'::regclass::oid")).scalar_one() == oid, "replaced in place"
        for table in (tables.ORDER_BOOK_METRICS, tables.TRADE_METRICS, tables.TARGET_RANKINGS, tables.BUCKET_COMMITS):
            connection.execute(sa.delete(table))
        for table in (tables.PUMP_EVENTS, tables.PUMP_RELEASES):
            connection.execute(sa.update(table).where(table.c.event_id == "event").values(event_id="of earlier evidence"))
        event = tables.PUMP_EVENTS.c
        aliases = sa.update(tables.PUMP_EVENTS).where(event.event_id == "of earlier evidence").values(aliases=["event", "merged"])
        connection.execute(aliases)
    build(mart_engine, mart_settings, "--full-refresh", *WITHOUT_TESTS, *GROWING, *OUTLIVING, "fct_pump_event")
    assert {mart: read(mart_engine, mart) for mart in GROWING} == grown
    renamed = {"event": "of earlier evidence"}
    assert {mart: read(mart_engine, mart) for mart in OUTLIVING} == {
        mart: [row | {"event_id": renamed[row["event_id"]]} if "event_id" in row else row for row in before]
        for mart, before in outliving.items()
    }


def test_what_dbt_refuses_is_told_in_one_line_and_what_came_meanwhile_is_no_failure(
    rows: Rows, mart_engine: sa.Engine, mart_settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(engine: sa.Engine, settings: Settings) -> None:
        raise DatabaseError("no such right")

    monkeypatch.setattr(build_module, "ensure_bi_role", refused)
    now = datetime.now(UTC)
    with mart_engine.begin() as connection:
        connection.exec_driver_sql("DROP VIEW staging.stg_vendor_day CASCADE")
        event = dict(connection.execute(sa.select(tables.PUMP_EVENTS).limit(1)).mappings().one())
        event |= {"event_id": "just now", "released_at": now, "last_released_at": now, "aliases": []}
        connection.execute(sa.insert(tables.PUMP_EVENTS), [event])
        connection.execute(sa.insert(tables.TELEGRAM_MESSAGES), [scene.message(1, 91, now, "just now", ingested_at=now)])
    with pytest.raises(DatabaseError, match=r"model fct_vendor_day: .*stg_vendor_day. does not exist") as raised:
        build(mart_engine, mart_settings, "--select", "fct_vendor_day", "path:tests")
    assert "\n" not in str(raised.value)
    assert "more)" not in str(raised.value)
    assert "no such right" in caplog.text


def test_a_migration_is_not_held_up_by_the_views(rows: Rows, mart_engine: sa.Engine) -> None:
    with mart_engine.begin() as connection:
        connection.exec_driver_sql("UPDATE core.alembic_version SET version_num = '0004'")
        for name in ("coin_flags", "coin_vulnerability", "channel_honesty", "channel_groups", "channel_links", "pump_outcomes"):
            connection.exec_driver_sql(f'ALTER TABLE out."{name}" RENAME TO "held_{name}"')
            connection.exec_driver_sql(f'DROP TABLE out."held_{name}" CASCADE')
    upgrade(mart_engine)
    with mart_engine.connect() as connection:
        views = connection.execute(sa.text("SELECT viewname FROM pg_views WHERE schemaname IN ('staging', 'mart')")).all()
    assert views == []
