"""The exchange and the quote currency a text means."""

from __future__ import annotations

import pytest

from pnd_dagster.events.exchanges import read_exchange
from pnd_dagster.events.pairs import find_pairs, read_quote


@pytest.mark.parametrize(
    ("text", "exchange"),
    [
        ("Exchange: Yobit", "yobit"),
        ("pump on Binance today", "binance"),
        ("Exchange : Hotbit\nnot on Binance this time", "hotbit"),
        ("Binance Binance Kucoin", "binance"),
        ("TRADE_URL(kucoin ABC/USDT)", "kucoin"),
        ("Binance, Kucoin, Huobi", None),
        ("our next pump is soon", None),
    ],
)
def test_the_exchange_meant_is_the_labelled_or_most_named_one(text: str, exchange: str | None) -> None:
    assert read_exchange(text) == exchange


@pytest.mark.parametrize(
    ("text", "symbol", "quote"),
    [
        ("ABC/BTC", "ABC", "BTC"),
        ("#ABC_USDT", "ABC", "USDT"),
        ("abc/eth now", "ABC", "ETH"),
        ("TRADE_URL(binance ABC/BNB)", "ABC", "BNB"),
        ("The coin is ABC. Pairing: BTC", "ABC", "BTC"),
        ("pump will be in USDT pair", None, "USDT"),
        ("The coin is ABC", "ABC", None),
    ],
)
def test_the_quote_is_read_from_the_pair_or_the_wording(text: str, symbol: str | None, quote: str | None) -> None:
    assert read_quote(text, symbol) == quote


def test_words_before_a_slash_are_no_pair() -> None:
    assert find_pairs("the coin will have /BTC pairing only") == []
