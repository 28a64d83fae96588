"""The database's schema over time: Alembic migrations, and how far the database is from the declared tables."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import autogenerate, command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import SQLAlchemyError

from pnd_dagster.errors import DatabaseError
from pnd_dagster.settings import Settings
from pnd_dagster.storage import locks
from pnd_dagster.storage.engine import check_connection, create_databases, create_engine, database_url
from pnd_dagster.tables import METADATA, SCHEMAS

MIGRATIONS = Path(__file__).parent / "migrations"
# Day partitions of the metric tables come and go with retention; they are no part of the declared schema.
DAY_PARTITION = re.compile(r"_p\d{8}$")


def connect(settings: Settings) -> sa.Engine:
    """An engine on the platform's database, ready for use.

    The embedded server is started, created and migrated as needed; a server of the user's is migrated only by `pnd db upgrade`.

    Raises:
        SettingError: `PND_DATABASE_URL` is no Postgres address.
        DatabaseError: the server cannot be reached, or its schema is not current; says what to do.
    """
    url = database_url(settings)
    if settings.database_url is None:
        create_databases(settings)
        engine = create_engine(url)
        if current_revision(engine) != head_revision():
            upgrade(engine)
        return engine
    check_connection(url)
    engine = create_engine(url)
    if (current := current_revision(engine)) != (head := head_revision()):
        raise DatabaseError(f"the database is at revision {current or 'none'}, this version needs {head}: run `pnd db upgrade`")
    return engine


def upgrade(engine: sa.Engine) -> str:
    """Brings the database to the newest revision and returns it; several at once wait for each other."""
    with engine.connect() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_lock(locks.UPGRADE)))
        try:
            for schema in SCHEMAS:
                connection.exec_driver_sql(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            if current_revision(engine) != head_revision():
                _drop_staging_views(connection)
            connection.commit()
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
        except SQLAlchemyError as error:
            raise DatabaseError(f"migration failed: {str(getattr(error, 'orig', error)).strip().splitlines()[0]}") from error
        finally:
            connection.rollback()
            connection.execute(sa.select(sa.func.pg_advisory_unlock(locks.UPGRADE)))
    return head_revision()


def drift(engine: sa.Engine) -> list[str]:
    """Differences between the declared tables and the database, in words; empty when they agree."""
    return _differences(engine, {"include_name": is_managed})


def table_drift(engine: sa.Engine, table: sa.Table) -> list[str]:
    """Differences between one declared table and the database, in words; empty when they agree."""

    def is_own_name(name: str | None, kind: str, parents: Any) -> bool:
        return name == (table.schema if kind == "schema" else table.name) if kind in ("schema", "table") else True

    def is_own(item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
        return kind != "table" or item.key == table.key

    return _differences(engine, {"include_name": is_own_name, "include_object": is_own})


def current_revision(engine: sa.Engine) -> str | None:
    """Revision of the database, None before the first migration."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection, opts={"version_table_schema": "core"}).get_current_revision()


@cache
def head_revision() -> str:
    """Newest revision this version of the code knows."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def is_managed(name: str | None, kind: str, parents: Any) -> bool:
    """Alembic's name filter: only our schemas, neither Alembic's own table nor day partitions."""
    if kind == "schema":
        return name in SCHEMAS
    return not (kind == "table" and name and (name == "alembic_version" or DAY_PARTITION.search(name)))


def _differences(engine: sa.Engine, filters: dict[str, Any]) -> list[str]:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_schemas": True, "compare_type": True, **filters})
        return [repr(difference) for difference in autogenerate.compare_metadata(context, METADATA)]


def _drop_staging_views(connection: sa.Connection) -> None:
    """Removes the warehouse's views: they would not let a migration change their columns. Its next build makes them anew."""
    views = sa.text("SELECT viewname FROM pg_views WHERE schemaname = 'staging' AND viewname ~ '^(stg|int)_'")
    for name in connection.execute(views).scalars().all():
        connection.exec_driver_sql(f'DROP VIEW IF EXISTS staging."{name}" CASCADE')


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
