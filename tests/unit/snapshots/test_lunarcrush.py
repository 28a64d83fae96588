"""LunarCrush's snapshots, read by the real client from the simulated vendor."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.errors import QuotaExhaustedError, SettingError, SourceError
from pnd_dagster.settings import Settings
from pnd_dagster.simulator.vendors import VendorServer, rename_field
from pnd_dagster.snapshots import lunarcrush
from pnd_dagster.snapshots.lunarcrush import VENDOR, collect_lunarcrush, parse_coins, parse_series
from pnd_dagster.snapshots.quotas import Usage, used
from pnd_dagster.storage import count_rows, read_frame
from pnd_dagster.tables import DEAD_LETTERS, LUNARCRUSH_SNAPSHOTS

NOW = datetime(2026, 3, 1, 6, tzinfo=UTC)
DAY = 86_400


def coin(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A coin of coins/list/v2."""
    return {
        "id": number,
        "symbol": "ABC",
        "name": f"Coin {number}",
        "price": 0.5,
        "volume_24h": 1e4,
        "market_cap": 2.7e6,
        "interactions_24h": 4_321,
        "social_volume_24h": 97,
        "social_dominance": 0.01,
        "galaxy_score": 61.5,
        "alt_rank": 380,
        "sentiment": 79,
        **changes,
    }


def snapshots(engine: sa.Engine) -> pl.DataFrame:
    return read_frame(engine, sa.select(LUNARCRUSH_SNAPSHOTS)).sort("coin_id")


def test_a_coin_becomes_a_row() -> None:
    row = parse_coins([coin()], NOW).frame.row(0, named=True)
    assert json.loads(row.pop("payload")) == coin()
    assert row == {
        "coin_id": 1,
        "snapshot_at": NOW,
        "symbol": "ABC",
        "name": "Coin 1",
        "price_usd": 0.5,
        "market_cap_usd": 2.7e6,
        "volume_24h_usd": 1e4,
        "likes": None,
        "shares": None,
        "interactions": 4_321,
        "social_dominance": 0.01,
        "sentiment": 79.0,
        "posts_created": None,
        "posts_active": 97,
        "contributors": None,
        "galaxy_score": 61.5,
        "alt_rank": 380,
    }


def test_likes_and_shares_are_read_where_an_answer_has_them_and_missed_nowhere() -> None:
    parsed = parse_coins([coin(1, likes=5, shares=2), coin(2)], NOW)
    assert parsed.frame.select("likes", "shares").rows() == [(5, 2), (None, None)]
    assert parsed.unread == {}


def test_a_coin_nobody_talks_about_has_no_numbers_rather_than_zeros() -> None:
    quiet = coin(interactions_24h=None, social_volume_24h=None, social_dominance=None, sentiment=None)
    row = parse_coins([quiet], NOW).frame.row(0, named=True)
    assert {row[name] for name in ("interactions", "posts_active", "social_dominance", "sentiment")} == {None}
    assert parse_coins([coin(interactions_24h=0)], NOW).frame["interactions"].to_list() == [0]


def test_a_sentiment_that_is_no_percentage_becomes_null_and_is_counted() -> None:
    parsed = parse_coins([coin(sentiment=180), coin(2)], NOW)
    assert (parsed.frame["sentiment"].to_list(), dict(parsed.unread)) == ([None, 79.0], {"sentiment": 1})


def test_the_last_whole_day_of_a_series_counts() -> None:
    today = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
    points = [
        {"time": today, "posts_created": 1, "contributors_active": 1},
        {"time": today - DAY, "posts_created": 22, "contributors_active": 7},
        {"time": today - 2 * DAY, "posts_created": 3, "contributors_active": 3},
    ]
    assert parse_series(points, NOW) == (22, 7)
    assert parse_series(points[:1], NOW) == (None, None)
    assert parse_series([], NOW) == (None, None)


