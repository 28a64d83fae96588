"""The database agrees with the declared tables, and says so when it does not."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from pnd_dagster.errors import DatabaseError, SettingError
from pnd_dagster.settings import load_settings
from pnd_dagster.storage import connect, create_engine, dagster_url, embedded
from pnd_dagster.storage.schema import drift, table_drift, upgrade
from pnd_dagster.tables import HEARTBEATS, METADATA, TELEGRAM_MESSAGES


def test_a_migrated_database_has_no_drift_from_the_declared_tables(engine: sa.Engine) -> None:
    assert drift(engine) == []


def test_drift_is_seen_when_a_column_or_comment_changes(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE core.heartbeats ADD COLUMN mood text")
    try:
        assert any("mood" in difference for difference in drift(engine))
        assert [("mood" in difference) for difference in table_drift(engine, HEARTBEATS)] == [True]
        assert table_drift(engine, TELEGRAM_MESSAGES) == []
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE core.heartbeats DROP COLUMN mood")


def test_every_table_and_column_is_commented_in_the_database(engine: sa.Engine) -> None:
    for table in METADATA.sorted_tables:
        assert sa.inspect(engine).get_table_comment(table.name, schema=table.schema)["text"] == table.comment
        for column in sa.inspect(engine).get_columns(table.name, schema=table.schema):
            assert column["comment"], f"{table}.{column['name']}"


def test_upgrading_twice_changes_nothing(engine: sa.Engine) -> None:
    assert upgrade(engine) == upgrade(engine)


def test_a_server_of_the_users_is_not_migrated_unasked(test_home: Path, tmp_path: Path) -> None:
    server = embedded.start(test_home)
    name = f"unmigrated_{os.getpid()}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    settings = load_settings(database_url=server.url(name), home=tmp_path)
    with pytest.raises(DatabaseError, match="pnd db upgrade"):
        connect(settings)
    upgrade(create_engine(server.url(name)))
    assert connect(settings)


def test_the_embedded_server_keeps_its_data_and_password_over_a_restart(own_home: Path) -> None:
    settings = load_settings(home=own_home)
    try:
        engine = connect(settings)
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE public.kept AS SELECT 42 AS answer")
        before = embedded.start(settings.home)
        engine.dispose()
        assert embedded.stop(settings.home)
        assert not embedded.is_running(settings.home)
        assert embedded.start(settings.home) == before
        with connect(settings).connect() as connection:
            assert connection.exec_driver_sql("SELECT answer FROM public.kept").scalar() == 42
        secret = (settings.home / "postgres").resolve() / "server.json"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert dagster_url(settings).endswith("/pnd_dagster")
    finally:
        embedded.stop(settings.home)


def test_the_embedded_server_works_in_a_folder_only_its_owner_can_enter(private_home: Path) -> None:
    with connect(load_settings(home=private_home)).connect() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1


def test_a_wrong_password_is_refused_by_the_embedded_server(test_home: Path) -> None:
    server = embedded.start(test_home)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(embedded.Server(server.port, "guess").url("postgres"))


def test_a_port_in_use_is_named_with_its_setting(test_home: Path, private_home: Path) -> None:
    taken = embedded.start(test_home).port
    with pytest.raises(SettingError, match=f"PND_DATABASE_PORT: port {taken} is in use"):
        connect(load_settings(home=private_home, database_port=taken))


@pytest.mark.parametrize("url", ["no address at all", "mysql://root@localhost/pnd", "postgresql://localhost"])
def test_a_wrong_database_address_is_named_with_its_setting(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingError, match="PND_DATABASE_URL"):
        connect(load_settings(home=tmp_path, database_url=url))


def test_an_unreachable_server_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError) as refusal:
        connect(load_settings(home=tmp_path, database_url="postgresql://me:secret@127.0.0.1:1/pnd"))
    assert "127.0.0.1:1" in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_a_wrong_setting_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PND_UI_PORT", "eighty")
    with pytest.raises(SettingError, match="PND_UI_PORT"):
        load_settings()
