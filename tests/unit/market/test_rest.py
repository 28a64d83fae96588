"""ccxt clients are set up for spot markets, always closed, asked again where that may help, and fail in our terms."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from typing import Any

import pytest

from pnd_dagster.errors import SettingError, SourceError, TransientError
from pnd_dagster.market import rest
from pnd_dagster.market.feeds.protocol import BUY, SELL


def asked(exchanges: Any, exchange: str, method: str, *arguments: Any, **parameters: Any) -> Any:
    async def ask() -> Any:
        async with rest.open_client(exchange, url=exchanges.url) as client:
            return await rest.ask(client, method, *arguments, **parameters)

    return asyncio.run(ask())


@pytest.mark.parametrize("exchange", ["kucoin", "mexc", "poloniex", "xt", "latoken"])
def test_each_client_reads_its_spot_markets_and_nothing_else(exchanges: Any, exchange: str) -> None:
    exchanges.markets = {exchange: ["ABC", "XYZ"]}
    assert set(asked(exchanges, exchange, "load_markets")) == {"ABC/USDT", "XYZ/USDT"}
    # LATOKEN's markets are made of currency ids, so their list is needed as well.
    assert len(exchanges.requests) == (2 if exchange == "latoken" else 1)


def test_every_origin_is_replaced_and_every_path_kept() -> None:
    addresses = {
        "spot": {"public": "https://api.mexc.com/api/v3"},
        "ws": "wss://wbs.mexc.com/ws",
        "plain": "https://www.mexc.com",
        "none": None,
    }
    assert rest.rebase(addresses, "http://127.0.0.1:9/mexc") == {
        "spot": {"public": "http://127.0.0.1:9/mexc/api/v3"},
        "ws": "ws://127.0.0.1:9/mexc/ws",
        "plain": "http://127.0.0.1:9/mexc",
        "none": None,
    }


def test_clients_keep_their_exchanges_limits() -> None:
    async def limits() -> dict[str, tuple[bool, float]]:
        found: dict[str, tuple[bool, float]] = {}
        for exchange in ("latoken", "mexc"):
            async with rest.open_client(exchange) as client:
                found[exchange] = (client.enableRateLimit, client.rateLimit)
        return found

    assert asyncio.run(limits()) == {"latoken": (True, 1000), "mexc": (True, 50)}


def test_an_unknown_exchange_is_a_wrong_setting() -> None:
    async def opened() -> None:
        async with rest.open_client("nowhere"):
            pass

    with pytest.raises(SettingError, match="PND_EXCHANGES: ccxt knows no exchange 'nowhere'"):
        asyncio.run(opened())


def test_the_session_is_closed_when_the_caller_fails(exchanges: Any) -> None:
    exchanges.markets = {"kucoin": ["ABC"]}
    clients: list[Any] = []

    async def fails() -> None:
        async with rest.open_client("kucoin", url=exchanges.url) as client:
            clients.append(client)
            await rest.ask(client, "load_markets")
            assert not client.session.closed
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        asyncio.run(fails())
    assert clients[0].session is None or clients[0].session.closed


def test_a_refusal_for_a_moment_is_waited_out_as_the_exchange_asks(exchanges: Any, refusal: Any) -> None:
    exchanges.refusals = [
        refusal("/timestamp", 429, times=1, headers={"Retry-After": "1"}, body='{"code":"429000","msg":"Too Many Requests"}')
    ]
    start = time.monotonic()
    assert asked(exchanges, "kucoin", "fetch_time") == 1_700_000_000_123
    assert time.monotonic() - start >= 1.0
    assert len(exchanges.asked("/timestamp")) == 2


@pytest.mark.parametrize("status", [429, 500, 503, 408])
def test_what_may_pass_is_transient_and_asked_again_a_bounded_number_of_times(
    exchanges: Any, refusal: Any, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "FIRST_PAUSE_SECONDS", 0.01)
    exchanges.refusals = [refusal("/timestamp", status)]
    with pytest.raises(TransientError, match=r"^kucoin: "):
        asked(exchanges, "kucoin", "fetch_time")
    assert len(exchanges.asked("/timestamp")) == rest.MAX_ATTEMPTS


@pytest.mark.parametrize("status", [400, 401, 403, 404, 451])
def test_what_will_not_pass_is_not_asked_again(exchanges: Any, refusal: Any, status: int) -> None:
    exchanges.refusals = [refusal("/timestamp", status, body="<html>no</html>")]
    with pytest.raises(SourceError, match=r"^kucoin: "):
        asked(exchanges, "kucoin", "fetch_time")
    assert len(exchanges.asked("/timestamp")) == 1


def test_a_long_pause_is_left_to_the_caller_who_learns_its_length(exchanges: Any, refusal: Any) -> None:
    for header in ("600", formatdate(time.time() + 600, usegmt=True)):
        exchanges.refusals = [refusal("/timestamp", 429, headers={"Retry-After": header})]
        exchanges.requests.clear()
        with pytest.raises(TransientError) as raised:
            asked(exchanges, "kucoin", "fetch_time")
        assert raised.value.retry_after_seconds == pytest.approx(600, abs=5)
        assert len(exchanges.requests) == 1


def test_an_exchange_that_is_not_there_is_transient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "FIRST_PAUSE_SECONDS", 0.01)

    async def ask() -> None:
        async with rest.open_client("xt", url="http://127.0.0.1:1") as client:
            await rest.ask(client, "fetch_time")

    with pytest.raises(TransientError, match=r"^xt: "):
        asyncio.run(ask())


def test_an_unknown_symbol_and_an_answer_of_another_shape_are_source_errors(exchanges: Any, refusal: Any) -> None:
    exchanges.markets = {"kucoin": ["ABC"]}
    with pytest.raises(SourceError, match="kucoin: BadSymbol: does not have market symbol NO/USDT"):
        asked(exchanges, "kucoin", "fetch_order_book", "NO/USDT")
    for body in ('{"code":"200000","data":[{"symbol":"ABC"}]}', "not JSON at all"):
        exchanges.refusals = [refusal("/api/v2/symbols", 200, body=body)]
        with pytest.raises(SourceError, match=r"^kucoin: "):
            asked(exchanges, "kucoin", "fetch_order_book", "ABC/USDT")


def test_books_trades_and_the_clock_come_as_numbers(exchanges: Any) -> None:
    exchanges.markets = {"kucoin": ["ABC"], "latoken": ["ABC"]}
    exchanges.trades = {
        "ABC": [(2_000, "0.5", "10", "sell"), (1_000, "0.4", "5", "buy"), (3_000, "-1", "5", "buy"), (4_000, "NaN", "5", "buy")]
    }

    async def read() -> tuple[Any, float, list[rest.PublicTrade]]:
        async with rest.open_client("kucoin", url=exchanges.url) as kucoin, rest.open_client("latoken", url=exchanges.url) as latoken:
            book, clock = await rest.first_book(kucoin, "ABC/USDT"), await rest.server_time(kucoin)
            return book, clock, await rest.recent_trades(latoken, "ABC/USDT")

    book, clock, trades = asyncio.run(read())
    assert book == ([(1.0, 5.0), (0.9, 6.0)], [(1.1, 7.0)])
    assert clock == 1_700_000_000.123
    # In time order, the negative price and the NaN left out.
    assert [(trade.at, trade.price, trade.quantity, trade.side) for trade in trades] == [(1.0, 0.4, 5.0, BUY), (2.0, 0.5, 10.0, SELL)]


def test_ccxt_is_imported_only_when_an_exchange_is_asked() -> None:
    import subprocess
    import sys

    code = "import sys, pnd_dagster.market.ohlcv, pnd_dagster.market.instruments; sys.exit('ccxt' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
