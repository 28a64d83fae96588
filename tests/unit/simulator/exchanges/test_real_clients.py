"""Real ccxt and ccxt.pro clients, told nothing but the address, against the simulated exchanges."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from pnd_dagster.simulator.exchanges.book import book_hash
from pnd_dagster.simulator.exchanges.market import Market

EXCHANGES = ("latoken", "kucoin", "mexc", "poloniex", "xt")
DAY_MS = 86_400_000


def printed(levels: Any, market: Market) -> list[tuple[str, str]]:
    """A client's best 20 levels as the exchange prints them."""
    return [(f"{price:.{market.price_decimals}f}", f"{quantity:.{market.quantity_decimals}f}") for price, quantity, *_ in levels[:20]]


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_ccxt_reads_markets_time_tickers_books_trades_and_candles(exchange: str, serve: Callable[..., Any], point_at: Any) -> None:
    import ccxt.async_support

    async def run() -> None:
        async with serve(rate=20) as exchanges:
            server = exchanges.server
            client = point_at(getattr(ccxt.async_support, exchange), server.url)
            try:
                markets = await client.load_markets()
                truth = server.world.markets[exchange]
                assert {market["base"] for market in markets.values()} == set(truth)
                assert all(market["spot"] and market["active"] and market["quote"] == "USDT" for market in markets.values())
                base = next(iter(truth))
                symbol = f"{base}/USDT"
                assert markets[symbol]["precision"]["price"] == pytest.approx(10 ** -truth[base].price_decimals)
                assert markets[symbol]["precision"]["amount"] == pytest.approx(10 ** -truth[base].quantity_decimals)
                assert abs(await client.fetch_time() - time.time() * 1000) < 2_000
                tickers = await client.fetch_tickers()
                assert set(tickers) == set(markets)
                assert all(ticker["last"] > 0 and ticker["baseVolume"] >= 0 for ticker in tickers.values())
                before = truth[base].sequence
                book = await client.fetch_order_book(symbol)
                if truth[base].sequence == before:
                    bids, asks = truth[base].book(10)
                    assert book["bids"][:10] == [[float(price), float(quantity)] for price, quantity in bids]
                    assert book["asks"][:10] == [[float(price), float(quantity)] for price, quantity in asks]
                trades = await client.fetch_trades(symbol)
                known = {(trade.price, trade.side) for trade in truth[base].trades}
                assert trades
                assert {(client.price_to_precision(symbol, trade["price"]), trade["side"]) for trade in trades} <= {
                    (client.price_to_precision(symbol, price), side) for price, side in known
                }
                if exchange != "latoken":
                    today = int(time.time() * 1000) // DAY_MS * DAY_MS
                    candles = await client.fetch_ohlcv(symbol, "1d", since=today - 9 * DAY_MS, limit=100)
                    assert [candle[0] for candle in candles] == [today - day * DAY_MS for day in range(9, -1, -1)]
                    assert all(low <= opened <= high and low <= closed <= high for _, opened, high, low, closed, _ in candles)
            finally:
                await client.close()

    asyncio.run(run())


@pytest.mark.parametrize("exchange", [name for name in EXCHANGES if name != "latoken"])
def test_ccxt_pro_follows_a_book_by_its_changes_and_hears_trades(exchange: str, serve: Callable[..., Any], point_at: Any) -> None:
    import ccxt.pro

    async def run() -> None:
        async with serve(rate=2_000) as exchanges:
            server = exchanges.server
            client = point_at(getattr(ccxt.pro, exchange), server.url)
            markets = server.world.markets[exchange]
            base = max(markets, key=lambda base: -markets[base].liquidity.seconds_between_trades)
            symbol = f"{base}/USDT"

            async def follow() -> list[int]:
                hashes: list[int] = []
                for _ in range(25):
                    book = await client.watch_order_book(symbol)
                    hashes.append(book_hash(printed(book["bids"], markets[base]), printed(book["asks"], markets[base])))
                return hashes

            try:
                await client.load_markets()
                # On Poloniex even Bitcoin trades but every three seconds: within twenty it is silent once in 400 runs.
                hashes, trades = await asyncio.wait_for(asyncio.gather(follow(), client.watch_trades(symbol)), 90)
                sent = server.ledger.books().filter((pl.col("exchange") == exchange) & (pl.col("base") == base))["hash"]
                # The first may be the one of the REST interface, which is between two frames.
                assert set(hashes[5:]) <= set(sent)
                assert len(set(hashes)) > 5
                last = trades[-1]
                assert any(
                    float(trade.price) == last["price"] and float(trade.quantity) == last["amount"] and trade.side == last["side"]
                    for trade in markets[base].trades
                )
            finally:
                await client.close()

    asyncio.run(run())


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_ccxt_understands_an_unknown_symbol_a_429_and_a_500(exchange: str, serve: Callable[..., Any], point_at: Any) -> None:
    import ccxt.async_support

    async def run() -> None:
        async with serve(rate=20) as exchanges:
            server = exchanges.server
            client = point_at(getattr(ccxt.async_support, exchange), server.url)
            client.maxRetriesOnFailure = 0
            try:
                await client.load_markets()
                base, other = list(server.world.markets[exchange])[:2]
                server.faults.rest(exchange, 429, base=base)
                with pytest.raises(ccxt.async_support.RateLimitExceeded):
                    await client.fetch_order_book(f"{base}/USDT")
                assert (await client.fetch_order_book(f"{other}/USDT"))["bids"], "another coin is not touched"
                server.faults.rest(exchange, 0, seconds=0)
                server.faults.rest(exchange, 500)
                with pytest.raises((ccxt.async_support.ExchangeNotAvailable, ccxt.async_support.ExchangeError)):
                    await client.fetch_order_book(f"{other}/USDT")
                server.faults.rest(exchange, 0, seconds=0)
                server.world.delist(exchange, other)
                with pytest.raises((ccxt.async_support.BadSymbol, ccxt.async_support.ExchangeError)):
                    await client.fetch_order_book(f"{other}/USDT")
                kinds = server.ledger.faults().filter(exchange=exchange)["kind"].to_list()
                assert [kind for kind in kinds if kind != "rest 0"] == ["rest 429", "rest 500"]
            finally:
                await client.close()

    asyncio.run(run())
