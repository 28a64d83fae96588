"""A database of its own for the marts: their views would hold the tables that other tests make and drop. The scene has its own file."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from pnd_dagster.settings import Settings, load_settings
from pnd_dagster.storage import create_engine, embedded
from pnd_dagster.storage.schema import upgrade

_spec = importlib.util.spec_from_file_location("mart_scene", Path(__file__).with_name("scene.py"))
assert _spec is not None
assert _spec.loader is not None
sys.modules["mart_scene"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules["mart_scene"])


@pytest.fixture(scope="package")
def mart_settings(test_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of an installation whose database is migrated and empty; whose server is not set to UTC."""
    server = embedded.start(test_home)
    name = f"test_marts_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    admin = create_engine(server.url("postgres")).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
        connection.exec_driver_sql(f"ALTER DATABASE \"{name}\" SET timezone = 'America/New_York'")
    url = server.url(name)
    upgrade(create_engine(url))
    yield load_settings(database_url=url, bi_password="read-only", home=tmp_path_factory.mktemp("marts"))
    create_engine(url).dispose()
    with admin.connect() as connection:
        connection.exec_driver_sql(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="package")
def mart_engine(mart_settings: Settings) -> sa.Engine:
    """An engine on that database."""
    assert mart_settings.database_url
    return create_engine(mart_settings.database_url.get_secret_value())
