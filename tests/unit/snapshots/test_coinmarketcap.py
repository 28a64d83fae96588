"""CoinMarketCap's snapshots, read by the real client from the simulated vendor."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.errors import DatabaseError, PndError, QuotaExhaustedError, SettingError, SourceError, TransientError
from pnd_dagster.settings import Settings
from pnd_dagster.simulator.universe import Universe
from pnd_dagster.simulator.vendors import VendorServer, rename_field
from pnd_dagster.snapshots import coinmarketcap
from pnd_dagster.snapshots.coinmarketcap import collect_coinmarketcap, parse_id_map, parse_listings
from pnd_dagster.snapshots.quotas import Usage, used
from pnd_dagster.snapshots.token_standards import token_standard
from pnd_dagster.storage import count_rows, read_frame
from pnd_dagster.tables import COINMARKETCAP_SNAPSHOTS, DEAD_LETTERS

NOW = datetime(2026, 3, 1, 6, tzinfo=UTC)
Edit = Callable[[dict[str, Any]], None]
InEach = Callable[[Edit], Callable[[Any], Any]]


def listing(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A coin of listings/latest, version 1."""
    quote = {"price": 0.25, "volume_24h": 1_000.5, "market_cap": 2.7e6, "last_updated": "2026-03-01T06:00:00.000Z"}
    return {
        "id": number,
        "name": f"Coin {number}",
        "symbol": "ABC",
        "slug": f"coin-{number}",
        "date_added": "2021-04-28T00:00:00.000Z",
        "tags": ["defi"],
        "circulating_supply": 10_800_000,
        "platform": {"id": 1027, "name": "Ethereum", "symbol": "ETH", "slug": "ethereum", "token_address": "0xAbC1"},
        "cmc_rank": 900 + number,
        "self_reported_circulating_supply": None,
        "self_reported_market_cap": None,
        "quote": {"USD": quote},
        **changes,
    }


def only(parsed: coinmarketcap.Parsed) -> dict[str, Any]:
    return parsed.frame.row(0, named=True)


def snapshots(engine: sa.Engine) -> pl.DataFrame:
    return read_frame(engine, sa.select(COINMARKETCAP_SNAPSHOTS)).sort("coin_id")


def test_a_listing_becomes_a_row() -> None:
    row = only(parse_listings([listing()], NOW))
    assert json.loads(row.pop("payload")) == listing()
    assert row == {
        "coin_id": 1,
        "snapshot_at": NOW,
        "symbol": "ABC",
        "name": "Coin 1",
        "slug": "coin-1",
        "price_usd": 0.25,
        "market_cap_usd": 2.7e6,
        "self_reported_market_cap_usd": None,
        "circulating_supply": 10_800_000.0,
        "self_reported_circulating_supply": None,
        "volume_24h_usd": 1_000.5,
        "rank": 901,
        "platform_name": "Ethereum",
        "contract_address": "0xabc1",
        "token_standard": "ERC-20",
        "added_at": datetime(2021, 4, 28, tzinfo=UTC),
        "is_active": True,
    }


def test_version_three_with_its_list_of_quotes_gives_the_same_row() -> None:
    first = listing()
    third = {**first, "quote": [{"id": 2790, "symbol": "EUR", "price": 9.0}, {"id": 2781, "symbol": "USD", **first["quote"]["USD"]}]}
    assert parse_listings([first], NOW).frame.drop("payload").equals(parse_listings([third], NOW).frame.drop("payload"))


def test_zero_unverified_and_self_reported_capitalisations_are_told_apart() -> None:
    coins = [
        listing(1, quote={"USD": {"price": 1, "market_cap": 0}}, self_reported_market_cap=5e6),
        listing(2, quote={"USD": {"price": 1, "market_cap": None}}),
        listing(3, quote={"USD": {"price": None, "market_cap": 3e6}}, self_reported_market_cap=0),
    ]
    caps = parse_listings(coins, NOW).frame.select("market_cap_usd", "self_reported_market_cap_usd", "price_usd").rows()
    assert caps == [(0.0, 5e6, 1.0), (None, None, 1.0), (3e6, 0.0, None)]


def test_an_absurd_self_reported_capitalisation_does_not_refuse_the_coin() -> None:
    parsed = parse_listings([listing(self_reported_market_cap=1e22), listing(2)], NOW)
    assert (parsed.frame.height, dict(parsed.unread)) == (2, {"self_reported_market_cap_usd": 1})


