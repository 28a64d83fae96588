"""How dbt is run: one build at a time, its words when it says nothing else, and its end when nobody waits for it any more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from pnd_dagster.errors import DatabaseError, SourceError
from pnd_dagster.settings import Settings
from pnd_dagster.storage import locks
from pnd_dagster.warehouse import build as build_module
from pnd_dagster.warehouse.build import build, stream

NODE = {"unique_id": "model.pnd.a", "resource_type": "model", "node_status": "success"}
BUILT = {"info": {"name": "LogModelResult", "msg": "OK"}, "data": {"node_info": NODE, "execution_time": 0.5}}


@pytest.fixture(autouse=True)
def nothing_stays(engine: sa.Engine) -> Iterator[None]:
    yield
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA IF EXISTS mart CASCADE")


def dbt_that(does: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = folder / "dbt"
    script.write_text(f"#!/bin/sh\n{does}\n")
    script.chmod(0o755)
    monkeypatch.setattr(build_module, "EXECUTABLE", script)


def test_a_build_waits_for_another_one_but_not_for_ever(engine: sa.Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_module, "WAIT_SECONDS", 0.1)
    with engine.connect() as other:
        other.execute(sa.select(sa.func.pg_advisory_lock(locks.MARTS)))
        with pytest.raises(DatabaseError, match="built by somebody else"):
            build(engine, settings)
        other.invalidate()


def test_what_dbt_says_before_it_gives_up_is_told(
    engine: sa.Engine, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dbt_that("echo 'no profile'; exit 2", tmp_path, monkeypatch)
    with pytest.raises(SourceError, match="dbt: no profile"):
        build(engine, settings)
    dbt_that("exit 2", tmp_path, monkeypatch)
    with pytest.raises(SourceError, match="without a word"):
        build(engine, settings)


def test_a_build_that_is_given_up_ends_dbt_and_lets_the_next_one_in(
    engine: sa.Engine, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = tmp_path / "ended"
    loop = f"trap 'touch {ended}; exit 1' INT\necho '{json.dumps(BUILT)}'\nwhile :; do sleep 0.05; done"
    dbt_that(loop, tmp_path, monkeypatch)
    results = stream(engine, settings)
    assert next(results) == ("model.pnd.a", "model", "success", 0.5, None)
    results.close()
    assert ended.exists()
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.pg_try_advisory_lock(locks.MARTS))).scalar()
        connection.invalidate()
