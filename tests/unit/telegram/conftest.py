"""Fixtures of the Telegram tests. The fake is loaded by its path: tests are no package."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def telegram() -> ModuleType:
    """The module of the fake Telegram client."""
    spec = importlib.util.spec_from_file_location("fake_telegram_client", Path(__file__).with_name("fake_client.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
