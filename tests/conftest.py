"""Shared fixtures: one embedded Postgres for all workers, a migrated and empty database per worker, the real data."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from pnd_dagster.settings import Settings, load_settings
from pnd_dagster.storage import connect, create_engine, embedded
from pnd_dagster.tables import METADATA

HOME_VARIABLE = "PND_TEST_HOME"


def pytest_configure(config: pytest.Config) -> None:
    """The controlling process makes the server's folder; the workers inherit it."""
    for name in [name for name in os.environ if name.startswith("PND_") and name != HOME_VARIABLE]:
        del os.environ[name]
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = os.environ["GX_ANALYTICS_ENABLED"] = "false"
    if not hasattr(config, "workerinput"):
        home = Path(tempfile.mkdtemp(prefix="pnd-test-"))
        home.chmod(0o755)
        os.environ[HOME_VARIABLE] = str(home)


def pytest_unconfigure(config: pytest.Config) -> None:
    """The controlling process stops the server and removes its folder."""
    if not hasattr(config, "workerinput"):
        remove_installation(Path(os.environ.pop(HOME_VARIABLE)))


def remove_installation(home: Path) -> None:
    """Stops the server of `home` and removes all of it, also what lies outside because its user could not reach `home`."""
    embedded.stop(home)
    if (home / "postgres").is_symlink():
        shutil.rmtree((home / "postgres").resolve(), ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def test_home() -> Path:
    """Folder of the shared embedded server."""
    return Path(os.environ[HOME_VARIABLE])


@pytest.fixture(scope="module")
def own_home() -> Iterator[Path]:
    """Folder of an installation with a server of its own, which tests may start and stop; nothing of it stays."""
    yield from _installation(mode=0o755)


@pytest.fixture
def private_home() -> Iterator[Path]:
    """The same in a folder that only its owner can enter."""
    yield from _installation(mode=0o700)


def _installation(mode: int) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="pnd-test-own-"))
    folder.chmod(mode)
    yield folder / "home"
    remove_installation(folder / "home")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def database_url(test_home: Path) -> str:
    """Address of this worker's migrated database in the shared server."""
    server = embedded.start(test_home)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    admin = create_engine(server.url("postgres"))
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "test_{worker}"')
    url = server.url(f"test_{worker}")
    from pnd_dagster.storage.schema import upgrade

    upgrade(create_engine(url))
    return url


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """An engine on a migrated database whose tables are empty."""
    engine = create_engine(database_url)
    tables = ", ".join(f'"{table.schema}"."{table.name}"' for table in METADATA.sorted_tables)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"TRUNCATE {tables}")
    yield engine
    engine.dispose()


@pytest.fixture
def settings(database_url: str, engine: sa.Engine, tmp_path: Path) -> Settings:
    """Settings that point at the empty database and a temporary home."""
    configured = load_settings(database_url=database_url, home=tmp_path / "home", telegram_session_file=tmp_path / "telegram.session")
    connect(configured)
    return configured


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data beside the checkout; tests that read it skip where it is absent."""
    folder = Path(__file__).parents[1] / "../shared/data"
    if not (folder / "telegram_messages.parquet").exists():
        pytest.skip("the real data is not beside this checkout")
    return folder
