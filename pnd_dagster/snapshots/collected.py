"""What a run of a vendor's client gives, and how a snapshot is read page by page and written whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.errors import SourceError
from pnd_dagster.snapshots.fields import Rows
from pnd_dagster.snapshots.http import VendorClient
from pnd_dagster.storage import Written, transaction, upsert
from pnd_dagster.storage.dead_letters import Refusal, dead_letters
from pnd_dagster.tables import DEAD_LETTERS, conform, polars_schema

MAX_PAGES = 1_000


class Collected(NamedTuple):
    """What a run wrote and cost.

    Attributes:
        written: rows of the vendor's table.
        coins: coins of which there are rows.
        refused: objects that went to raw.dead_letters.
        requests: requests sent, retries included.
        credits: credits the vendor says they cost.
        unread: column -> rows in which its value was missing or could not be read and became NULL.
        announced: coins the vendor says it has, None where it does not say.
    """

    written: Written
    coins: int
    refused: int
    requests: int
    credits: int
    unread: dict[str, int]
    announced: int | None = None


class Parsed(NamedTuple):
    """What an answer holds: a frame of the vendor's table, refused objects, and `Rows.unread`."""

    frame: pl.DataFrame
    refusals: list[Refusal]
    unread: Counter[str]


class Page(NamedTuple):
    """A page of a list, and how many objects the vendor says the list has."""

    items: list[Any]
    announced: int | None


def read_pages(what: str, ask: Callable[[int, int], Page], page_size: int) -> tuple[list[Any], int | None]:
    """All objects of a list that comes in pages, each id once, as its last page gave it.

    A list may move while it is read; what it announces says how much that cost.

    Args:
        what: vendor and method, for messages.
        ask: the page for (pages read, objects read).
        page_size: objects of a full page.

    Returns:
        The objects, and how many the vendor announced.

    Raises:
        SourceError: pages repeat each other, or never end.
    """
    found: dict[Any, Any] = {}
    read = 0
    for page_number in range(MAX_PAGES):
        page = ask(page_number, read)
        known = len(found)
        for item in page.items:
            # What has no id is refused when it is parsed; it must get that far.
            item_id = item.get("id") if isinstance(item, dict) else None
            found[item_id if isinstance(item_id, (int, str)) else object()] = item
        read += len(page.items)
        is_last = len(page.items) < page_size if page.announced is None else read >= page.announced
        if not page.items or is_last:
            return list(found.values()), page.announced
        if len(found) == known:
            raise SourceError(f"{what}: page {page_number + 1} repeats what came before; has the paging changed?")
    raise SourceError(f"{what}: the list does not end after {MAX_PAGES} pages")


def frame_of(table: sa.Table, rows: Rows, **constants: object) -> Parsed:
    """Rows as a frame of `table`, with the same `constants` in each."""
    schema = polars_schema(table)
    frame = pl.DataFrame([{**row, **constants} for row in rows.rows], schema=schema)
    return Parsed(conform(frame, table), rows.refusals, rows.unread)


def write_snapshot(
    engine: sa.Engine, table: sa.Table, client: VendorClient, parsed: Parsed, now: datetime, announced: int | None = None
) -> Collected:
    """Writes a snapshot and its refusals in one transaction: it is there as a whole or not at all.

    Raises:
        DatabaseError: Postgres refused.
    """
    with transaction(engine) as connection:
        written = upsert(connection, table, parsed.frame)
        letters = dead_letters(client.vendor.name, parsed.refusals, refused_at=now)
        upsert(connection, DEAD_LETTERS, letters)
    return Collected(
        written=written,
        coins=parsed.frame["coin_id"].n_unique(),
        refused=len(parsed.refusals),
        requests=client.usage.requests,
        credits=client.usage.credits,
        unread=dict(parsed.unread),
        announced=announced,
    )
