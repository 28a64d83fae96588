"""Reading vendors' objects: what is absent, what cannot be, and what has changed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pnd_dagster.errors import SourceError
from pnd_dagster.snapshots.fields import Field, count, identifier, number, read_rows, text, timestamp
from pnd_dagster.storage.dead_letters import clean_text, dead_letters, json_text
from pnd_dagster.tables import DEAD_LETTERS, conform

FIELDS = (
    Field("coin_id", ("id",), identifier, "identity"),
    Field("cap", ("quote", "cap"), number(), "essential"),
    Field("likes", ("likes",), count()),
    Field("rumours", ("rumours",), count(), "undocumented"),
    Field("platform", ("platform", "name"), text),
)


def coin(number_: int = 1, **changes: Any) -> dict[str, Any]:
    return {"id": number_, "quote": {"cap": 5.5}, "likes": 3, "platform": {"name": "Ethereum"}, **changes}


def only(item: Any) -> dict[str, Any]:
    """The row of `item` beside a good one, without its payload."""
    rows = read_rows("Vendor list", [item, coin(99)], FIELDS).rows
    return {name: value for name, value in rows[0].items() if name != "payload"} if len(rows) == 2 else {}


def test_absent_and_null_become_null_and_zero_stays_zero() -> None:
    assert only(coin(quote={"cap": None}, platform=None)) == {"coin_id": 1, "cap": None, "likes": 3, "rumours": None, "platform": None}
    assert only(coin(quote={"cap": 0}, likes=0))["cap"] == 0.0
    assert only(coin(likes=0))["likes"] == 0


def test_numbers_as_text_are_numbers() -> None:
    assert only(coin(quote={"cap": "1.5e6"}, likes="7")) == {
        "coin_id": 1,
        "cap": 1.5e6,
        "likes": 7,
        "rumours": None,
        "platform": "Ethereum",
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, 1e16, "n/a", "", True, [], {"usd": 1}, "nan"])
def test_a_capitalisation_that_cannot_be_refuses_the_coin_with_the_reason(value: Any) -> None:
    rows = read_rows("Vendor list", [coin(7, quote={"cap": value}), coin(8)], FIELDS)
    assert [row["coin_id"] for row in rows.rows] == [8]
    assert rows.refusals[0].location == "Vendor list 7"
    assert rows.refusals[0].reason.startswith("quote.cap is ")


@pytest.mark.parametrize("value", [float("nan"), -1, "many", True, [], 10**400, 2**70])
def test_a_lesser_value_that_cannot_be_becomes_null_and_is_counted(value: Any) -> None:
    rows = read_rows("Vendor list", [coin(likes=value), coin(2)], FIELDS)
    assert [row["likes"] for row in rows.rows] == [None, 3]
    assert rows.unread == {"likes": 1}


def test_a_field_that_not_all_coins_have_is_counted_where_it_lacks() -> None:
    lacking = coin()
    del lacking["likes"]
    assert read_rows("Vendor list", [lacking, coin(2)], FIELDS).unread == {"likes": 1}
    assert read_rows("Vendor list", [coin(rumours=4), coin(2)], FIELDS).unread == {}


@pytest.mark.parametrize("bad", [None, 0, -3, 1.5, "abc", True, "", [1], 2**63])
def test_a_coin_without_a_usable_id_is_refused(bad: Any) -> None:
    rows = read_rows("Vendor list", [coin(id=bad), coin(2)], FIELDS)
    assert len(rows.rows) == len(rows.refusals) == 1


@pytest.mark.parametrize("item", [None, 1, "coin", [], [[1]]])
def test_what_is_no_object_is_refused(item: Any) -> None:
    rows = read_rows("Vendor list", [item, coin()], FIELDS)
    assert [one.reason for one in rows.refusals] == ["is no object"]


@pytest.mark.parametrize("path", [("id",), ("quote", "cap")])
def test_a_field_that_all_need_and_none_has_is_a_change_of_the_vendor(path: tuple[str, ...]) -> None:
    coins = [coin(number_) for number_ in range(1, 4)]
    for one in coins:
        holder = one if len(path) == 1 else one[path[0]]
        holder["renamed"] = holder.pop(path[-1])
    with pytest.raises(SourceError, match=rf"^Vendor list: no row has the field {'.'.join(path)}; has the API changed\?"):
        read_rows("Vendor list", coins, FIELDS)


def test_a_field_whose_type_changed_for_all_stops_the_run_and_is_named() -> None:
    with pytest.raises(SourceError, match=r"none of 2 rows can be read .quote.cap is no number but dict"):
        read_rows("Vendor list", [coin(1, quote={"cap": {"usd": 1}}), coin(2, quote={"cap": {"usd": 1}})], FIELDS)


def test_a_field_that_is_null_for_all_is_no_change() -> None:
    assert len(read_rows("Vendor list", [coin(1, quote={"cap": None})], FIELDS).rows) == 1


def test_no_rows_are_no_error_here() -> None:
    assert read_rows("Vendor list", [], FIELDS) == ([], [], {})


@pytest.mark.parametrize("value", ["2024-02-30", "yesterday", 5, None, "", "9999-99-99T00:00:00Z"])
def test_what_is_no_time_is_none(value: Any) -> None:
    with pytest.raises(ValueError, match="is no time"):
        timestamp(value)


def test_times_are_in_utc() -> None:
    assert timestamp("2013-04-28T00:00:00.000Z") == timestamp("2013-04-28T02:00:00+02:00") == timestamp("2013-04-28T00:00:00")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=())), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_whatever_a_vendor_sends_is_kept_as_json_that_postgres_takes(value: Any) -> None:
    kept = json_text(value)
    kept.encode()
    assert "\x00" not in str(json.loads(kept, parse_constant=lambda name: pytest.fail(f"{name} is no JSON")))


@given(st.lists(json_values, max_size=3))
def test_no_object_breaks_the_reading(items: list[Any]) -> None:
    rows = read_rows("Vendor list", [*items, coin(1)], FIELDS)
    assert len(rows.rows) + len(rows.refusals) == len(items) + 1
    conform(dead_letters("vendor", rows.refusals, refused_at=timestamp("2024-01-01")), DEAD_LETTERS)


def test_text_is_cleaned_and_bounded() -> None:
    assert text("  a\n b\x00 ") == "a b\ufffd"
    assert clean_text("\ud83d\ude80 \ud83d") == "🚀 \ufffd"
    assert len(text("x" * 9_999) or "") == 500
    assert text(" ") is None


def test_long_refusals_are_cut_and_equal_ones_are_one() -> None:
    rows = read_rows("Vendor list", [coin(id=0, note='"\\' * 20_000), coin(id=0), coin(2)], FIELDS)
    letters = dead_letters("vendor", rows.refusals, refused_at=timestamp("2024-01-01"))
    assert letters.height == 1
    assert len(letters["payload"][0]) <= 10_000
    json.loads(letters["payload"][0])