@pytest.mark.parametrize(
    ("platform", "tags", "standard"),
    [
        ("Ethereum", (), "ERC-20"),
        ("BNB Smart Chain (BEP20)", (), "BEP-20"),
        ("BNB", (), "BEP-20"),
        ("BNB Beacon Chain (BEP2)", (), "BEP-2"),
        ("Solana", (), "SPL"),
        ("Tron20", (), "TRC-20"),
        ("TRON", (), "TRC-20"),
        ("Polygon", (), "ERC-20"),
        ("Avalanche C-Chain", (), "ARC-20"),
        ("Toncoin", (), "TEP-74"),
        ("Near", (), "NEP-141"),
        ("Bitcoin", ("memes", "brc-20"), "BRC-20"),
        ("Bitcoin", ("runes-ecosystem",), "Runes"),
        (None, ("bitcoin-ecosystem", "runes"), "Runes"),
        ("Bitcoin", (), None),
        (None, ("defi",), None),
        ("A Chain Of Tomorrow", (), None),
        ("", (), None),
    ],
)
def test_the_token_standard_follows_from_platform_and_tags(platform: str | None, tags: tuple[str, ...], standard: str | None) -> None:
    assert token_standard(platform, tags) == standard


def test_tags_of_both_versions_are_read() -> None:
    platform = {"id": 1, "name": "Bitcoin", "symbol": "BTC", "slug": "bitcoin", "token_address": ""}
    coins = [listing(1, platform=platform, tags=["brc-20"]), listing(2, platform=platform, tags=[{"slug": "runes-ecosystem"}, None])]
    assert parse_listings(coins, NOW).frame["token_standard"].to_list() == ["BRC-20", "Runes"]


