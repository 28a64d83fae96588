"""Shared fixtures: one embedded Postgres for all workers, a migrated and empty database per worker, the real data."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.settings import Settings, load_settings
from pnd_dagster.storage import create_engine, embedded
from pnd_dagster.tables import METADATA

HOME_VARIABLE = "PND_TEST_HOME"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
FROZEN_CHANNELS = (29, 37, 40)


def pytest_configure(config: pytest.Config) -> None:
    """The controlling process makes the server's folder; the workers inherit it."""
    for name in [name for name in os.environ if name.startswith("PND_") and not name.startswith("PND_TEST_")]:
        del os.environ[name]
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = os.environ["GX_ANALYTICS_ENABLED"] = "false"
    # Each worker has a core: threads that wait spinning for small matrices would take it from the other ones.
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    # What the tests store need not survive a power cut.
    embedded.SERVER_OPTIONS.update(dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes"), "off"))
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
    names = [f'"{table.schema}"."{table.name}"' for table in METADATA.sorted_tables]
    # A table that is empty already is left alone: its files need not be made anew.
    filled = " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in names)
    with engine.begin() as connection:
        if used := connection.exec_driver_sql(filled).scalars().all():
            connection.exec_driver_sql(f"TRUNCATE {', '.join(used)}")
    yield engine
    engine.dispose()


@pytest.fixture
def settings(database_url: str, engine: sa.Engine, tmp_path: Path) -> Settings:
    """Settings that point at the empty database and a temporary home."""
    # Roles are the whole server's: workers that each made a password would lock one another out.
    paths = {"home": tmp_path / "home", "telegram_session_file": tmp_path / "telegram.session"}
    return load_settings(database_url=database_url, bi_password="read-only", **paths)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data beside the checkout; tests that read it skip where it is absent."""
    folder = Path(__file__).parents[1] / "../shared/data"
    if not (folder / "telegram_messages.parquet").exists():
        pytest.skip("the real data is not beside this checkout")
    return folder


_MADE_UP = {
    0: ["Pump on {day} at {n}:00 GMT on {exchange}, pair {quote}, {word}", "Next {word} pump: {day}, exchange {exchange}, {n} pm UTC"],
    1: ["{n} minutes left until the {word} pump", "only {n} hours to go, {word} everyone", "get {word}, {n} min remaining"],
    2: ["The coin is {coin} {word}", "${coin} {word} go", "our pick: {coin} {word} buy and hold"],
    3: ["Pump results: {coin} went up {n}00% {word}", "we reached {n}00% peak, {word} congratulations"],
    4: ["the {word} pump is postponed to {day}", "pump cancelled, {word} sorry, not on {day}"],
    5: ["good morning {word} traders", "join our {word} vip for {n} dollars", "{coin} long entry {n}.1 targets {n}.5 stop loss {word}"],
}


def made_up_message(rng: random.Random, label: int) -> str:
    """A message of a class, in the manner of the real ones."""
    return rng.choice(_MADE_UP[label]).format(
        day=rng.choice(["Monday", "Friday", "Sunday"]),
        n=rng.randint(2, 9),
        exchange=rng.choice(["Kucoin", "Hotbit", "Binance"]),
        quote=rng.choice(["BTC", "USDT"]),
        word=rng.choice(["big", "mega", "huge", "nice", "super"]) + rng.choice(["", "ly", "er", "est", "ish", "ful", "able", "some"]),
        coin="".join(rng.choices("ABCDEFGHKLMNPRSTVXZ", k=4)),
    )


@pytest.fixture(scope="session")
def label_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Label files in the published form with made-up texts; `FROZEN_CHANNELS` are of the frozen test set."""
    folder = tmp_path_factory.mktemp("labels")
    rng = random.Random(5)
    names = ["channel_id", "message_id", "label", "text"]
    channels = [1, 2, 3, 4, 5, 7, 8, 9, 10, *FROZEN_CHANNELS]
    rows = [(channel, n, label, made_up_message(rng, label)) for channel in channels for n, label in enumerate([*range(6)] * 3)]
    authors = pl.DataFrame(rows, schema=names, orient="row")
    authors = authors.with_columns(text_normalized_by_authors=pl.col("text"), text=pl.when(pl.col("message_id") > 1).then("text"))
    authors.write_parquet(folder / "author_labels.parquet")
    wild = [(channel, n, label, made_up_message(rng, label)) for channel in (9, 10, 41, 42) for n, label in enumerate(range(6), start=100)]
    frame = pl.DataFrame(wild, schema=names, orient="row")
    frame.select("channel_id", "message_id", "label", confident=1).write_csv(folder / "wild_labels.csv")
    frame.select("channel_id", "message_id", "text").write_parquet(folder / "telegram_messages.parquet")
    synthetic = [(label, made_up_message(rng, label)) for label in range(6)]
    pl.DataFrame(synthetic, schema=["label", "message"], orient="row").write_csv(folder / "synthetic_labels_authors.csv")
    return folder
