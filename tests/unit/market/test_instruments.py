"""Listings come, go and come back; a broken answer delists nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.errors import SourceError, TransientError
from pnd_dagster.market import rest
from pnd_dagster.market.instruments import ListedMarket, refresh_exchanges, refresh_instruments
from pnd_dagster.settings import Settings
from pnd_dagster.storage import Written, read_frame
from pnd_dagster.tables import INSTRUMENTS

DAY = timedelta(days=1)
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def market(base: str, **changes: Any) -> ListedMarket:
    return ListedMarket(f"{base}-USDT", f"{base}/USDT", base, "USDT", base, "USDT")._replace(**changes)


def stored(engine: sa.Engine) -> pl.DataFrame:
    return read_frame(engine, sa.select(INSTRUMENTS).order_by(INSTRUMENTS.c.exchange, INSTRUMENTS.c.market_id, INSTRUMENTS.c.valid_from))


def listings(engine: sa.Engine) -> list[tuple[str, datetime, datetime | None]]:
    return stored(engine).select("base_symbol", "valid_from", "valid_to").rows()


def test_a_refresh_that_is_run_twice_changes_nothing(engine: sa.Engine) -> None:
    markets = [market("ABC", base_name="Abc Protocol"), market("XYZ")]
    assert refresh_instruments(engine, "kucoin", markets, NOON) == Written(2, 0, 0)
    before = stored(engine)
    assert refresh_instruments(engine, "kucoin", markets, NOON + DAY) == Written(0, 0, 2)
    assert stored(engine).equals(before)


def test_a_market_that_is_gone_is_kept_and_a_market_that_is_back_is_another_instrument(engine: sa.Engine) -> None:
    refresh_instruments(engine, "kucoin", [market("ABC"), market("XYZ")], NOON)
    refresh_instruments(engine, "kucoin", [market("ABC")], NOON + DAY)
    assert listings(engine) == [("ABC", NOON, None), ("XYZ", NOON, NOON + DAY)]
    refresh_instruments(engine, "kucoin", [market("ABC"), market("XYZ")], NOON + 2 * DAY)
    assert listings(engine) == [("ABC", NOON, None), ("XYZ", NOON, NOON + DAY), ("XYZ", NOON + 2 * DAY, None)]
    assert stored(engine)["instrument_id"].n_unique() == 3


def test_a_symbol_that_is_given_to_another_coin_is_another_instrument(engine: sa.Engine) -> None:
    refresh_instruments(engine, "latoken", [market("ABC", base_id="uuid-1"), market("XYZ")], NOON)
    refresh_instruments(engine, "latoken", [market("ABC", base_id="uuid-2"), market("XYZ")], NOON + DAY)
    assert listings(engine) == [("ABC", NOON, NOON + DAY), ("ABC", NOON + DAY, None), ("XYZ", NOON, None)]


def test_a_new_spelling_of_the_symbol_is_the_same_instrument(engine: sa.Engine) -> None:
    refresh_instruments(engine, "kucoin", [market("ABC")], NOON)
    refresh_instruments(engine, "kucoin", [market("ABC", symbol="ABCNEW/USDT")], NOON + DAY)
    assert stored(engine).select("symbol", "valid_from", "valid_to").rows() == [("ABCNEW/USDT", NOON, None)]


@pytest.mark.parametrize("left", [0, 4])
def test_a_list_that_is_suddenly_empty_or_short_is_an_error_and_delists_nothing(engine: sa.Engine, left: int) -> None:
    markets = [market(f"COIN{number}") for number in range(10)]
    refresh_instruments(engine, "xt", markets, NOON)
    with pytest.raises(SourceError, match=f"xt: lists {left} markets, 10 before"):
        refresh_instruments(engine, "xt", markets[:left], NOON + DAY)
    assert stored(engine)["valid_to"].null_count() == 10
    refresh_instruments(engine, "xt", markets[:5], NOON + DAY)
    assert stored(engine)["valid_to"].null_count() == 5


def test_what_one_exchange_lists_touches_no_other(engine: sa.Engine) -> None:
    refresh_instruments(engine, "xt", [market("ABC")], NOON)
    refresh_instruments(engine, "mexc", [market("XYZ")], NOON + DAY)
    assert listings(engine) == [("XYZ", NOON + DAY, None), ("ABC", NOON, None)]


def test_derivative_tokens_are_marked_with_the_coins_of_other_exchanges_known(engine: sa.Engine) -> None:
    refresh_instruments(engine, "xt", [market("ZORB")], NOON)
    refresh_instruments(engine, "mexc", [market("ZORB3L"), market("JUP"), market("BTCDOWN")], NOON)
    rows = stored(engine).filter(pl.col("exchange") == "mexc").select("base_symbol", "is_derivative", "derivative_of").rows()
    assert rows == [("BTCDOWN", True, "BTC"), ("JUP", False, None), ("ZORB3L", True, "ZORB")]


def test_a_name_that_an_answer_leaves_out_once_is_not_forgotten(engine: sa.Engine) -> None:
    refresh_instruments(engine, "kucoin", [market("ABC", base_name="Abc Protocol", contract_address="0xabc")], NOON)
    refresh_instruments(engine, "kucoin", [market("ABC")], NOON + DAY)
    assert stored(engine).select("base_name", "contract_address").rows() == [("Abc Protocol", "0xabc")]


def test_the_real_clients_give_names_contracts_ids_and_increments(exchanges: Any, engine: sa.Engine, settings: Settings) -> None:
    exchanges.markets = {exchange: ["ABC", "XYZ", "ABC3L"] for exchange in settings.exchanges}
    exchanges.names = {"ABC": "Abc Protocol"}
    exchanges.contracts = {"ABC": "0x00000000000000000000000000000000000000AB"}
    refreshed = refresh_exchanges(engine, settings.model_copy(update={"exchange_url": exchanges.url}), NOON)
    assert refreshed.errors == {}
    assert {exchange: written.inserted for exchange, written in refreshed.written.items()} == dict.fromkeys(settings.exchanges, 3)
    abc = stored(engine).filter(pl.col("base_symbol") == "ABC").rows_by_key("exchange", named=True, unique=True)
    assert {exchange: row["market_id"] for exchange, row in abc.items() if exchange != "latoken"} == {
        "kucoin": "ABC-USDT",
        "mexc": "ABCUSDT",
        "poloniex": "ABC_USDT",
        "xt": "abc_usdt",
    }
    assert abc["latoken"]["base_id"] == exchanges.id_of("ABC")
    assert {row["symbol"] for row in abc.values()} == {"ABC/USDT"}
    assert {row["base_name"] for row in abc.values()} == {"Abc Protocol"}
    # XT and LATOKEN publish no contracts.
    with_contract = {exchange for exchange, row in abc.items() if row["contract_address"] == "0x00000000000000000000000000000000000000ab"}
    assert with_contract == {"kucoin", "mexc", "poloniex"}
    assert {(row["price_increment"], row["amount_increment"]) for row in abc.values()} == {(0.0001, 0.01)}
    assert stored(engine).filter("is_derivative")["base_symbol"].to_list() == ["ABC3L"] * 5


def test_an_exchange_that_fails_stops_no_other_and_is_reported(
    exchanges: Any, refusal: Any, engine: sa.Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "FIRST_PAUSE_SECONDS", 0.01)
    exchanges.markets = {"kucoin": ["ABC"], "xt": ["ABC"], "poloniex": []}
    exchanges.refusals = [refusal("/xt/", 503)]
    configured = settings.model_copy(update={"exchange_url": exchanges.url, "exchanges": ["kucoin", "xt", "poloniex"]})
    said: list[str] = []
    refreshed = refresh_exchanges(engine, configured, NOON, on_progress=said.append)
    assert refreshed.written == {"kucoin": Written(1, 0, 0)}
    assert set(refreshed.errors) == {"xt", "poloniex"}
    assert "503" in refreshed.errors["xt"]
    assert len(said) == 3
    exchanges.refusals = [refusal("", 503)]
    with pytest.raises(TransientError, match="no exchange gave its markets"):
        refresh_exchanges(engine, configured, NOON)


def test_two_markets_of_one_symbol_are_two_instruments(exchanges: Any, engine: sa.Engine, settings: Settings) -> None:
    # ccxt keeps one market of each symbol; LATOKEN's are told apart by their ids.
    exchanges.markets = {"latoken": ["ABC", "abc"]}
    refresh_exchanges(engine, settings.model_copy(update={"exchange_url": exchanges.url, "exchanges": ["latoken"]}), NOON)
    assert stored(engine).select("symbol", "base_symbol").rows() == [("ABC/USDT", "ABC")] * 2
