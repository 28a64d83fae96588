"""The way of a coin from the exchanges' lists to the watch list, with the real clients and simulated exchanges and vendors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from pnd_dagster.candidates.links import link_instruments
from pnd_dagster.candidates.store import choose_candidates
from pnd_dagster.candidates.watch_list import watch_list
from pnd_dagster.market.instruments import refresh_exchanges
from pnd_dagster.market.ohlcv import collect_candles
from pnd_dagster.settings import Settings
from pnd_dagster.simulator.exchanges.server import SimulatedExchanges
from pnd_dagster.simulator.exchanges.world import World
from pnd_dagster.simulator.universe import Universe, make_universe
from pnd_dagster.simulator.vendors import VENDOR_KEY, serve_vendors
from pnd_dagster.snapshots.coinmarketcap import collect_coinmarketcap
from pnd_dagster.storage import read_frame
from pnd_dagster.tables import COIN_LINKS, INSTRUMENTS, OHLCV_DAILY

CANDLES_OF = ["kucoin", "mexc", "poloniex", "xt"]  # LATOKEN has none, and allows one request per second


@contextmanager
def simulated(universe: Universe) -> Generator[str]:
    started, stop = threading.Event(), threading.Event()
    address: list[str] = []

    async def serve() -> None:
        async with SimulatedExchanges(World(universe, seed=1, rate=20)) as exchanges:
            address.append(exchanges.url)
            started.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(20)
    try:
        yield address[0]
    finally:
        stop.set()
        thread.join(10)


@pytest.fixture(scope="module")
def universe() -> Universe:
    return make_universe(total=40)


@pytest.fixture(scope="module")
def url(universe: Universe) -> Iterator[str]:
    with simulated(universe) as address:
        yield address


def test_real_clients_read_simulated_exchanges_and_the_small_coins_are_watched(
    universe: Universe, url: str, engine: sa.Engine, settings: Settings
) -> None:
    configured = settings.model_copy(update={"exchange_url": url})
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    assert refresh_exchanges(engine, configured, now).errors == {}
    instruments = read_frame(engine, sa.select(INSTRUMENTS))
    truth = {(exchange, listing.base): listing.coin for exchange, listings in universe.listings.items() for listing in listings}
    assert set(instruments.select("exchange", "base_symbol").rows()) == set(truth)
    assert {key for key, coin in truth.items() if coin.is_leveraged} == set(
        instruments.filter("is_derivative").select("exchange", "base_symbol").rows()
    )

    window = (midnight - timedelta(days=5), midnight + timedelta(days=1))
    collected = collect_candles(engine, configured.model_copy(update={"exchanges": CANDLES_OF}), window)
    assert (collected.errors, collected.gaps) == ({}, 0)
    candles = read_frame(engine, sa.select(OHLCV_DAILY))
    pairs = instruments.filter(instruments["exchange"] != "latoken").height
    assert (candles.height, candles["is_complete"].sum()) == (6 * pairs, 5 * pairs)

    with serve_vendors(universe) as vendors:
        address = {"coinmarketcap_url": f"{vendors.url}/coinmarketcap", "coinmarketcap_key": SecretStr(VENDOR_KEY)}
        collect_coinmarketcap(engine, configured.model_copy(update=address), datetime.now(UTC))
    link_instruments(engine, datetime.now(UTC))
    link, listing = COIN_LINKS.c, INSTRUMENTS.c
    links = read_frame(
        engine,
        sa.select(listing.exchange, listing.base_symbol, link.coin_id).join_from(
            INSTRUMENTS, COIN_LINKS, link.instrument_id == listing.instrument_id
        ),
    )
    assert {(exchange, base): coin_id for exchange, base, coin_id in links.iter_rows()} == {
        key: None if coin.is_leveraged else coin.coin_id for key, coin in truth.items()
    }

    today = now.date()
    assert choose_candidates(engine, today, 60e6).counts["instruments"] == instruments.height
    for exchange, listings in universe.listings.items():
        small = {
            f"{listing.base}/USDT"
            for listing in listings
            if not listing.coin.is_leveraged and (listing.coin.verified_cap or listing.coin.self_reported_cap or 0) <= 60e6
        }
        assert set(watch_list(engine, exchange, today)["symbol"]) == small
        assert 0 < len(small) < len(listings), "the universe has coins on both sides of the limit"
