"""Fixtures of the market tests. Helpers are loaded by their path: tests are no package."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def load_helper(name: str) -> Any:
    """The module of a file beside this one."""
    spec = importlib.util.spec_from_file_location(f"market_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


exchange_rest = load_helper("exchange_rest")


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A loopback server of the five exchanges' REST answers (see `exchange_rest`), which clients need not spare."""
    from pnd_dagster.market import rest

    configure = rest.configure

    def hasty(client: Any, **parameters: Any) -> None:
        configure(client, **parameters)
        client.enableRateLimit = False

    monkeypatch.setattr(rest, "configure", hasty)
    with exchange_rest.serve() as served:
        yield served


@pytest.fixture
def refusal() -> Any:
    """How the loopback server refuses: `refusal(part of the address, status, ...)`."""
    return exchange_rest.Refusal
