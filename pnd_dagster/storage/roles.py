"""The role that BI reads with: `pnd_bi` sees the schema `mart` and nothing else, and can write nothing."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

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


def ensure_bi_role(engine: sa.Engine, settings: Settings) -> None:
    """Creates the role where it is missing, and makes its password, its limits and its rights what they should be. May run at any time.

    It may connect to this database and read all tables and views of the schema `mart`, also those that whoever runs this makes later.
    Sessions are read-only and statements are ended after `STATEMENT_TIMEOUT`: defaults, which a session could lift for itself; it could
    still write nothing.

    Raises:
        DatabaseError: Postgres refused, as it does where the user of PND_DATABASE_URL may not create roles; says what to do.
    """
    password = _password(settings, is_made=True)
    database = str(engine.url.database)
    names = {"role": sql.Identifier(BI_ROLE), "mart": sql.Identifier(MART), "database": sql.Identifier(database)}
    statements = (
        "ALTER ROLE {role} LOGIN NOINHERIT CONNECTION LIMIT {connections} PASSWORD {password}",
        "ALTER ROLE {role} IN DATABASE {database} SET default_transaction_read_only = on",
        "ALTER ROLE {role} IN DATABASE {database} SET statement_timeout = {statement_timeout}",
        "ALTER ROLE {role} IN DATABASE {database} SET idle_in_transaction_session_timeout = {idle_timeout}",
        "ALTER ROLE {role} IN DATABASE {database} SET search_path = {mart}",
        "ALTER ROLE {role} IN DATABASE {database} SET timezone = 'UTC'",
        "CREATE SCHEMA IF NOT EXISTS {mart}",
        # What everybody may by default: make temporary tables, and use the schema `public`.
        "REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "GRANT CONNECT ON DATABASE {database} TO {role}",
        "GRANT USAGE ON SCHEMA {mart} TO {role}",
        "GRANT SELECT ON ALL TABLES IN SCHEMA {mart} TO {role}",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA {mart} GRANT SELECT ON TABLES TO {role}",
    )
    values = {
        "connections": sql.Literal(CONNECTIONS),
        "password": sql.Literal(password),
        "statement_timeout": sql.Literal(STATEMENT_TIMEOUT),
        "idle_timeout": sql.Literal(IDLE_TIMEOUT),
    }
    composed = [sql.SQL(statement).format(**names, **values) for statement in statements]
    try:
        # Locks are a database's, roles the whole server's: somebody in another database may be at it just now.
        for attempt in range(ATTEMPTS):
            try:
                _execute(engine, composed)
                return
            except (psycopg.errors.InternalError_, psycopg.errors.UniqueViolation, psycopg.errors.DuplicateObject):
                if attempt == ATTEMPTS - 1:
                    raise
    except (psycopg.Error, SQLAlchemyError) as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        hint = f"; let an administrator run `pnd db bi`, or GRANT the user of PND_DATABASE_URL the right to make and alter {BI_ROLE}"
        raise DatabaseError(f"cannot make the role {BI_ROLE}: {reason}{hint if 'ermission' in reason else ''}") from error


def _execute(engine: sa.Engine, statements: list[sql.Composed]) -> None:
    with engine.begin() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(locks.ROLES)))
        is_known = connection.execute(sa.text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": BI_ROLE}).first()
        cursor = connection.connection.cursor()
        if not is_known:
            cursor.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(BI_ROLE)))
        for statement in statements:
            cursor.execute(statement)


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
