"""The role of BI: it reads the marts, of today and of tomorrow, and nothing else; it writes nothing and runs not for long."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError, OperationalError

from pnd_dagster.errors import DatabaseError
from pnd_dagster.settings import Settings, load_settings
from pnd_dagster.storage import create_engine, embedded, roles
from pnd_dagster.storage.roles import bi_problem, bi_url, ensure_bi_role


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


@pytest.fixture
def outside(test_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str], Settings]]:
    """Makes settings of a user who owns a database of a server that is not his, where no role for BI is known yet."""
    server = embedded.start(test_home)
    name = f"outside_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    monkeypatch.setattr(roles, "BI_ROLE", f"bi_{name}")
    admin = sa.create_engine(create_engine(server.url("postgres")).url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)

    def made(attribute: str) -> Settings:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN {attribute} PASSWORD 'his'")
            connection.exec_driver_sql(f"CREATE DATABASE {name} OWNER {name}")
        url = sa.make_url(server.url(name)).set(username=name, password="his").render_as_string(hide_password=False)
        with create_engine(url).begin() as connection:
            connection.exec_driver_sql("CREATE SCHEMA raw")
        return load_settings(database_url=url, bi_password="secret-of-bi", home=tmp_path)

    yield made
    create_engine(server.url(name)).dispose()
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        connection.exec_driver_sql(f"DROP ROLE IF EXISTS bi_{name}")
        connection.exec_driver_sql(f"DROP ROLE {name}")


def _engine(settings: Settings) -> sa.Engine:
    assert settings.database_url
    return create_engine(settings.database_url.get_secret_value())


def _reads_what_comes(settings: Settings) -> bool:
    with _engine(settings).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE mart.later AS SELECT 1 AS one")
    with sa.create_engine(bi_url(settings), poolclass=sa.NullPool).connect() as connection:
        return connection.exec_driver_sql("SELECT one FROM later").scalar() == 1


def test_a_user_who_may_make_roles_but_is_no_superuser_makes_it(outside: Callable[[str], Settings]) -> None:
    settings = outside("CREATEROLE")
    ensure_bi_role(_engine(settings), settings)
    ensure_bi_role(_engine(settings), settings)
    assert bi_problem(settings) is None
    assert _reads_what_comes(settings)


def test_a_user_who_may_not_make_roles_is_told_who_can_and_uses_what_that_one_made(
    outside: Callable[[str], Settings], test_home: Path
) -> None:
    settings = outside("NOCREATEROLE")
    engine = _engine(settings)
    with pytest.raises(DatabaseError, match=r"cannot make the role bi_\w+: permission denied.*let an administrator run `pnd db bi`"):
        ensure_bi_role(engine, settings)
    assert "cannot log in" in str(bi_problem(settings))

    server = embedded.start(test_home)
    ensure_bi_role(create_engine(server.url("postgres")), settings)
    with pytest.raises(DatabaseError, match="has no limits of its own, and is not ours to alter; let an administrator"):
        ensure_bi_role(engine, settings)
    ensure_bi_role(create_engine(server.url(str(engine.url.database))), settings)
    ensure_bi_role(engine, settings)
    assert _reads_what_comes(settings)

    other = settings.model_copy(update={"bi_password": SecretStr("of another installation")})
    with pytest.raises(DatabaseError, match=r"cannot log in: .*password authentication failed.*let an administrator"):
        ensure_bi_role(engine, other)
    assert "secret-of-bi" not in (test_home / "postgres" / "server.log").read_text()
    with create_engine(server.url("postgres")).begin() as connection:
        connection.exec_driver_sql(f"DROP OWNED BY {roles.BI_ROLE}; REVOKE ALL ON DATABASE postgres FROM {roles.BI_ROLE}; DROP SCHEMA mart")
