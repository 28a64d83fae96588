"""Links between channels, vulnerability and flags of coins, from a planted database and into it."""

from __future__ import annotations

import math
from datetime import timedelta

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster import tables
from pnd_dagster.analysis.coin_store import last_day_of_books, last_day_of_listings, write_flags, write_vulnerability
from pnd_dagster.analysis.coordination_store import write_coordination
from pnd_dagster.storage import read_frame
from tests.unit.analysis.conduct_world import NOW, PAIR, START, collected, event, instrument, message, put

DAY = START.date()
TEXTS = [
    f"Dear friends, the coin of week {number} will be told on day {number} at {number} sharp, be ready and bring {number} of your people"
    for number in range(1, 9)
]


def plant_copies(engine: sa.Engine) -> None:
    """Channel 2 repeats eight texts of channel 1 after a minute and forwards three more; a member repeats them in 3; 4 forwards once."""
    rows = [message(1, number, START + timedelta(days=number), text) for number, text in enumerate(TEXTS)]
    for number, text in enumerate(TEXTS):
        at = START + timedelta(days=number, minutes=1)
        rows += [message(2, number, at, text), message(3, number, at, text, is_from_member=True)]
    for number in range(3):
        at = START + timedelta(days=number, seconds=30)
        rows.append(message(2, 100 + number, at, "fwd", forwarded_from_channel_id=1, forwarded_from_message_id=number))
    rows.append(message(4, 1, START, "fwd", forwarded_from_channel_id=1, forwarded_from_message_id=0))
    rows.append(message(4, 2, START, "fwd", forwarded_from_channel_id=999, forwarded_from_message_id=5))
    put(engine, tables.TELEGRAM_MESSAGES, *rows)


def test_planted_copies_and_forwards_are_stored_as_links(engine: sa.Engine) -> None:
    plant_copies(engine)
    found = write_coordination(engine, NOW)
    assert found.links_written.inserted == found.links.height
    stored = read_frame(engine, sa.select(tables.CHANNEL_LINKS)).filter("is_linked")
    pairs = stored.select("from_channel_id", "to_channel_id", "kind", "count", "median_lag_seconds").rows()
    assert sorted(pairs) == [(1, 2, "copy", 8, 60.0), (1, 2, "forward", 3, 30.0)]
    groups = {row["channel_id"]: row for row in read_frame(engine, sa.select(tables.CHANNEL_GROUPS)).iter_rows(named=True)}
    assert (groups[1]["was_copied_count"], groups[1]["was_forwarded_count"]) == (8, 4)
    assert (groups[2]["copied_count"], groups[2]["forwarded_count"], groups[2]["event_count"]) == (8, 3, 0)
    assert 3 not in groups


def test_linking_twice_changes_nothing(engine: sa.Engine) -> None:
    plant_copies(engine)
    write_coordination(engine, NOW)
    again = write_coordination(engine, NOW + timedelta(hours=1))
    assert (again.links_written.inserted, again.links_written.updated, again.links_written.deleted) == (0, 0, 0)
    assert again.groups_written.updated == 0


def test_channels_that_release_together_are_a_group(engine: sa.Engine) -> None:
    rows = [
        {
            "channel_id": channel,
            "message_id": number,
            "released_at": START + timedelta(days=number, seconds=channel),
            "symbol": f"C{number}",
            "event_id": f"e{number}",
            "confidence": 1.0,
        }
        for number in range(5)
        for channel in (1, 2)
    ]
    put(engine, tables.PUMP_RELEASES, *rows)
    found = write_coordination(engine, NOW)
    assert found.groups.select("channel_id", "group_id", "group_size", "first_release_count").rows() == [(1, 1, 2, 5), (2, 1, 2, 0)]


def test_an_empty_database_links_nobody_and_says_what_to_run(engine: sa.Engine) -> None:
    found = write_coordination(engine, NOW)
    assert found.links.is_empty()
    assert any("pnd import" in note for note in found.notes)


def book(seconds: float, levels: int = 20, value: float = 100.0) -> dict[str, object]:
    """A book of AAA whose asks' mean price lies 10% above the mid price."""
    quantity = value / 1.1
    return {
        "instrument_id": PAIR,
        "bucket_end_at": START + timedelta(seconds=seconds),
        "mid_price": 1.0,
        "relative_spread": 0.02,
        "average_order_value": value,
        "average_order_size": (quantity + value / 0.9) / 2,
        "value_imbalance": 0.0,
        "order_book_pressure": (value / 0.9) / (quantity + value / 0.9),
        "bid_levels": levels,
        "ask_levels": levels,
        "update_count": 1,
    }


def test_vulnerability_reads_the_last_book_of_each_hour_and_what_was_known_before(engine: sa.Engine) -> None:
    put(engine, tables.INSTRUMENTS, instrument())
    put(engine, tables.PUMP_EVENTS, event("e1", at=START - timedelta(days=9)), event("e2", at=START + timedelta(minutes=1)))
    collected(engine, (5.0, 1.0, 30.0), (10.0, 1.0, 12.0), (86_400.0, 1.0, 1e6))
    put(engine, tables.ORDER_BOOK_METRICS, book(5, value=9_999.0), book(3_500), book(7_000), book(7_100, value=200.0))
    put(engine, tables.ORDER_BOOK_METRICS, {**book(9_000, value=9e9), "is_gap": True}, book(-86_400, value=9e9))
    found = write_vulnerability(engine, DAY, NOW)
    (row,) = read_frame(engine, sa.select(tables.COIN_VULNERABILITY)).iter_rows(named=True)
    assert (row["book_count"], row["value_24h_usd"], row["prior_pumps"]) == (2, 42.0, 1)
    assert row["depth_usd"] == pytest.approx((40 * 100 + 40 * 200) / 2, rel=1e-4)
    # Half of the quantity, at a mean price of 1.05 where that of all is 1.10.
    assert row["usd_to_move_10pct"] == pytest.approx(row["ask_depth_usd"] / 2 * 1.05 / 1.1, rel=1e-3)
    assert (row["score"], row["rank"], row["is_lower_bound"]) == (0.5, 1, False)
    assert found.written.inserted == 1
    again = write_vulnerability(engine, DAY, NOW + timedelta(hours=1)).written
    assert (again.inserted, again.updated, again.deleted) == (0, 0, 0)


