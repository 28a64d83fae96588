"""The simulated vendors: shapes, keys, limits, credits and faults on command."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any

import pytest
import requests

from pnd_dagster.simulator import vendor_data
from pnd_dagster.simulator.universe import Universe, make_universe
from pnd_dagster.simulator.vendors import VENDOR_KEY, VendorServer, rename_field, serve_vendors

NOW = datetime(2026, 3, 11, 6, tzinfo=UTC)
KEYS = {"coinmarketcap": {"X-CMC_PRO_API_KEY": VENDOR_KEY}, "lunarcrush": {"Authorization": f"Bearer {VENDOR_KEY}"}, "coincodex": {}}
LISTINGS = "coinmarketcap/v1/cryptocurrency/listings/latest"
COINS = "lunarcrush/api4/public/coins/list/v2"
ALL_COINS = "coincodex/apps/coincodex/cache/all_coins.json"


@pytest.fixture(scope="module")
def universe() -> Universe:
    return make_universe(total=60)


@pytest.fixture
def server(universe: Universe) -> Iterator[VendorServer]:
    with serve_vendors(universe, clock=lambda: NOW) as running:
        yield running


def ask(server: VendorServer, path: str, **parameters: Any) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        headers = KEYS[path.partition("/")[0]]
        return session.get(f"{server.url}/{path}", params=parameters, headers=headers, timeout=5, allow_redirects=False)


@pytest.mark.parametrize("path", [LISTINGS, COINS])
@pytest.mark.parametrize("headers", [{}, {"X-CMC_PRO_API_KEY": "no", "Authorization": "Bearer no"}])
def test_without_the_key_nothing_is_given(server: VendorServer, path: str, headers: dict[str, str]) -> None:
    answer = requests.get(f"{server.url}/{path}", headers=headers, timeout=5)
    assert (answer.status_code, "data" in answer.json()) == (401, False)


def test_page_limits_are_enforced_and_pages_join(server: VendorServer) -> None:
    assert ask(server, LISTINGS, limit=5001).status_code == 400
    whole = ask(server, LISTINGS, limit=5000).json()
    pages = [ask(server, LISTINGS, start=start, limit=60).json() for start in range(1, len(whole["data"]) + 1, 60)]
    assert [coin["id"] for page in pages for coin in page["data"]] == [coin["id"] for coin in whole["data"]]
    assert whole["status"]["total_count"] == len(whole["data"])
    assert len(ask(server, COINS).json()["data"]) == 10
    assert len(ask(server, COINS, limit=9_999, page=0).json()["data"]) <= 1_000


def test_credits_are_counted_per_two_hundred_coins(server: VendorServer, universe: Universe) -> None:
    whole = ask(server, LISTINGS, limit=5000).json()
    assert whole["status"]["credit_count"] == -(-len(whole["data"]) // 200)
    assert ask(server, LISTINGS, limit=1).json()["status"]["credit_count"] == 1


def test_what_makes_linking_hard_is_there(server: VendorServer) -> None:
    coins = ask(server, LISTINGS, limit=5000).json()["data"]
    assert len({coin["symbol"] for coin in coins}) < len(coins) == len({coin["id"] for coin in coins})
    unverified = [coin for coin in coins if coin["quote"]["USD"]["market_cap"] == 0]
    assert 0 < len([coin for coin in unverified if coin["self_reported_market_cap"]]) < len(unverified)
    gone = ask(server, "coinmarketcap/v1/cryptocurrency/map", listing_status="inactive,untracked", limit=5000).json()["data"]
    assert gone
    assert not {coin["id"] for coin in gone} & {coin["id"] for coin in coins}
    keys = [coin["symbol"] for coin in ask(server, ALL_COINS).json()]
    assert len(keys) == len(set(keys))


def test_the_same_coin_says_the_same_on_another_server(universe: Universe, server: VendorServer) -> None:
    with serve_vendors(make_universe(total=60), clock=lambda: NOW) as other:
        for path in (LISTINGS, COINS, ALL_COINS, "coincodex/api/coincodex/get_coin_history/BTC/2026-01-01/2026-02-01/60"):
            assert ask(server, path, limit=500).content == ask(other, path, limit=500).content


def test_history_drifts_believably_ends_at_the_universes_price_and_does_not_reach_before_the_listing(universe: Universe) -> None:
    for coin in universe.coins[:40]:
        days = [NOW - timedelta(days=back) for back in range(365, -1, -1)]
        prices = [vendor_data.quote(coin, day, anchor=NOW).price for day in days]
        steps = [abs(after / before - 1) for before, after in pairwise(prices)]
        assert prices[-1] == pytest.approx(coin.price)
        assert 0 < max(steps) < 0.25
        assert 1.1 < max(prices) / min(prices) < 20


def test_history_is_thinned_and_keeps_to_the_days_asked_for(server: VendorServer, universe: Universe) -> None:
    path = "coincodex/api/coincodex/get_coin_history/BTC/2025-01-01/2026-03-11/99999"
    points = ask(server, path).json()["BTC"]
    assert len(points) <= 600
    assert points[0][0] >= datetime(2025, 1, 1, tzinfo=UTC).timestamp()
    assert points[-1][0] <= NOW.timestamp()
    assert ask(server, "coincodex/api/coincodex/get_coin_history/BTC/2010-01-01/2010-02-01/9").json() == {"BTC": []}
    assert ask(server, "coincodex/api/coincodex/get_coin_history/NOSUCH/2025-01-01/2025-02-01/9").json() == {"NOSUCH": []}
    assert ask(server, "coincodex/api/coincodex/get_coin_history/BTC/soon/2025-02-01/9").status_code == 422


def test_faults_hit_the_vendor_they_are_for_and_pass(server: VendorServer) -> None:
    server.faults.inject("coinmarketcap", "429", "12")
    server.faults.inject("coinmarketcap", "429", "date:60")
    server.faults.inject("coinmarketcap", "500")
    assert ask(server, COINS).status_code == 200
    first, second, third, fourth = (ask(server, LISTINGS) for _ in range(4))
    assert [answer.status_code for answer in (first, second, third, fourth)] == [429, 429, 500, 200]
    assert first.headers["Retry-After"] == "12"
    assert 55 < (parsedate_to_datetime(second.headers["Retry-After"]) - datetime.now(UTC)).total_seconds() <= 60
    assert [fault.kind for _, fault in server.faults.taken] == ["429", "429", "500"]


def test_bodies_can_be_truncated_cut_slow_or_changed(server: VendorServer) -> None:
    server.faults.inject("lunarcrush", "truncated")
    with pytest.raises(requests.exceptions.JSONDecodeError):
        ask(server, COINS).json()
    server.faults.inject("lunarcrush", "cut")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        ask(server, COINS)
    server.faults.inject("lunarcrush", "slow", "0.2")
    started = time.monotonic()
    assert ask(server, COINS).status_code == 200
    assert time.monotonic() - started >= 0.2
    server.faults.change("lunarcrush", rename_field("sentiment", "mood"))
    coin = ask(server, COINS).json()["data"][0]
    assert "mood" in coin
    assert "sentiment" not in coin
    server.faults.change("lunarcrush", None)
    assert "sentiment" in ask(server, COINS).json()["data"][0]


def test_unknown_faults_are_refused(server: VendorServer) -> None:
    with pytest.raises(ValueError, match="expected one of"):
        server.faults.inject("coingecko", "500")
    with pytest.raises(ValueError, match="expected one of"):
        server.faults.inject("coincodex", "flood")  # type: ignore[arg-type]
