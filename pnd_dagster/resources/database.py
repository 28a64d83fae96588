"""The database and the installation's settings as Dagster resources."""

from __future__ import annotations

import dagster as dg
import sqlalchemy as sa

from pnd_dagster.settings import Settings, load_settings
from pnd_dagster.storage import connect


class DatabaseResource(dg.ConfigurableResource):
    """The platform's Postgres: the embedded server, or the one of `PND_DATABASE_URL`. Its address is never part of run config."""

    @property
    def settings(self) -> Settings:
        """This installation's settings, read from the environment of the process that runs."""
        return load_settings()

    @property
    def engine(self) -> sa.Engine:
        """An engine on the migrated database; one per process."""
        return connect(self.settings)
