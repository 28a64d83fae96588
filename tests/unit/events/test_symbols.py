"""Which coin a text names, by evidence; the texts are made up."""

from __future__ import annotations

import time

import pytest

from pnd_dagster.events.symbols import load_known_symbols, read_symbol

KNOWN = frozenset({"NEBL", "NAS", "VIA", "SKY", "ORBX"})


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        pytest.param("The coin is: NEBL", "NEBL", id="the coin is"),
        pytest.param("Coin name\n\nNEBL", "NEBL", id="on the next line"),
        pytest.param("Coin to pump is: :gem_stone: QZKC :gem_stone:\nExchange: Yobit_CEX", "QZKC", id="between emoji, unlisted"),
        pytest.param("Selected coin: $XLPG", "XLPG", id="cash tag"),
        pytest.param("Today we pump :pushpin: #HCX :pushpin: buy and hold", "HCX", id="hash tag"),
        pytest.param("nas", "NAS", id="small print, alone, listed"),
        pytest.param("QWTX", "QWTX", id="alone, unlisted"),
        pytest.param("The coin is XT, buy it on XT.com_CEX", "XT", id="a coin that shares the exchange's name"),
        pytest.param(":BUY FCX", "FCX", id="buy X"),
        pytest.param("buy now\nTRADE_URL(binance NEBL/BTC)", "NEBL", id="trade link"),
        pytest.param("TRADE_URL(yobit BTC/PAX)", "PAX", id="a link in the exchange's own order"),
        pytest.param(":star: SOPX / USDT :star:", "SOPX", id="pair"),
        pytest.param(":star: KAL M/ USDT :star:", "KALM", id="pair torn apart"),
        pytest.param(":star: NBOT / U S DT :star:", "NBOT", id="quote torn apart"),
        pytest.param("Stealthy Coin (XSTY)\nbuy fast", "XSTY", id="name and symbol"),
        pytest.param("COIN ISMI :backhand_index_pointing_right: JOLT :backhand_index_pointing_left:", "JOLT", id="coin name, in Turkish"),
        pytest.param("The coin is VIA", "VIA", id="a word that is a coin, where the coin stands"),
        pytest.param("The coin we have picked to pump today is : #NAS\nNAS looks perfect", "NAS", id="long form"),
        pytest.param("Buy #ABCD, the last ones were #ABCD and #EFGH; TRADE_URL(kucoin ABCD/USDT)", "ABCD", id="the most evidence wins"),
    ],
)
def test_the_coin_is_read(text: str, symbol: str) -> None:
    reading = read_symbol(text, KNOWN)

    assert reading is not None
    assert reading.symbol == symbol
    assert 0 < reading.confidence <= 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hold",
        "READY",
        "LETS GO",
        "BTC",
        "$BTC",
        "prepare your USDT",
        "CONTRACT_ADDRESS",
        "UNKNOWN_URL",
        "Binance_CEX",
        "1 minute left until our pump on XT.com_CEX! The next post will be the coin",
        "pump on XT exchange_CEX in 2 minutes",
        "5 MINUTES LEFT",
        "Hold mode",
    ],
)
def test_commands_money_and_placeholders_are_no_coins(text: str) -> None:
    assert read_symbol(text, KNOWN) is None


def test_a_listed_symbol_is_a_bonus_and_not_a_filter() -> None:
    listed, unlisted = read_symbol("The coin is NEBL", KNOWN), read_symbol("The coin is QZKC", KNOWN)

    assert listed is not None
    assert unlisted is not None
    assert listed.confidence > unlisted.confidence


def test_a_rival_lowers_the_confidence() -> None:
    alone, rivalled = read_symbol("buy #ABCD", KNOWN), read_symbol("buy #ABCD or #EFGH", KNOWN)

    assert alone is not None
    assert rivalled is not None
    assert rivalled.confidence < alone.confidence


def test_the_packaged_symbols_hold_coins_and_no_leveraged_tokens() -> None:
    known = load_known_symbols()

    assert {"ETH", "XRP", "VIB"} <= known
    assert not {"BTC3L", "ETH3S"} & known


@pytest.mark.parametrize(
    "text",
    ["coin is " * 12_500, "coin " + ". " * 50_000, "#" * 100_000, "A" * 100_000, "(" * 100_000, "$A" * 50_000, "coin:" + " " * 100_000],
)
def test_a_text_of_100_kb_is_read_quickly(text: str) -> None:
    began = time.perf_counter()
    read_symbol(text, KNOWN)

    assert time.perf_counter() - began < 1.0
