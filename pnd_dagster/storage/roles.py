"""The role that BI reads with: `pnd_bi` sees the schema `mart` and nothing else, and can write nothing."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any, cast

import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.exc import SQLAlchemyError

from pnd_dagster.errors import DatabaseError
from pnd_dagster.settings import Settings
from pnd_dagster.storage import locks
from pnd_dagster.storage.engine import database_url

BI_ROLE = "pnd_bi"
MART = "mart"
CONNECTIONS = 40
STATEMENT_TIMEOUT = "30s"
IDLE_TIMEOUT = "5min"
ATTEMPTS = 5
ADMINISTRATOR = (
    "let an administrator run `pnd db bi` once, with his own user in PND_DATABASE_URL, "
    "and the PND_BI_PASSWORD or the PND_HOME of this installation"
)

_FOUND = """
    SELECT
        EXISTS (SELECT FROM pg_roles WHERE rolname = :role),
        current_database(),
        coalesce(
            (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname IN (:mart, 'raw') ORDER BY nspname LIMIT 1),
            current_user
        )
"""
_ROLE = (
    "ALTER ROLE {role} LOGIN NOINHERIT CONNECTION LIMIT {connections} PASSWORD {verifier}",
    "ALTER ROLE {role} IN DATABASE {database} SET default_transaction_read_only = on",
    "ALTER ROLE {role} IN DATABASE {database} SET statement_timeout = {statement_timeout}",
    "ALTER ROLE {role} IN DATABASE {database} SET idle_in_transaction_session_timeout = {idle_timeout}",
    "ALTER ROLE {role} IN DATABASE {database} SET search_path = {mart}",
    "ALTER ROLE {role} IN DATABASE {database} SET timezone = 'UTC'",
)
_RIGHTS = (
    # An administrator may be the first to come: who owns the other schemas builds the marts.
    "CREATE SCHEMA IF NOT EXISTS {mart} AUTHORIZATION {owner}",
    # What everybody may by default: make temporary tables, and use the schema `public`.
    "REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC",
    "REVOKE ALL ON SCHEMA public FROM PUBLIC",
    "GRANT CONNECT ON DATABASE {database} TO {role}",
    "GRANT USAGE ON SCHEMA {mart} TO {role}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA {mart} TO {role}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA {mart} GRANT SELECT ON TABLES TO {role}",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {mart} GRANT SELECT ON TABLES TO {role}",
)


def ensure_bi_role(engine: sa.Engine, settings: Settings) -> None:
    """Creates the role where it is missing, and makes its password, its limits and its rights what they should be. May run at any time.

    It may connect to this database and read all tables and views of the schema `mart`, also those that are made later. Sessions are
    read-only and statements are ended after `STATEMENT_TIMEOUT`: defaults, which a session could lift for itself; it could still write
    into no table.

    Where the user of `PND_DATABASE_URL` may not make or alter roles, the role that an administrator made serves if it lets us in.

    Raises:
        DatabaseError: Postgres refused; says what an administrator has to run.
    """
    password = _password(settings, is_made=True)
    try:
        is_altered = _patiently(engine, password)
    except (psycopg.Error, SQLAlchemyError) as error:
        is_refused = isinstance(error, psycopg.errors.InsufficientPrivilege)
        raise DatabaseError(f"cannot make the role {BI_ROLE}: {_reason(error)}{f'; {ADMINISTRATOR}' if is_refused else ''}") from error
    if not is_altered and (problem := bi_problem(settings)):
        raise DatabaseError(f"{problem}, and is not ours to alter; {ADMINISTRATOR}")


def _patiently(engine: sa.Engine, password: str) -> bool:
    # Locks are a database's, roles the whole server's: somebody in another database may be at it just now.
    for _ in range(ATTEMPTS - 1):
        try:
            return _execute(engine, password)
        except (psycopg.errors.InternalError_, psycopg.errors.UniqueViolation, psycopg.errors.DuplicateObject):
            continue
    return _execute(engine, password)


def _execute(engine: sa.Engine, password: str) -> bool:
    """Everything in one transaction; False where the role is there, but not ours to alter."""
    with engine.begin() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(locks.ROLES)))
        psycopg_connection = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        cursor = psycopg_connection.cursor()
        is_known, database, owner = connection.execute(sa.text(_FOUND), {"role": BI_ROLE, "mart": MART}).one()
        # The plain password would stand in the server's log wherever that shows statements, or refuses this one.
        verifier = psycopg_connection.pgconn.encrypt_password(password.encode(), BI_ROLE.encode(), None).decode()
        names = {"role": BI_ROLE, "mart": MART, "database": database, "owner": owner}
        values = {"connections": CONNECTIONS, "verifier": verifier, "statement_timeout": STATEMENT_TIMEOUT, "idle_timeout": IDLE_TIMEOUT}
        parts: dict[str, sql.Composable] = {name: sql.Identifier(text) for name, text in names.items()}
        parts |= {name: sql.Literal(value) for name, value in values.items()}
        if not is_known:
            cursor.execute(sql.SQL("CREATE ROLE {role}").format(**parts))
        try:
            with psycopg_connection.transaction():
                for statement in _ROLE:
                    cursor.execute(sql.SQL(statement).format(**parts))
            is_altered = True
        except psycopg.errors.InsufficientPrivilege:
            is_altered = False
        for statement in _RIGHTS:
            cursor.execute(sql.SQL(statement).format(**parts))
        return is_altered


def bi_problem(settings: Settings) -> str | None:
    """Why BI tools and the dashboards cannot, or should not, read with the role, in words; None if all is well. Changes nothing.

    Raises:
        SettingError: `PND_DATABASE_URL` is no Postgres address.
        DatabaseError: the embedded server does not start, or the role was never made; says what to do.
    """
    engine = sa.create_engine(bi_url(settings), poolclass=sa.NullPool, connect_args={"connect_timeout": 10})
    limits = "SELECT current_setting('default_transaction_read_only') = 'on' AND current_setting('statement_timeout') <> '0'"
    try:
        with engine.connect() as connection:
            is_limited = connection.exec_driver_sql(limits).scalar()
    except SQLAlchemyError as error:
        return f"the role {BI_ROLE} cannot log in: {_reason(error)}"
    return None if is_limited else f"the role {BI_ROLE} has no limits of its own"


def _reason(error: Exception) -> str:
    return str(getattr(error, "orig", error)).strip().splitlines()[0]


def bi_url(settings: Settings) -> sa.URL:
    """Address of the platform's database for the role `pnd_bi`, for SQLAlchemy with psycopg.

    Raises:
        SettingError: `PND_DATABASE_URL` is no Postgres address.
        DatabaseError: the embedded server does not start, or the role was never made; says what to do.
    """
    url = sa.make_url(database_url(settings))
    return url.set(drivername="postgresql+psycopg", username=BI_ROLE, password=_password(settings, is_made=False))


def _password(settings: Settings, *, is_made: bool) -> str:
    """PND_BI_PASSWORD, else the one in the file of mode 0600 in PND_HOME, made when missing if `is_made`."""
    if settings.bi_password is not None:
        return settings.bi_password.get_secret_value()
    file = settings.home / "bi-password"
    if is_made and not file.exists():
        _write_secret(file, secrets.token_urlsafe(24))
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        raise DatabaseError(f"the role {BI_ROLE} has no password here: run `pnd db bi`, or set PND_BI_PASSWORD") from None
    except OSError as error:
        raise DatabaseError(f"cannot read {file}: {error.strerror}") from error


def _write_secret(file: Path, text: str) -> None:
    """Writes a file that only its owner may read; where two do so at once, the first counts."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:  # noqa: PTH123
        handle.write(text)
    try:
        file.hardlink_to(temporary)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