def test_all_coins_are_stored_over_all_pages(
    engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lunarcrush, "PAGE_SIZE", 70)
    collected = collect_lunarcrush(engine, vendor_settings, NOW)
    rows = snapshots(engine)
    assert len(vendors.requests) == collected.requests > 1
    assert collected.coins == collected.announced == collected.written.inserted == rows.height > 70
    assert used(engine, "lunarcrush", datetime.now(UTC).date()) == Usage(collected.requests, 0, 0)
    assert (collected.refused, collected.unread) == (0, {})
    assert 0 < rows["interactions"].null_count() < rows.height
    assert collect_lunarcrush(engine, vendor_settings, NOW).written.inserted == 0


def test_a_vendor_that_gives_smaller_pages_than_asked_for_is_read_to_its_end(
    engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pnd_dagster.simulator.vendors.LUNARCRUSH_MAX_LIMIT", 50)
    collected = collect_lunarcrush(engine, vendor_settings, NOW)
    assert collected.coins == collected.announced
    assert collected.requests > 1


def test_coins_asked_one_by_one_get_posts_created_and_contributors(
    engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer
) -> None:
    collect_lunarcrush(engine, vendor_settings, NOW)
    symbol = snapshots(engine)["symbol"][0]
    vendors.requests.clear()
    collected = collect_lunarcrush(engine, vendor_settings, datetime.now(UTC), detailed_symbols=[symbol])
    rows = snapshots(engine).filter(pl.col("posts_created").is_not_null())
    assert set(rows["symbol"]) == {symbol}
    assert rows["contributors"].null_count() == 0
    assert len([request for request in vendors.requests if "time-series" in request]) == rows.height
    assert collected.refused == 0


def test_a_series_that_fails_costs_that_coin_its_details_only(engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer) -> None:
    collect_lunarcrush(engine, vendor_settings, NOW)
    symbol = snapshots(engine)["symbol"][0]
    later = NOW + timedelta(days=1)

    def sabotage(body: Any) -> Any:
        vendors.faults.inject("lunarcrush", "404")
        return body

    vendors.faults.change("lunarcrush", sabotage)
    collected = collect_lunarcrush(engine, vendor_settings, later, detailed_symbols=[symbol])
    assert collected.refused == count_rows(engine, DEAD_LETTERS) >= 1
    assert collected.coins == collected.announced


@pytest.mark.parametrize("field", ["data", "id", "symbol", "price", "market_cap", "interactions_24h", "social_dominance"])
def test_a_changed_field_that_all_need_stops_the_run_and_is_named(
    engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer, field: str
) -> None:
    vendors.faults.change("lunarcrush", rename_field(field, "renamed"))
    with pytest.raises(SourceError, match=rf"LunarCrush coins/list: .*\b{field}\b.*has the API changed\?"):
        collect_lunarcrush(engine, vendor_settings, NOW)
    assert count_rows(engine, LUNARCRUSH_SNAPSHOTS) == 0


def test_a_changed_field_that_few_need_becomes_null_and_is_counted(
    engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer
) -> None:
    vendors.faults.change("lunarcrush", rename_field("galaxy_score", "galaxy"))
    collected = collect_lunarcrush(engine, vendor_settings, NOW)
    assert collected.unread == {"galaxy_score": collected.coins}


def test_a_list_of_one_page_that_is_cut_short_is_told_by_what_was_announced(
    engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer
) -> None:
    def shorten(body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "data": body["data"][:-3]}

    vendors.faults.change("lunarcrush", shorten)
    collected = collect_lunarcrush(engine, vendor_settings, NOW)
    assert collected.announced == collected.coins + 3


def test_a_days_quota_that_is_used_up_is_told_from_a_busy_minute() -> None:
    explain: Callable[[int, Any, dict[str, str]], Any] = VENDOR.explain  # type: ignore[assignment]
    assert isinstance(explain(429, None, {"x-rate-limit-day-remaining": "0"}), QuotaExhaustedError)
    assert explain(429, None, {"x-rate-limit-day-remaining": "12"}) is None
    assert explain(200, {}, {"x-rate-limit-day-remaining": "0"}) is None


def test_without_a_key_the_setting_is_named(engine: sa.Engine, vendor_settings: Settings) -> None:
    with pytest.raises(SettingError, match=r"^PND_LUNARCRUSH_KEY: "):
        collect_lunarcrush(engine, vendor_settings.model_copy(update={"lunarcrush_key": None}), NOW)