def test_a_day_without_books_has_no_rows_and_says_why(engine: sa.Engine) -> None:
    assert any("pnd collect" in note for note in write_vulnerability(engine, DAY, NOW).notes)


def test_flags_follow_from_links_decisions_and_snapshots_of_the_day(engine: sa.Engine) -> None:
    put(engine, tables.INSTRUMENTS, instrument(), instrument(78, "BBB"), instrument(79, "CCC3L", is_derivative=True), instrument(80, "DDD"))
    put(engine, tables.COIN_LINKS, {"instrument_id": PAIR, "method": "none", "reason": "no coin is called AAA"})
    put(engine, tables.COIN_LINKS, {"instrument_id": 78, "method": "symbol", "reason": "the only BBB", "coin_id": 5})
    for number, (day, source, cap) in enumerate(((DAY, "self-reported", 1e6), (DAY + timedelta(days=1), "coinmarketcap", 9e9))):
        decision = {"as_of_date": day, "exchange": "xt", "reason": "-", "is_candidate": True}
        put(
            engine,
            tables.CANDIDATE_COINS,
            {"instrument_id": 78, "symbol": "BBB/USDT", "cap_source": source, "market_cap_usd": cap} | decision,
        )
        if number == 0:
            put(engine, tables.CANDIDATE_COINS, {"instrument_id": PAIR, "symbol": "AAA/USDT", "cap_source": "unlinked"} | decision)
    snapshot = {"coin_id": 5, "snapshot_at": START, "symbol": "BBB", "added_at": START - timedelta(days=3), "payload": "{}"}
    put(engine, tables.COINMARKETCAP_SNAPSHOTS, snapshot)
    write_flags(engine, DAY, NOW)
    stored = read_frame(engine, sa.select(tables.COIN_FLAGS))
    flags = {(row["instrument_id"], row["flag"]) for row in stored.iter_rows(named=True)}
    assert flags == {(PAIR, "no metadata"), (78, "self-reported cap"), (78, "micro cap"), (78, "new listing")}
    assert "no coin is called AAA" in stored.filter(pl.col("flag") == "no metadata")["reason"][0]
    again = write_flags(engine, DAY, NOW + timedelta(hours=1)).written
    assert (again.inserted, again.updated, again.deleted) == (0, 0, 0)


def test_an_empty_database_flags_nothing_and_says_what_is_missing(engine: sa.Engine) -> None:
    found = write_flags(engine, DAY, NOW)
    assert found.rows.is_empty()
    assert any("daily candles" in note for note in found.notes)


def test_the_last_whole_day_is_taken_where_there_is_one(engine: sa.Engine) -> None:
    put(engine, tables.INSTRUMENTS, instrument(valid_from=START))
    put(engine, tables.ORDER_BOOK_METRICS, book(5))
    assert (last_day_of_books(engine, START), last_day_of_listings(engine, START)) == (DAY, DAY)
    tomorrow = START + timedelta(days=1)
    assert (last_day_of_books(engine, tomorrow), last_day_of_listings(engine, tomorrow)) == (DAY, DAY)
    # Without books of the last day those of today count, however long the coin is listed.
    later = START + timedelta(days=9)
    assert (last_day_of_books(engine, later), last_day_of_listings(engine, later)) == (later.date(), later.date() - timedelta(days=1))


def test_coins_first_listed_today_get_their_flags_today(engine: sa.Engine) -> None:
    put(engine, tables.INSTRUMENTS, instrument(valid_from=START))
    decision = {"instrument_id": PAIR, "as_of_date": DAY, "exchange": "xt", "symbol": "AAA/USDT", "reason": "-", "is_candidate": True}
    put(engine, tables.CANDIDATE_COINS, decision | {"cap_source": "unlinked", "market_cap_usd": None})
    assert write_flags(engine, last_day_of_listings(engine, START), START).rows["flag"].to_list() == ["no metadata"]


def test_books_and_capitalisations_that_are_no_numbers_are_unknown(engine: sa.Engine) -> None:
    put(engine, tables.INSTRUMENTS, instrument())
    collected(engine, (5.0, 1.0, math.nan))
    put(
        engine, tables.ORDER_BOOK_METRICS, book(5), book(3_700) | {"relative_spread": math.nan}, book(7_300) | {"relative_spread": math.inf}
    )
    decision = {"instrument_id": PAIR, "as_of_date": DAY, "exchange": "xt", "symbol": "AAA/USDT", "reason": "-", "is_candidate": True}
    put(engine, tables.CANDIDATE_COINS, decision | {"cap_source": "self-reported", "market_cap_usd": math.inf})
    (row,) = write_vulnerability(engine, DAY, NOW).rows.iter_rows(named=True)
    assert (row["book_count"], row["value_24h_usd"], row["market_cap_usd"]) == (1, None, None)
    assert write_flags(engine, DAY, NOW).rows.is_empty()
    put(engine, tables.CANDIDATE_COINS, decision | {"cap_source": "self-reported", "market_cap_usd": 1e20})
    assert write_flags(engine, DAY, NOW).rows["flag"].to_list() == ["self-reported cap"]
