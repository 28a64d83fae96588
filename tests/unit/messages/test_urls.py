"""Trade links keep exchange and pair in whatever shape they come; other URLs tell nothing."""

from __future__ import annotations

import pytest

from pnd_dagster.messages.normalise import normalise
from pnd_dagster.messages.urls import TradeUrl, parse_trade_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://www.binance.com/en/trade/ABC_BTC", ("binance", "ABC", "BTC")),
        ("https://www.binance.com/en/trade/pro/ABC_BTC?layout=pro", ("binance", "ABC", "BTC")),
        ("https://www.binance.com/indexSpa.html#/trade/index?symbol=ABC_BTC", ("binance", "ABC", "BTC")),
        ("https://www.binance.com/trade.html?symbol=ABC_BTC", ("binance", "ABC", "BTC")),
        ("https://www.binance.com/en/futures/ABCUSDT", ("binance", "ABC", "USDT")),
        ("https://www.binance.com/en/futures/ABC_USDT", ("binance", "ABC", "USDT")),
        ("https://yobit.net/en/trade/ABC/BTC", ("yobit", "ABC", "BTC")),
        ("https://yobit.io/en/trade/ABC/BTC#12H", ("yobit", "ABC", "BTC")),
        ("https://www.cryptopia.co.nz/Exchange/?market=ABC_BTC", ("cryptopia", "ABC", "BTC")),
        ("https://bittrex.com/Market/Index?MarketName=BTC-ABC", ("bittrex", "ABC", "BTC")),
        ("https://upbit.com/exchange?code=CRIX.UPBIT.BTC-ABC", ("upbit", "ABC", "BTC")),
        ("https://app.stex.com/en/basic-trade/pair/BTC/ABC/1D", ("stex", "ABC", "BTC")),
        ("https://www.hotbit.io/exchange?symbol=ABC_USDT", ("hotbit", "ABC", "USDT")),
        ("https://trade.kucoin.com/ABC-USDT", ("kucoin", "ABC", "USDT")),
        ("https://www.kucoin.com/trade/ABC-USDT?rcode=x", ("kucoin", "ABC", "USDT")),
        ("https://crex24.com/pt/exchange/ABC-BTC", ("crex24", "ABC", "BTC")),
        ("https://hitbtc.com/ABC-to-BTC", ("hitbtc", "ABC", "BTC")),
        ("https://poloniex.com/exchange#btc_abc", ("poloniex", "ABC", "BTC")),
        ("https://www.mexc.com/exchange/ABC_USDT", ("mexc", "ABC", "USDT")),
        ("https://www.binance.com/en/trade/ETH_BTC", ("binance", "ETH", "BTC")),
        ("https://exchange.example/trade/ABC_BTC", (None, "ABC", "BTC")),
        ("www.gate.io/trade/abc_usdt", ("gate.io", "ABC", "USDT")),
    ],
)
def test_trade_links_of_every_shape_are_read(url: str, expected: tuple[str | None, str, str]) -> None:
    assert parse_trade_url(url) == TradeUrl(*expected)


@pytest.mark.parametrize(
    "url",
    [
        "https://www.binance.com/en/support/articles/e228be4662de47fe",
        "https://support.binance.com/hc/en-us/articles/trade/ABC_BTC",
        "https://www.binance.com/en/register?ref=12345",
        "https://yobit.net/?bonus=KBktF",
        "https://yobit.net",
        "https://bit.ly/2ABCDEF",
        "https://t.me/joinchat/AAAA",
        "https://news.example/2021/03/btc-usd-outlook",
        "not a url",
        "",
    ],
)
def test_other_links_are_no_trade_links(url: str) -> None:
    assert parse_trade_url(url) is None


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("now: https://www.binance.com/en/trade/ABC_BTC!", "now: TRADE_URL(binance ABC/BTC) !"),
        ("https://yobit.net/?bonus=abc", "EXCHANGE_URL(yobit)"),
        ("www.kucoin.com", "EXCHANGE_URL(kucoin)"),
        ("join t.me/somechannel", "join UNKNOWN_URL"),
        ("https://www.binance.com/en/support/articles/1", "UNKNOWN_URL"),
        ("https://poocoin.app/tokens/0x52908400098527886E0F7030069857D2E4169EE7", "TOKEN_URL(poocoin)"),
        ("[here](https://bit.ly/x)", "[here](UNKNOWN_URL )"),
        ("Gate.io/Kucoin", "Gate.io_CEX/Kucoin_CEX"),
        ("0.5/0.6 and and/or", "0.5/0.6 and and/or"),
    ],
)
def test_urls_become_placeholders(raw: str, plain: str) -> None:
    assert normalise(raw).replace("( ", "(") == plain
