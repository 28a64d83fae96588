"""Four databases in the shared server: marts with made-up rows, with one row each, without rows, and none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from dashboards.marts import Marts
from pnd_dagster.storage import embedded
from tests.unit.dashboards import made_up_marts


@pytest.fixture(scope="session")
def new_marts(test_home: Path) -> Iterator[dict[str, Marts]]:
    """Marts by kind: full, empty, sparse, missing. Each is read by its owner: what the role may is tested elsewhere."""
    server = embedded.start(test_home)
    made: dict[str, Marts] = {}
    for kind in ("full", "empty", "sparse", "missing"):
        name = f"dashboards_{kind}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        with psycopg.connect(server.url(name)) as connection:
            if kind != "missing":
                made_up_marts.create(connection)
            if kind == "full":
                made_up_marts.fill(connection, events=300)
            if kind == "sparse":
                made_up_marts.fill_sparsely(connection)
        made[kind] = Marts(sa.make_url(server.url(name)))
    yield made
    for marts in made.values():
        marts.close()


@pytest.fixture
def full(new_marts: dict[str, Marts]) -> Marts:
    """Marts with 300 made-up events."""
    return new_marts["full"]


@pytest.fixture
def empty(new_marts: dict[str, Marts]) -> Marts:
    """Marts without a row."""
    return new_marts["empty"]


@pytest.fixture
def sparse(new_marts: dict[str, Marts]) -> Marts:
    """Marts of one row each, in which is NULL what may be."""
    return new_marts["sparse"]


@pytest.fixture
def missing(new_marts: dict[str, Marts]) -> Marts:
    """A database without marts."""
    return new_marts["missing"]
