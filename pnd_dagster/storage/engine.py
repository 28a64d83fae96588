"""Where the database is, and an engine on it."""

from __future__ import annotations

from functools import cache

import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.exc import ArgumentError

from pnd_dagster.errors import DatabaseError, SettingError
from pnd_dagster.settings import Settings
from pnd_dagster.storage import embedded

DATABASE = "pnd"


def database_url(settings: Settings) -> str:
    """Libpq address of the platform's database; starts the embedded server when no other is set.

    Raises:
        SettingError: `PND_DATABASE_URL` is no Postgres address.
        DatabaseError: the embedded server does not start.
    """
    if settings.database_url is None:
        return embedded.start(settings.home, port=settings.database_port).url(DATABASE)
    return _parse(settings.database_url.get_secret_value()).set(drivername="postgresql").render_as_string(hide_password=False)


def dagster_url(settings: Settings) -> str:
    """Libpq address of Dagster's database, in the same server."""
    return sa.make_url(database_url(settings)).set(database=settings.dagster_database).render_as_string(hide_password=False)


@cache
def create_engine(url: str) -> sa.Engine:
    """An engine on a libpq address, one per address and process; sessions speak UTC."""
    driver_url = sa.make_url(url).set(drivername="postgresql+psycopg")
    return sa.create_engine(
        driver_url, pool_pre_ping=True, connect_args={"options": "-c timezone=UTC", "application_name": "pnd", "connect_timeout": 10}
    )


def create_databases(settings: Settings) -> None:
    """Creates the platform's and Dagster's databases where they are missing.

    Raises:
        DatabaseError: the server cannot be reached, or refuses; says which address, without its password.
    """
    url = sa.make_url(database_url(settings))
    for name in (str(url.database), settings.dagster_database):
        try:
            if _exists(url, name):
                continue
            with psycopg.connect(_text(_maintenance(url)), autocommit=True, connect_timeout=10) as connection:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
                if name == settings.dagster_database:
                    # Dagster commits each event by itself, thousands in a backfill. A crash may cost the last half second of its log.
                    connection.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(name)))
        except psycopg.errors.DuplicateDatabase:
            continue  # another process was faster
        except psycopg.Error as error:
            raise _unreachable(url.set(database=name), error) from error


def check_connection(url: str) -> str:
    """The server's version.

    Raises:
        DatabaseError: it cannot be reached; says which address, without its password.
    """
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            row = connection.execute("SHOW server_version").fetchone()
    except psycopg.Error as error:
        raise _unreachable(sa.make_url(url), error) from error
    return str(row[0]) if row else "unknown"


def _exists(url: sa.URL, name: str) -> bool:
    try:
        psycopg.connect(_text(url.set(database=name)), connect_timeout=10).close()
    except psycopg.OperationalError as error:
        if f'database "{name}" does not exist' in str(error):
            return False
        raise
    return True


def _maintenance(url: sa.URL) -> sa.URL:
    return url.set(database="postgres")


def _text(url: sa.URL) -> str:
    return url.render_as_string(hide_password=False)


def _parse(text: str) -> sa.URL:
    try:
        url = sa.make_url(text)
    except ArgumentError:
        raise SettingError("PND_DATABASE_URL: not an address; expected postgresql://user:password@host:5432/database") from None
    if url.get_backend_name() != "postgresql" or not url.database:
        raise SettingError("PND_DATABASE_URL: expected postgresql://user:password@host:5432/database")
    return url


def _unreachable(url: sa.URL, error: Exception) -> DatabaseError:
    reason = str(error).strip().splitlines()[-1].removeprefix("connection failed: ")
    return DatabaseError(f"cannot use the database {url.render_as_string(hide_password=True)}: {reason}")
