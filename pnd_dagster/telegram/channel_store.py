"""What reading from Telegram needs of the database: how far each channel was read, what is known of it, and where to put what comes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.exc import DBAPIError

from pnd_dagster import tables
from pnd_dagster.errors import DatabaseError
from pnd_dagster.storage import read_frame
from pnd_dagster.tables.frames import UTC_DATETIME
from pnd_dagster.telegram.batches import MessageBatch
from pnd_dagster.telegram.client import ChannelReference, FoundChannel
from pnd_dagster.telegram.store import store_batch

KNOWN_SCHEMA = pl.Schema({"message_id": pl.Int64(), "occurred_at": UTC_DATETIME, "kind": pl.String()})


Clock = Callable[[], datetime]

_INHERITED = ("link", "description", "found_via", "found_from_channel_id", "pump_share_ratio", "status", "status_reason", "decided_at")


class Cursor(NamedTuple):
    """How far a channel has been read; see raw.telegram_cursors."""

    channel_id: int
    oldest_message_id: int | None = None
    newest_message_id: int | None = None
    is_history_complete: bool = False
    pts: int | None = None


class ChannelStore(Protocol):
    """The database as history and listening see it."""

    def references(self) -> list[ChannelReference]:
        """The channels to read: validated by a human and not vanished."""
        ...

    def cursor(self, channel_id: int) -> Cursor:
        """How far the channel was read; an empty cursor if it never was."""
        ...

    def save(self, batch: MessageBatch) -> None:
        """Writes a batch, for good when it returns."""
        ...

    def advance(self, cursor: Cursor, *, now: datetime) -> None:
        """Moves a cursor forward; None leaves a field as it is."""
        ...

    def present(self, channel_id: int, *, since: datetime) -> pl.DataFrame:
        """`KNOWN_SCHEMA` of stored messages posted since a time that are not known to be deleted."""
        ...

    def posted(self, channel_id: int, message_ids: Collection[int]) -> pl.DataFrame:
        """`KNOWN_SCHEMA` of stored messages of some ids, deleted or not."""
        ...

    def record_channel(self, channel: FoundChannel, reference: ChannelReference, *, found_via: str, now: datetime) -> None:
        """Notes what Telegram says of a channel, and that it is there. A row that stood for its link becomes its row."""
        ...

    def record_vanished(self, channel_id: int) -> None:
        """Notes that Telegram no longer serves a channel."""
        ...


class PostgresChannelStore:
    """`ChannelStore` in the platform's database.

    Args:
        engine: the database.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def references(self) -> list[ChannelReference]:
        table = tables.TELEGRAM_CHANNELS
        statement = (
            sa.select(table.c.channel_id, table.c.username, table.c.link)
            .where(table.c.status == "validated", sa.not_(table.c.is_vanished))
            .order_by(table.c.channel_id)
        )
        return [ChannelReference(*row) for row in read_frame(self._engine, statement).iter_rows()]

    def cursor(self, channel_id: int) -> Cursor:
        table = tables.TELEGRAM_CURSORS
        statement = sa.select(*(table.c[name] for name in Cursor._fields)).where(table.c.channel_id == channel_id)
        rows = read_frame(self._engine, statement).rows()
        return Cursor(*rows[0]) if rows else Cursor(channel_id)

    def save(self, batch: MessageBatch) -> None:
        with _telling():
            store_batch(self._engine, batch)

    def advance(self, cursor: Cursor, *, now: datetime) -> None:
        # A history run and the listener move the same row at the same time: each may only add to what the other has reached.
        table = tables.TELEGRAM_CURSORS
        insert = pg.insert(table).values(**cursor._asdict(), updated_at=now)
        new = insert.excluded
        self._execute(
            insert.on_conflict_do_update(
                index_elements=[table.c.channel_id],
                set_={
                    "oldest_message_id": sa.func.least(table.c.oldest_message_id, new.oldest_message_id),
                    "newest_message_id": sa.func.greatest(table.c.newest_message_id, new.newest_message_id),
                    "is_history_complete": sa.or_(table.c.is_history_complete, new.is_history_complete),
                    "pts": sa.func.greatest(table.c.pts, new.pts),
                    "updated_at": new.updated_at,
                },
            )
        )

    def present(self, channel_id: int, *, since: datetime) -> pl.DataFrame:
        table = tables.TELEGRAM_MESSAGES
        statement = _known(table.c.channel_id == channel_id, table.c.occurred_at >= since)
        return read_frame(self._engine, statement.having(sa.not_(sa.func.bool_or(table.c.is_deleted)))).cast(KNOWN_SCHEMA)

    def posted(self, channel_id: int, message_ids: Collection[int]) -> pl.DataFrame:
        table = tables.TELEGRAM_MESSAGES
        statement = _known(table.c.channel_id == channel_id, table.c.message_id.in_(list(message_ids)))
        return read_frame(self._engine, statement).cast(KNOWN_SCHEMA)

    def record_channel(self, channel: FoundChannel, reference: ChannelReference, *, found_via: str, now: datetime) -> None:
        table = tables.TELEGRAM_CHANNELS
        insert = pg.insert(table).values(
            channel_id=channel.channel_id,
            title=channel.title,
            username=channel.username,
            participants=channel.participants,
            found_via=found_via,
            status="candidate",
            is_vanished=False,
            discovered_at=now,
        )
        new = insert.excluded
        upsert = insert.on_conflict_do_update(
            index_elements=[table.c.channel_id],
            set_={
                "title": new.title,
                "username": sa.func.coalesce(new.username, table.c.username),
                "participants": sa.func.coalesce(new.participants, table.c.participants),
                "is_vanished": sa.false(),
                "status_reason": sa.func.nullif(table.c.status_reason, "vanished"),
            },
        )
        if reference.channel_id == channel.channel_id:
            self._execute(upsert)
            return
        link_row = table.alias("link_row")
        is_link_row = link_row.c.channel_id == reference.channel_id
        # What a human decided of the link holds for the channel behind it, unless the channel itself was decided on.
        inherit = (
            sa.update(table)
            .where(table.c.channel_id == channel.channel_id, table.c.status == "candidate", sa.select(link_row).where(is_link_row).exists())
            .values({name: sa.select(link_row.c[name]).where(is_link_row).scalar_subquery() for name in _INHERITED})
        )
        self._execute(upsert, inherit, sa.delete(table).where(table.c.channel_id == reference.channel_id))

    def record_vanished(self, channel_id: int) -> None:
        table = tables.TELEGRAM_CHANNELS
        self._execute(
            sa.update(table)
            .where(table.c.channel_id == channel_id)
            .values(is_vanished=True, status_reason=sa.func.coalesce(table.c.status_reason, "vanished"))
        )

    def _execute(self, *statements: sa.Executable) -> None:
        with _telling(), self._engine.begin() as connection:
            for statement in statements:
                connection.execute(statement)


@contextmanager
def _telling() -> Generator[None]:
    """Whatever keeps Postgres from answering is a DatabaseError: the listener waits for it to come back."""
    try:
        yield
    except DBAPIError as error:
        raise DatabaseError(f"Postgres refused: {(str(error.orig).strip() or type(error.orig).__name__).splitlines()[0]}") from error


def _known(*conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    table = tables.TELEGRAM_MESSAGES
    return (
        sa.select(
            table.c.message_id,
            sa.func.min(table.c.occurred_at).label("occurred_at"),
            sa.func.min(table.c.kind).label("kind"),
        )
        .where(*conditions)
        .group_by(table.c.message_id)
    )
