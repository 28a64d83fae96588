"""The simulated vendors, and settings that point at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from pnd_dagster.settings import Settings
from pnd_dagster.simulator.universe import Universe, make_universe
from pnd_dagster.simulator.vendors import VENDOR_KEY, VendorServer, serve_vendors

Sleeps = list[float]


@pytest.fixture(scope="session")
def universe() -> Universe:
    return make_universe(total=60)


@pytest.fixture
def vendors(universe: Universe, monkeypatch: pytest.MonkeyPatch) -> Iterator[VendorServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve_vendors(universe) as server:
        yield server


@pytest.fixture
def vendor_settings(settings: Settings, vendors: VendorServer) -> Settings:
    return settings.model_copy(
        update={
            "lunarcrush_url": f"{vendors.url}/lunarcrush",
            "lunarcrush_key": SecretStr(VENDOR_KEY),
            "coinmarketcap_url": f"{vendors.url}/coinmarketcap",
            "coinmarketcap_key": SecretStr(VENDOR_KEY),
            "coincodex_url": f"{vendors.url}/coincodex",
        }
    )


@pytest.fixture
def sleeps() -> Sleeps:
    """What the client would have slept; its `append` is the sleep."""
    return []


@pytest.fixture
def in_each_object() -> Callable[[Callable[[dict[str, Any]], None]], Callable[[Any], Any]]:
    """A change of a vendor's answer that edits each object of its list in place."""

    def of(edit: Callable[[dict[str, Any]], None]) -> Callable[[Any], Any]:
        def change(body: Any) -> Any:
            for item in body if isinstance(body, list) else body.get("data", []):
                edit(item)
            return body

        return change

    return of