def test_all_coins_are_stored_active_and_gone_with_what_the_vendor_says(
    engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer, universe: Universe
) -> None:
    collected = collect_coinmarketcap(engine, vendor_settings, NOW)
    rows = snapshots(engine)
    known = {coin.coin_id: coin for coin in universe.coins if not coin.is_leveraged}
    assert rows["coin_id"].to_list() == sorted(known)
    assert collected.written.inserted == collected.coins == collected.announced == len(known)
    assert (collected.refused, collected.unread, collected.requests) == (0, {}, len(vendors.requests))
    assert used(engine, "coinmarketcap", datetime.now(UTC).date()) == Usage(collected.requests, collected.credits, 0)
    assert collected.credits == -(-rows["is_active"].sum() // 200) + 1
    assert set(rows["snapshot_at"]) == {NOW}
    assert not rows["is_active"].all()
    assert rows.filter(~pl.col("is_active"))["market_cap_usd"].null_count() == (~rows["is_active"]).sum()
    for row in rows.filter("is_active").iter_rows(named=True):
        coin = known[row["coin_id"]]
        assert (row["symbol"], row["name"], row["slug"], row["added_at"]) == (coin.symbol, coin.name, coin.slug, coin.added_at)
        assert row["contract_address"] == (coin.contract_address and coin.contract_address.lower())
        assert (row["platform_name"], row["token_standard"]) == (coin.platform, coin.token_standard)
        assert row["market_cap_usd"] == pytest.approx(coin.verified_cap or 0, rel=0.01)
        assert (row["self_reported_market_cap_usd"] is None) == (coin.self_reported_cap is None)
    assert rows["symbol"].n_unique() < rows.height, "namesakes are kept apart by their ids"


def test_pages_are_joined_and_asked_in_an_order_that_does_not_move(
    engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = collect_coinmarketcap(engine, vendor_settings, NOW)
    vendors.requests.clear()
    monkeypatch.setattr(coinmarketcap, "PAGE_SIZE", 100)
    paged = collect_coinmarketcap(engine, vendor_settings, NOW + timedelta(hours=1))
    listed = [request for request in vendors.requests if "listings" in request]
    assert len(listed) > 1
    assert all("sort=date_added" in request for request in listed)
    assert (paged.coins, paged.written.inserted) == (whole.coins, whole.coins)


def test_run_twice_adds_nothing_and_a_later_run_adds_a_snapshot(
    engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer
) -> None:
    first = collect_coinmarketcap(engine, vendor_settings, NOW)
    again = collect_coinmarketcap(engine, vendor_settings, NOW)
    assert again.written.inserted == 0
    collect_coinmarketcap(engine, vendor_settings, NOW + timedelta(days=1))
    assert count_rows(engine, COINMARKETCAP_SNAPSHOTS) == 2 * first.coins


def test_one_coin_that_cannot_be_read_is_a_dead_letter_and_the_others_are_stored(
    engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer, in_each_object: InEach
) -> None:
    whole = collect_coinmarketcap(engine, vendor_settings, NOW)
    victim = snapshots(engine).filter("is_active")["coin_id"][0]

    def spoil(item: dict[str, Any]) -> None:
        if item["id"] == victim and "quote" in item:
            item["quote"]["USD"]["market_cap"] = float("nan")

    vendors.faults.change("coinmarketcap", in_each_object(spoil))
    later = collect_coinmarketcap(engine, vendor_settings, NOW + timedelta(days=1))
    assert (later.coins, later.refused) == (whole.coins - 1, 1)
    letter = read_frame(engine, sa.select(DEAD_LETTERS)).row(0, named=True)
    assert (letter["source"], letter["reason"]) == ("coinmarketcap", "quote.USD.market_cap is nan")
    assert letter["location"].endswith(f" {victim}")
    assert json.loads(letter["payload"])["quote"]["USD"]["market_cap"] == "nan"
    collect_coinmarketcap(engine, vendor_settings, NOW + timedelta(days=2))
    assert count_rows(engine, DEAD_LETTERS) == 1


@pytest.mark.parametrize("field", ["data", "id", "symbol", "name", "slug", "quote", "USD", "price", "market_cap"])
@pytest.mark.parametrize("becomes", ["renamed", None])
def test_a_changed_field_that_all_need_stops_the_run_and_is_named_and_nothing_is_stored(
    engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer, field: str, becomes: str | None
) -> None:
    vendors.faults.change("coinmarketcap", rename_field(field, becomes))
    with pytest.raises(SourceError, match=rf"CoinMarketCap v1/cryptocurrency/listings/latest: .*\b{field}\b.*has the API changed\?"):
        collect_coinmarketcap(engine, vendor_settings, NOW)
    assert count_rows(engine, COINMARKETCAP_SNAPSHOTS) == 0


def test_a_changed_field_that_few_need_becomes_null_and_is_counted(
    engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer
) -> None:
    vendors.faults.change("coinmarketcap", rename_field("self_reported_market_cap", "claimed_market_cap"))
    collected = collect_coinmarketcap(engine, vendor_settings, NOW)
    rows = snapshots(engine)
    assert collected.unread == {"self_reported_market_cap_usd": rows["is_active"].sum()}
    assert rows["self_reported_market_cap_usd"].null_count() == rows.height


@pytest.mark.parametrize("fault", ["500", "402", "garbage"])
def test_a_snapshot_that_breaks_off_is_not_stored_in_part_but_its_requests_are_counted(
    engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer, sleeps: list[float], monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    monkeypatch.setattr(coinmarketcap, "PAGE_SIZE", 100)

    def sabotage(body: Any) -> Any:
        vendors.faults.inject("coinmarketcap", fault, times=9)
        return body

    vendors.faults.change("coinmarketcap", sabotage)
    with pytest.raises((TransientError, QuotaExhaustedError)):
        collect_coinmarketcap(engine, vendor_settings, NOW, sleep=sleeps.append)
    assert count_rows(engine, COINMARKETCAP_SNAPSHOTS) == 0
    assert used(engine, "coinmarketcap", datetime.now(UTC).date()).requests == len(vendors.requests) > 1


def test_pages_that_repeat_are_noticed(
    engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coinmarketcap, "PAGE_SIZE", 50)
    kept: list[Any] = []

    def repeat(body: Any) -> Any:
        kept.append(body)
        return kept[0]

    vendors.faults.change("coinmarketcap", repeat)
    with pytest.raises(SourceError, match="page 2 repeats what came before"):
        collect_coinmarketcap(engine, vendor_settings, NOW)


@pytest.mark.parametrize("empty", [{"data": []}, {}, [], None, {"data": {"1": {}}}, "text", {"data": None}])
def test_an_answer_without_coins_is_an_error_and_no_empty_snapshot(
    engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer, sleeps: list[float], empty: Any
) -> None:
    vendors.faults.change("coinmarketcap", lambda body: empty)
    with pytest.raises(PndError, match=r"list is empty|no list data|no whole JSON"):
        collect_coinmarketcap(engine, vendor_settings, NOW, sleep=sleeps.append)


def test_without_a_key_the_setting_is_named(engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer) -> None:
    with pytest.raises(SettingError, match=r"^PND_COINMARKETCAP_KEY: "):
        collect_coinmarketcap(engine, vendor_settings.model_copy(update={"coinmarketcap_key": None}), NOW)
    assert vendors.requests == []


def test_when_postgres_refuses_a_row_nothing_of_the_snapshot_stays(engine: sa.Engine, vendor_settings: Settings) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE raw.coinmarketcap_snapshots ADD CONSTRAINT small CHECK (coin_id < 200)")
    try:
        with pytest.raises(DatabaseError):
            collect_coinmarketcap(engine, vendor_settings, NOW)
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE raw.coinmarketcap_snapshots DROP CONSTRAINT small")
    assert count_rows(engine, COINMARKETCAP_SNAPSHOTS) == 0


def test_a_coin_in_both_lists_counts_as_active() -> None:
    gone = {"id": 1, "name": "Coin 1", "symbol": "ABC", "slug": "coin-1", "is_active": 0, "platform": None}
    both = coinmarketcap.joined(parse_listings([listing()], NOW), parse_id_map([gone, {**gone, "id": 2}], NOW))
    assert both.frame.select("coin_id", "is_active").rows() == [(1, True), (2, False)]
