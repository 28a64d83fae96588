"""CoinCodex's daily history, read by the real client from the simulated vendor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.errors import QuotaExhaustedError, SourceError, TransientError
from pnd_dagster.settings import Settings
from pnd_dagster.simulator.universe import Universe
from pnd_dagster.simulator.vendors import VendorServer, rename_field, serve_vendors
from pnd_dagster.snapshots import coincodex
from pnd_dagster.snapshots.coincodex import MAX_SPAN_DAYS, Coin, Span, collect_coincodex, parse_coins, parse_history, spans
from pnd_dagster.snapshots.quotas import used
from pnd_dagster.storage import count_rows, read_frame, upsert
from pnd_dagster.tables import COINCODEX_DAILY, DEAD_LETTERS, INSTRUMENTS

NOW = datetime(2026, 3, 11, 6, tzinfo=UTC)
WINDOW = (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 11, tzinfo=UTC))
DAYS = {date(2026, 3, day) for day in range(1, 11)}
COIN = Coin("abc-coin", "ABC-2", "ABC", "Abc Coin")


@pytest.fixture
def vendors(universe: Universe, monkeypatch: pytest.MonkeyPatch) -> Iterator[VendorServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve_vendors(universe, clock=lambda: NOW) as server:
        yield server


@pytest.fixture
def symbols(universe: Universe) -> list[str]:
    """Four symbols that no other coin has and one that two coins share."""
    counts = pl.Series([coin.symbol for coin in universe.coins if not coin.is_leveraged]).value_counts(name="coins")
    unique = counts.filter(pl.col("coins") == 1)[:, 0].sort()
    shared = counts.filter(pl.col("coins") == 2)[:, 0].sort()
    return [*unique[:4], shared[0]]


def daily(engine: sa.Engine) -> pl.DataFrame:
    return read_frame(engine, sa.select(COINCODEX_DAILY)).sort("coin_id", "day")


def asked(vendors: VendorServer) -> list[str]:
    return [request.partition("get_coin_history/")[2] for request in vendors.requests if "get_coin_history" in request]


def at(day: int, hour: int, minute: int = 0) -> int:
    return int(datetime(2026, 3, day, hour, minute, tzinfo=UTC).timestamp())


def history(*points: Any, key: str = "ABC-2") -> dict[str, Any]:
    return {key: list(points)}


def test_each_days_last_point_counts_and_all_of_its_points_are_kept() -> None:
    body = history([at(1, 18), 3.0, 30.0, 300.0], [at(1, 6), 2.0, 20.0, 200.0], [at(2, 23, 59), 4.0, 40.0, None])
    parsed = parse_history(body, COIN, DAYS, NOW)
    rows = [{name: value for name, value in row.items() if name != "payload"} for row in parsed.frame.iter_rows(named=True)]
    same = {"coin_id": "abc-coin", "symbol": "ABC", "name": "Abc Coin", "ingested_at": NOW}
    assert rows == [
        {**same, "day": date(2026, 3, 1), "price_usd": 3.0, "market_cap_usd": 300.0, "volume_usd": 30.0},
        {**same, "day": date(2026, 3, 2), "price_usd": 4.0, "market_cap_usd": None, "volume_usd": 40.0},
    ]
    assert json.loads(parsed.frame["payload"][0]) == [[at(1, 6), 2.0, 20.0, 200.0], [at(1, 18), 3.0, 30.0, 300.0]]


def test_days_that_were_not_asked_for_are_left_out() -> None:
    body = history([at(1, 6), 2.0, 20.0, 200.0], [at(12, 6), 2.0, 20.0, 200.0])
    assert parse_history(body, COIN, {date(2026, 3, 1)}, NOW).frame["day"].to_list() == [date(2026, 3, 1)]


def test_zero_is_zero_and_absent_is_null() -> None:
    frame = parse_history(history([at(1, 6), 0, 0, 0], [at(2, 6), 1.0, None, None]), COIN, DAYS, NOW).frame
    assert frame.select("price_usd", "volume_usd", "market_cap_usd").rows() == [(0.0, 0.0, 0.0), (1.0, None, None)]


@pytest.mark.parametrize(
    "bad", [[at(1, 20), -1.0, 1.0, 1.0], [at(1, 20), float("nan"), 1, 1], [at(1, 20), 1.0, 1.0, 1e17], [None, 1, 1, 1], "x"]
)
def test_a_point_that_cannot_be_is_refused_and_the_day_has_the_one_before(bad: Any) -> None:
    parsed = parse_history(history([at(1, 6), 2.0, 20.0, 200.0], bad), COIN, DAYS, NOW)
    assert parsed.frame["price_usd"].to_list() == [2.0]
    assert len(parsed.refusals) == 1


@pytest.mark.parametrize("body", [None, [], {"ABC-2": {"prices": []}}, {"ABC-2": None}, "text"])
def test_an_answer_that_is_no_history_is_named(body: Any) -> None:
    with pytest.raises(SourceError, match=r"CoinCodex get_coin_history abc-coin: .*has the API changed\?"):
        parse_history(body, COIN, DAYS, NOW)


@pytest.mark.parametrize(
    "points",
    [
        [[at(1, 6) * 1000, 2.0, 20.0, 200.0]],
        [[at(1, 6), 2.0, 20.0]],
        [{"t": at(1, 6), "p": 2.0}],
        [[at(1, 6), {"usd": 2.0}, 20.0, 200.0]],
        [[5, 2.0, 20.0, 200.0]],
    ],
)
def test_points_of_another_shape_or_unit_are_a_change_of_the_vendor(points: list[Any]) -> None:
    with pytest.raises(SourceError, match=r"has the API changed\?"):
        parse_history(history(*points), COIN, DAYS, NOW)


def test_a_coin_without_history_gives_no_rows_and_no_error() -> None:
    assert parse_history({"ABC-2": []}, COIN, DAYS, NOW).frame.is_empty()
    assert parse_history({}, COIN, DAYS, NOW).frame.is_empty()


def test_coins_are_told_apart_by_short_name_and_own_symbol() -> None:
    coins, refusals = parse_coins(
        [
            {"symbol": "ABC", "display_symbol": "ABC", "name": "Abc", "shortname": "abc"},
            {"symbol": "ABC-2", "display_symbol": "ABC", "name": "Abc Coin", "shortname": "abc-coin"},
            {"symbol": "X", "display_symbol": "X", "name": "X", "shortname": ""},
        ]
    )
    assert coins == [Coin("abc", "ABC", "ABC", "Abc"), COIN]
    assert [one.reason for one in refusals] == ["shortname is empty"]


def test_missing_days_are_asked_in_as_few_spans_as_fit_into_an_answer() -> None:
    first = date(2024, 1, 1)
    year = {first + timedelta(days=number) for number in range(366)}
    found = list(spans(year))
    assert [span.days for span in found] == [120, 120, 120, 6]
    assert {day for span in found for day in (span.first + timedelta(days=number) for number in range(span.days))} == year
    assert list(spans({first})) == [Span(first, first)]
    ends = {first, first + timedelta(days=3 * MAX_SPAN_DAYS)}
    assert len(list(spans(ends))) == 2, "what lies between needs no request"


def test_the_history_of_the_window_is_stored_for_namesakes_too(
    engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer, symbols: list[str]
) -> None:
    progress: list[str] = []
    collected = collect_coincodex(engine, vendor_settings, WINDOW, progress.append, symbols=symbols, now=NOW)
    rows = daily(engine)
    assert rows["coin_id"].n_unique() == collected.coins == 6
    assert set(rows["day"]) == DAYS
    assert collected.written.inserted == rows.height == 60
    assert len(asked(vendors)) == 6
    assert collected.requests == 7 == used(engine, "coincodex", datetime.now(UTC).date()).requests
    assert progress == ["CoinCodex: 6 of 6 coins, 60 days new, 0 refused"]
    assert (rows["price_usd"] > 0).all()
    moves = rows.group_by("coin_id").agg((pl.col("price_usd").max() / pl.col("price_usd").min()).alias("range"))["range"]
    assert 1.0 < moves.min() < moves.max() < 2.0  # type: ignore[operator]


def test_what_is_there_is_not_asked_again_and_what_is_missing_is(
    engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer, symbols: list[str]
) -> None:
    collect_coincodex(engine, vendor_settings, WINDOW, symbols=symbols[:2], now=NOW)
    vendors.requests.clear()
    again = collect_coincodex(engine, vendor_settings, WINDOW, symbols=symbols[:2], now=NOW)
    assert (asked(vendors), again.written) == ([], (0, 0, 0, 0))
    gap = sa.delete(COINCODEX_DAILY).where(COINCODEX_DAILY.c.day.in_([date(2026, 3, 4), date(2026, 3, 6)]))
    with engine.begin() as connection:
        connection.execute(gap.where(COINCODEX_DAILY.c.symbol == symbols[0]))
    healed = collect_coincodex(engine, vendor_settings, WINDOW, symbols=symbols[:2], now=NOW + timedelta(hours=1))
    assert [request.split("/")[1:3] for request in asked(vendors)] == [["2026-03-04", "2026-03-06"]]
    assert (healed.written.inserted, healed.written.updated) == (2, 0)
    assert set(daily(engine)["day"]) == DAYS


def test_days_that_have_not_ended_are_left_out(engine: sa.Engine, vendor_settings: Settings, symbols: list[str]) -> None:
    window = (datetime(2026, 3, 9, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
    collect_coincodex(engine, vendor_settings, window, symbols=symbols[:1], now=NOW)
    assert daily(engine)["day"].to_list() == [date(2026, 3, 9), date(2026, 3, 10)]
    today = (datetime(2026, 3, 11, tzinfo=UTC), datetime(2026, 3, 12, tzinfo=UTC))
    assert collect_coincodex(engine, vendor_settings, today, symbols=symbols[:1], now=NOW).requests == 0


def test_a_run_that_breaks_off_keeps_what_it_has_and_goes_on_where_it_was(
    engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer, symbols: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coincodex, "COINS_PER_WRITE", 2)
    answered: list[int] = []

    def refuse_the_fourth(body: Any) -> Any:
        answered.append(1)
        if len(answered) == 4:
            vendors.faults.inject("coincodex", "402")
        return body

    vendors.faults.change("coincodex", refuse_the_fourth)
    progress: list[str] = []
    with pytest.raises(QuotaExhaustedError):
        collect_coincodex(engine, vendor_settings, WINDOW, progress.append, symbols=symbols, now=NOW)
    assert count_rows(engine, COINCODEX_DAILY) == 30, "a whole batch of two coins and the one that came after"
    assert len(progress) == 1
    vendors.faults.change("coincodex", None)
    before = len(asked(vendors))
    collect_coincodex(engine, vendor_settings, WINDOW, symbols=symbols, now=NOW)
    assert count_rows(engine, COINCODEX_DAILY) == 60
    assert len(asked(vendors)) - before == 3


def test_one_coin_that_fails_is_a_dead_letter_and_the_others_go_on(
    engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer, symbols: list[str], sleeps: list[float]
) -> None:
    seen: list[int] = []

    def sabotage(body: Any) -> Any:
        seen.append(1)
        if len(seen) == 3:
            vendors.faults.inject("coincodex", "404")
        if len(seen) == 4:
            vendors.faults.inject("coincodex", "500", times=5)
        return body

    vendors.faults.change("coincodex", sabotage)
    collected = collect_coincodex(engine, vendor_settings, WINDOW, symbols=symbols, now=NOW, sleep=sleeps.append)
    assert (collected.coins, collected.refused) == (4, 2)
    reasons = read_frame(engine, sa.select(DEAD_LETTERS))["reason"].to_list()
    assert {reason.partition("HTTP ")[2][:3] for reason in reasons} == {"404", "500"}


def test_when_no_coin_answers_any_more_the_run_ends(
    engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer, symbols: list[str], sleeps: list[float]
) -> None:
    def sabotage(body: Any) -> Any:
        vendors.faults.inject("coincodex", "503", times=99)
        return body

    vendors.faults.change("coincodex", sabotage)
    with pytest.raises(TransientError, match="HTTP 503"):
        collect_coincodex(engine, vendor_settings, WINDOW, symbols=symbols, now=NOW, sleep=sleeps.append)
    assert len(asked(vendors)) == coincodex.MAX_FAILURES_IN_A_ROW * 5


def test_a_history_that_changed_for_all_ends_the_run_with_the_field(
    engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer, symbols: list[str]
) -> None:
    def without_caps(body: Any) -> Any:
        return {key: [point[:3] for point in points] for key, points in body.items()} if isinstance(body, dict) else body

    vendors.faults.change("coincodex", without_caps)
    with pytest.raises(SourceError, match=r"no row has the field market_cap; has the API changed\?"):
        collect_coincodex(engine, vendor_settings, WINDOW, symbols=symbols, now=NOW)
    assert count_rows(engine, COINCODEX_DAILY) == 0


@pytest.mark.parametrize("field", ["symbol", "display_symbol", "shortname"])
def test_a_changed_field_of_the_coin_list_ends_the_run_with_its_name(
    engine: sa.Engine, vendor_settings: Settings, vendors: VendorServer, field: str
) -> None:
    vendors.faults.change("coincodex", rename_field(field, "renamed"))
    with pytest.raises(SourceError, match=rf"CoinCodex all_coins: no row has the field {field}; has the API changed\?"):
        collect_coincodex(engine, vendor_settings, WINDOW, symbols=["BTC"], now=NOW)


def test_the_coins_of_instruments_are_asked_for_and_derivatives_are_not(
    engine: sa.Engine, vendor_settings: Settings, symbols: list[str]
) -> None:
    with pytest.raises(SourceError, match="refresh the instruments first"):
        collect_coincodex(engine, vendor_settings, WINDOW, now=NOW)
    upsert(engine, INSTRUMENTS, pl.DataFrame([instrument(1, symbols[0]), instrument(2, symbols[1], is_derivative=True)]))
    collect_coincodex(engine, vendor_settings, WINDOW, now=NOW)
    assert set(daily(engine)["symbol"]) == {symbols[0]}


def instrument(number: int, base: str, *, is_derivative: bool = False) -> dict[str, Any]:
    return {
        "instrument_id": number,
        "exchange": "mexc",
        "market_id": f"{base}USDT",
        "symbol": f"{base}/USDT",
        "base_symbol": base,
        "quote_symbol": "USDT",
        "base_id": base,
        "quote_id": "USDT",
        "is_derivative": is_derivative,
        "valid_from": NOW,
    }
