"""The market's part of the graph runs against simulated exchanges and vendors through the real clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from pnd_dagster import tables
from pnd_dagster.definitions import build_defs
from pnd_dagster.settings import Settings
from pnd_dagster.simulator.exchanges.process import ServedExchanges, serve_in_process
from pnd_dagster.simulator.vendors import VENDOR_KEY
from pnd_dagster.storage import count_rows, read_frame

TODAY = datetime.now(UTC).date()
DAYS = [TODAY - timedelta(days=back) for back in (2, 1, 0)]
SPAN = {ASSET_PARTITION_RANGE_START_TAG: str(DAYS[0]), ASSET_PARTITION_RANGE_END_TAG: str(DAYS[-1])}
EXCHANGES = "kucoin,mexc,poloniex,xt"

Run = Callable[[], dict[str, dg.ExecuteInProcessResult]]


@pytest.fixture(scope="module")
def served() -> Iterator[ServedExchanges]:
    with serve_in_process(coins=50, rate=20.0, seed=5) as server:
        yield server


@pytest.fixture
def run(settings: Settings, served: ServedExchanges, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs the jobs `coins` and `market` over three days."""
    assert settings.database_url
    variables = {"DATABASE_URL": settings.database_url.get_secret_value(), "EXCHANGES": EXCHANGES, "EXCHANGE_URL": served.url}
    for vendor in ("LUNARCRUSH", "COINMARKETCAP", "COINCODEX"):
        variables[f"{vendor}_URL"] = f"{served.url}/{vendor.lower()}"
    for name, value in variables.items():
        monkeypatch.setenv(f"PND_{name}", value)
    monkeypatch.setenv("PND_LUNARCRUSH_KEY", VENDOR_KEY)
    monkeypatch.setenv("PND_COINMARKETCAP_KEY", VENDOR_KEY)
    defs = build_defs()
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dg.instance_for_test() as instance:
        yield lambda: {
            name: defs.resolve_job_def(name).execute_in_process(instance=instance, run_config=quiet, tags=tags, raise_on_error=False)
            for name, tags in (("coins", {}), ("market", SPAN))
        }


def materialised(result: dg.ExecuteInProcessResult) -> set[str]:
    return {event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key}


def test_exchanges_and_vendors_become_instruments_links_candles_and_candidates_and_a_second_run_only_adds_snapshots(
    engine: sa.Engine, run: Run
) -> None:
    results = run()
    for result in results.values():
        assert result.success, [event.step_failure_data for event in result.all_events if event.is_step_failure]
        failed = [check.check_name for check in result.get_asset_check_evaluations() if check.blocking and not check.passed]
        assert failed == []
    assert materialised(results["coins"]) == {
        "core/instruments",
        "core/coin_links",
        "raw/lunarcrush_snapshots",
        "raw/coinmarketcap_snapshots",
    }
    instruments = read_frame(engine, sa.select(tables.INSTRUMENTS))
    assert set(instruments["exchange"]) == set(EXCHANGES.split(","))
    links = read_frame(engine, sa.select(tables.COIN_LINKS))
    assert links.height == instruments.height
    assert links["coin_id"].null_count() < links.height / 3
    candles = read_frame(engine, sa.select(tables.OHLCV_DAILY))
    assert candles.height + count_rows(engine, tables.OHLCV_GAPS) == instruments.height * len(DAYS)
    assert candles.filter(~candles["is_complete"])["day"].unique().to_list() == [TODAY]
    candidates = read_frame(engine, sa.select(tables.CANDIDATE_COINS).where(tables.CANDIDATE_COINS.c.as_of_date == TODAY))
    assert candidates.height == instruments.height
    reasons = candidates.filter(~candidates["is_candidate"])["reason"].to_list()
    assert any("derivative token of" in reason for reason in reasons)
    assert any("above 60 million" in reason for reason in reasons)
    built = (tables.INSTRUMENTS, tables.COIN_LINKS, tables.OHLCV_DAILY, tables.COINCODEX_DAILY)
    before = {table.name: count_rows(engine, table) for table in built}
    snapshots = count_rows(engine, tables.COINMARKETCAP_SNAPSHOTS)
    assert all(result.success for result in run().values())
    assert {table.name: count_rows(engine, table) for table in built} == before
    assert count_rows(engine, tables.COINMARKETCAP_SNAPSHOTS) == 2 * snapshots


def test_vendors_without_a_key_are_left_out_and_every_coin_counts_as_unreported(
    engine: sa.Engine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PND_LUNARCRUSH_KEY", "")
    monkeypatch.setenv("PND_COINMARKETCAP_KEY", "")
    results = run()
    assert all(result.success for result in results.values())
    assert materialised(results["coins"]) == {"core/instruments"}
    candidates = read_frame(engine, sa.select(tables.CANDIDATE_COINS).where(tables.CANDIDATE_COINS.c.as_of_date == TODAY))
    derivatives = read_frame(engine, sa.select(tables.INSTRUMENTS).where(tables.INSTRUMENTS.c.is_derivative)).height
    assert candidates["is_candidate"].sum() == candidates.height - derivatives
    assert set(candidates["cap_source"]) == {"unlinked"}
