"""Which coin was pumped, how big it was then, and which standards are hit."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from pnd_dagster.analysis.coins import OWN_CHAIN, by_channel, by_standard, caps_at, most_pumped
from pnd_dagster.analysis.identity import identities, resolve

TIME = pl.Datetime("us", "UTC")
LISTING = {"exchange": pl.String, "symbol": pl.String, "valid_from": TIME, "valid_to": TIME, "coin_id": pl.Int64}
COIN = {"coin_id": pl.Int64, "symbol": pl.String, "added_at": TIME}
VALUE = {"coin_id": pl.Int64, "known_at": TIME, "market_cap_usd": pl.Float64, "price_usd": pl.Float64, "volume_usd": pl.Float64}


def on(month: int, day: int = 1, hour: int = 0) -> datetime:
    return datetime(2024, month, day, hour, tzinfo=UTC)


def pumps(*rows: tuple[str, str | None, datetime]) -> pl.DataFrame:
    schema = {"event_id": pl.String, "symbol": pl.String, "exchange": pl.String, "released_at": TIME}
    frame = pl.DataFrame([(f"e{n}", symbol, exchange, at) for n, (symbol, exchange, at) in enumerate(rows)], schema=schema, orient="row")
    return frame.with_columns(channel_ids=pl.lit([7, 8], pl.List(pl.Int64)))


def found(events: pl.DataFrame, listings: list[tuple[object, ...]], coins: list[tuple[object, ...]]) -> list[tuple[str, int | None]]:
    resolved = resolve(events, pl.DataFrame(listings, schema=LISTING, orient="row"), pl.DataFrame(coins, schema=COIN, orient="row"))
    assert resolved["event_id"].to_list() == events["event_id"].to_list()
    return resolved.select("identity", "coin_id").rows()


def test_the_coin_listed_at_the_release_is_the_one() -> None:
    listings = [("kucoin", "ABC", on(1), on(3), 1), ("kucoin", "ABC", on(3), None, 2)]
    coins = [(1, "ABC", None), (2, "ABC", None), (3, "ABC", None)]
    assert found(pumps(("ABC", "kucoin", on(2)), ("ABC", "kucoin", on(4))), listings, coins) == [("instrument", 1), ("instrument", 2)]


def test_two_coins_listed_under_one_symbol_are_ambiguous() -> None:
    listings = [("latoken", "ABC", on(1), None, 1), ("latoken", "ABC", on(1), None, 2)]
    assert found(pumps(("ABC", "latoken", on(2))), listings, [(1, "ABC", None)]) == [("ambiguous", None)]


def test_a_listing_beside_one_that_is_not_linked_is_ambiguous() -> None:
    listings = [("latoken", "ABC", on(1), None, 1), ("latoken", "ABC", on(1), None, None)]
    assert found(pumps(("ABC", "latoken", on(2))), listings, []) == [("ambiguous", None)]


def test_off_our_exchanges_the_symbol_decides_if_one_coin_alone_had_it_by_then() -> None:
    coins = [(1, "abc", on(1)), (2, "ABC", on(6)), (3, "XYZ", None), (4, "XYZ", None)]
    events = pumps(("ABC", "hotbit", on(5)), ("ABC", "hotbit", on(7)), ("XYZ", None, on(5)), ("QQQ", "hotbit", on(5)))
    assert found(events, [], coins) == [("symbol", 1), ("ambiguous", None), ("ambiguous", None), ("unknown", None)]


def test_a_listing_that_came_after_the_release_decides_nothing() -> None:
    listings = [("kucoin", "ABC", on(5), None, 1)]
    assert found(pumps(("ABC", "kucoin", on(2))), listings, []) == [("unknown", None)]


def test_identities_are_counted() -> None:
    counted = identities(pl.DataFrame({"identity": ["symbol", "symbol", "unknown"], "symbol": ["A", "A", "B"]}))
    assert counted.rows() == [("symbol", 2, 1), ("unknown", 1, 1)]


def valued(events: pl.DataFrame, *values: tuple[object, ...]) -> pl.DataFrame:
    rows = pl.DataFrame([row[:5] for row in values], schema=VALUE, orient="row")
    return caps_at(events, rows.with_columns(value_source=pl.Series([row[5] for row in values], dtype=pl.String)))


def test_the_capitalisation_is_the_last_one_known_before_the_release() -> None:
    events = pumps(("ABC", "kucoin", on(2, 10, 17))).with_columns(coin_id=pl.lit(1, pl.Int64))
    (row,) = valued(
        events,
        (1, on(2, 9), 5e6, 1.0, 2.0, "coinmarketcap"),
        (1, on(2, 10, 17), 9e9, 1.0, 2.0, "coinmarketcap"),
        (2, on(2, 10), 7e6, 1.0, 2.0, "coinmarketcap"),
    ).to_dicts()
    assert (row["market_cap_usd"], row["value_source"], row["is_valued"]) == (5e6, "coinmarketcap", True)


@pytest.mark.parametrize("cap", [None, 0.0, float("nan")])
def test_what_one_vendor_does_not_report_is_taken_from_the_next(cap: float | None) -> None:
    events = pumps(("ABC", "kucoin", on(2, 10))).with_columns(coin_id=pl.lit(1, pl.Int64))
    first, second = (1, on(2, 9), cap, 3.0, 2.0, "coinmarketcap"), (1, on(2, 5), 4e6, 1.0, 2.0, "coincodex")
    (row,) = valued(events, first, second).to_dicts()
    assert (row["market_cap_usd"], row["price_usd"], row["value_source"]) == (4e6, 3.0, "coincodex")
    (alone,) = valued(events, first).to_dicts()
    assert (alone["market_cap_usd"], alone["value_source"], alone["is_valued"]) == (None, None, True)


def test_a_capitalisation_of_long_ago_says_nothing() -> None:
    events = pumps(("ABC", "kucoin", on(4))).with_columns(coin_id=pl.lit(1, pl.Int64))
    (row,) = valued(events, (1, on(2), 5e6, 1.0, 2.0, "coinmarketcap")).to_dicts()
    assert (row["market_cap_usd"], row["is_valued"]) == (None, False)


def test_an_event_counts_for_every_channel_that_released_it() -> None:
    events = pumps(("ABC", "kucoin", on(2, 10)), ("XYZ", "kucoin", on(2, 11))).with_columns(coin_id=pl.Series([1, 2]))
    channels = by_channel(valued(events, (1, on(2, 9), 5e6, 1.0, 2.0, "coinmarketcap")))
    assert channels.select("channel_id", "events", "n", "market_cap_usd").rows() == [("7", 2, 1, 5e6), ("8", 2, 1, 5e6)]


def test_pumps_are_counted_by_coin_and_by_symbol_only_where_the_coin_is_not_known() -> None:
    events = pumps(("ABC", "kucoin", on(1)), ("ABC", "mexc", on(2)), ("OLD", "xt", on(3)), ("ABC", None, on(4))).with_columns(
        coin_id=pl.Series([1, 2, 1, None]),
        identity=pl.Series(["instrument", "instrument", "symbol", "unknown"]),
        name=pl.Series(["One", "Two", "One", None]),
        token_standard=pl.Series(["ERC-20", None, "ERC-20", None]),
    )
    rows = most_pumped(events).select("symbol", "name", "token_standard", "identity", "pumps", "exchanges", "channels").rows()
    assert rows[0] == ("OLD", "One", "ERC-20", "instrument, symbol", 2, 2, 2)
    assert sorted(rows[1:], key=str) == [
        ("ABC", "Two", None, "instrument", 1, 1, 2),
        ("ABC", None, None, "unknown", 1, 0, 2),
    ]


def test_every_standard_of_the_paper_is_told_even_where_nothing_is_known() -> None:
    events = pl.DataFrame(
        {"coin_id": [1, 1, 2, None], "token_standard": ["ERC-20", "ERC-20", None, None]}, schema_overrides={"coin_id": pl.Int64}
    )
    coins = pl.DataFrame({"coin_id": [1, 2, 3, 4], "token_standard": ["ERC-20", None, "ERC-20", "Runes"]})
    table = {row["standard"]: row for row in by_standard(events, coins).to_dicts()}
    assert [table["ERC-20"][name] for name in ("pumps", "pumped_coins", "coins", "pumped_share")] == [2, 1, 2, 0.5]
    assert table[OWN_CHAIN]["pumped_share"] == 1.0
    assert table["Runes"]["pumped_share"] == 0.0
    assert table["Runes"]["high"] > 0.5
    assert [table["ERC-721"][name] for name in ("coins", "pumped_share", "high")] == [0, None, None]
    assert sum(row["pumps"] for row in table.values()) == 3


def test_a_linked_coin_that_no_snapshot_knows_is_one_of_the_coins() -> None:
    coins = pl.DataFrame({"coin_id": [1], "token_standard": [None]}, schema_overrides={"token_standard": pl.String})
    events = pl.DataFrame({"coin_id": [1, 2], "token_standard": [None, None]}, schema_overrides={"token_standard": pl.String})
    (own,) = [row for row in by_standard(events, coins).to_dicts() if row["standard"] == OWN_CHAIN]
    assert (own["pumped_coins"], own["coins"], own["pumped_share"]) == (2, 2, 1.0)
