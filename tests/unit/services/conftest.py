"""Fixtures of the service tests. The fake, and the scene of the watch tests, are loaded by their paths: tests are no package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_load("watch_scene", Path(__file__).with_name("watch_scene.py"))


@pytest.fixture(scope="session")
def telegram() -> ModuleType:
    """The module of the fake Telegram client."""
    return _load("fake_telegram_client", Path(__file__).parents[1] / "telegram/fake_client.py")
