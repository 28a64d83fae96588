"""The role of BI: it reads the marts, of today and of tomorrow, and nothing else; it writes nothing and runs not for long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError

from pnd_dagster.errors import DatabaseError
from pnd_dagster.settings import Settings, load_settings
from pnd_dagster.storage import roles
from pnd_dagster.storage.roles import bi_url, ensure_bi_role


@pytest.fixture
def bi(engine: sa.Engine, settings: Settings) -> Iterator[sa.Engine]:
    """A session of the role on a database with one mart that was there before the role's rights, and one that came after."""
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS mart; CREATE TABLE mart.before AS SELECT 1 AS one")
    ensure_bi_role(engine, settings)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE VIEW mart.after AS SELECT count(*) AS channels FROM raw.telegram_channels")
        connection.exec_driver_sql("CREATE TABLE public.everybodys AS SELECT 1 AS one")
    reader = sa.create_engine(bi_url(settings), poolclass=sa.NullPool)
    yield reader
    reader.dispose()
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE public.everybodys; DROP SCHEMA mart CASCADE")


def refused(bi: sa.Engine, statement: str) -> str:
    with pytest.raises(DBAPIError) as raised, bi.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql(statement)
    return str(raised.value.orig).splitlines()[0]


def test_it_reads_marts_that_were_there_and_marts_that_came_later(bi: sa.Engine) -> None:
    with bi.connect() as connection:
        assert connection.exec_driver_sql("SELECT one FROM before").scalar() == 1
        assert connection.exec_driver_sql("SELECT channels FROM mart.after").scalar() == 0
        assert connection.exec_driver_sql("SHOW timezone").scalar() == "UTC"


@pytest.mark.parametrize("table", ["raw.telegram_messages", "core.pump_events", "out.alerts", "public.everybodys"])
def test_it_cannot_read_what_is_no_mart(bi: sa.Engine, table: str) -> None:
    assert refused(bi, f"SELECT * FROM {table}") == f"permission denied for schema {table.partition('.')[0]}"


@pytest.mark.parametrize(
    "statement", ["INSERT INTO before VALUES (2)", "DELETE FROM before", "DROP TABLE before", "CREATE TABLE mart.x (y int)"]
)
def test_it_cannot_write_neither_by_default_nor_when_it_asks_to(bi: sa.Engine, statement: str) -> None:
    assert "in a read-only transaction" in refused(bi, statement)
    denied = refused(bi, f"BEGIN READ WRITE; {statement}")
    assert "permission denied" in denied or "must be owner" in denied


def test_it_cannot_make_temporary_tables(bi: sa.Engine) -> None:
    assert "permission denied to create temporary tables" in refused(bi, "BEGIN READ WRITE; CREATE TEMPORARY TABLE x (y int)")


def test_what_runs_too_long_is_ended(bi: sa.Engine, engine: sa.Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with bi.connect() as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "30s"
    monkeypatch.setattr(roles, "STATEMENT_TIMEOUT", "100ms")
    ensure_bi_role(engine, settings)
    assert refused(bi, "SELECT pg_sleep(20)") == "canceling statement due to statement timeout"


def test_doing_it_again_changes_nothing(bi: sa.Engine, engine: sa.Engine, settings: Settings) -> None:
    def rights() -> list[sa.Row[tuple[object, ...]]]:
        with engine.connect() as connection:
            return list(
                connection.exec_driver_sql(
                    "SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'mart'::regnamespace ORDER BY 1"
                ).all()
            )

    before = rights()
    ensure_bi_role(engine, settings)
    assert rights() == before


def test_a_password_is_made_once_in_a_file_that_only_its_owner_reads(own_home: Path) -> None:
    from pnd_dagster.storage import connect

    settings = load_settings(home=own_home)
    with pytest.raises(DatabaseError, match="run `pnd db bi`"):
        bi_url(settings)
    engine = connect(settings)
    ensure_bi_role(engine, settings)
    first = bi_url(settings)
    ensure_bi_role(engine, settings)
    assert bi_url(settings) == first
    assert (own_home / "bi-password").stat().st_mode & 0o777 == 0o600
    assert first.password
    assert first.password not in repr(first)
    with sa.create_engine(first, poolclass=sa.NullPool).connect() as connection:
        assert connection.exec_driver_sql("SELECT current_user").scalar() == "pnd_bi"
    wrong = sa.create_engine(first.set(password="other"), poolclass=sa.NullPool)
    with pytest.raises(OperationalError, match="password authentication failed"):
        wrong.connect()
    engine.dispose()


def test_a_user_who_may_not_make_roles_is_told_what_to_do(engine: sa.Engine, settings: Settings, bi: sa.Engine) -> None:
    with pytest.raises(DatabaseError, match=r"cannot make the role pnd_bi: permission denied.*let an administrator run `pnd db bi`"):
        ensure_bi_role(
            sa.create_engine(bi.url, connect_args={"options": "-c default_transaction_read_only=off"}, poolclass=sa.NullPool), settings
        )
