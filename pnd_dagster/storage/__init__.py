"""The database: where it is, its schema, bulk writes and reads."""

from pnd_dagster.storage.bulk import NOTHING_WRITTEN, Written, count_rows, replace_window, transaction, upsert
from pnd_dagster.storage.engine import create_engine, dagster_url, database_url
from pnd_dagster.storage.reading import read_frame
from pnd_dagster.storage.schema import connect
from pnd_dagster.storage.window import Window, within

__all__ = [
    "NOTHING_WRITTEN",
    "Window",
    "Written",
    "connect",
    "count_rows",
    "create_engine",
    "dagster_url",
    "database_url",
    "read_frame",
    "replace_window",
    "transaction",
    "upsert",
    "within",
]
