"""The history that ranking compares with: hourly rollups of one exchange, pooled."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, cast

import numpy as np
import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects import postgresql as pg

from pnd_dagster.errors import DatabaseError
from pnd_dagster.market.book_metrics import Integers
from pnd_dagster.market.moments import Moments, merge
from pnd_dagster.market.windows import HORIZONS, LAYOUT, METRICS
from pnd_dagster.storage.bulk import transaction
from pnd_dagster.tables import METRIC_ROLLUPS

BLOCK = timedelta(hours=6)
"""So many hours are pooled beforehand, in core.metric_rollup_blocks."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Arrays of numbers are sent as five integers of heading, then each element after its length. Without NULL every row is equally long.
_FIELDS = sql.SQL("instrument_id, n, array_replace(mean, NULL, 'NaN'), array_replace(m2, NULL, 'NaN')")
_HOURS = sql.SQL("""SELECT {fields} FROM core.metric_rollups JOIN core.instruments USING (instrument_id)
    WHERE exchange = {exchange} AND hour_end_at > {since} AND hour_end_at <= {until} AND layout = {layout}
        AND instrument_id % {parts} = {part}""")
# A block stands for its hours where all of them are wanted.
_QUERY = sql.SQL("""{hours} AND NOT EXISTS (
        SELECT FROM core.metric_rollup_blocks AS pooled
        WHERE pooled.instrument_id = metric_rollups.instrument_id AND pooled.layout = metric_rollups.layout
            AND pooled.block_end_at = date_bin({block}, hour_end_at - interval '1 second', {epoch}) + {block}
            AND pooled.block_end_at - {block} >= {since} AND pooled.block_end_at <= {until}
    )
    UNION ALL
    SELECT {fields} FROM core.metric_rollup_blocks JOIN core.instruments USING (instrument_id)
    WHERE exchange = {exchange} AND block_end_at - {block} >= {since} AND block_end_at <= {until} AND layout = {layout}
        AND instrument_id % {parts} = {part}""")
_HEADER_BYTES, _TRAILER_BYTES = 19, 2
_NUMBERS = {"SMALLINT": ">i2", "REAL": ">f4", "DOUBLE": ">f8", "DOUBLE PRECISION": ">f8"}
# Turning arrays into bytes is most of the work: two of Postgres's processes need half of the time.
_PARTS = 2
_WIDTH = len(METRICS) * len(HORIZONS)


class History(NamedTuple):
    """Moments of each metric over windows of each horizon.

    Attributes:
        instrument_ids: [instruments], ascending; only those with any rollup.
        moments: [instruments, `METRICS`, `HORIZONS`].
    """

    instrument_ids: Integers
    moments: Moments


def read_history(engine: sa.Engine, exchange: str, until: datetime, hours: int = 72) -> History:
    """What the rollups of the `hours` up to `until` say of the exchange's instruments; those of another layout are passed over.

    Raises:
        DatabaseError: Postgres refused, or the rows are not of this layout's length.
    """

    def read_part(part: int) -> History:
        with transaction(engine) as connection:
            return _read(connection, _formatted(_QUERY, exchange, until, timedelta(hours=hours), part, _PARTS))

    with ThreadPoolExecutor(_PARTS) as threads:
        parts = list(threads.map(read_part, range(_PARTS)))
    ids = np.concatenate([part.instrument_ids for part in parts])
    order = np.argsort(ids)
    together = Moments(*(np.concatenate(arrays)[order] for arrays in zip(*(part.moments for part in parts), strict=True)))
    return History(ids[order], together)


def read_block(connection: sa.Connection, exchange: str, block_end: datetime) -> History:
    """What the hourly rollups of a block say, also those that the connection's transaction has written.

    Raises:
        DatabaseError: as `read_history`.
    """
    return _read(connection, _formatted(_HOURS, exchange, block_end, BLOCK, 0, 1))


def block_end_of(hour_end: datetime) -> datetime:
    """The end of the block that an hour belongs to."""
    return _EPOCH - (_EPOCH - hour_end) // BLOCK * BLOCK


def _formatted(template: sql.SQL, exchange: str, until: datetime, length: timedelta, part: int, parts: int) -> sql.Composed:
    values: dict[str, sql.Composable] = {
        "fields": _FIELDS,
        "exchange": sql.Literal(exchange),
        "since": sql.Literal(until - length),
        "until": sql.Literal(until),
        "layout": sql.Literal(LAYOUT),
        "parts": sql.Literal(parts),
        "part": sql.Literal(part),
        "block": sql.Literal(BLOCK),
        "epoch": sql.Literal(_EPOCH),
    }
    return template.format(**values, hours=_HOURS.format(**values))


def _read(connection: sa.Connection, query: sql.Composed) -> History:
    driver = cast("psycopg.Connection[tuple[object, ...]]", connection.connection.driver_connection)
    received = bytearray()
    try:
        with driver.cursor() as cursor, cursor.copy(sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(query)) as copy:
            for chunk in copy:
                received += chunk
    except psycopg.Error as error:
        raise DatabaseError(f"core.metric_rollups cannot be read: {str(error).splitlines()[0]}") from error
    record = _record()
    count, rest = divmod(len(received) - _HEADER_BYTES - _TRAILER_BYTES, record.itemsize)
    rows = np.frombuffer(received, record, count, _HEADER_BYTES)
    if rest or not (rows["fields"] == 4).all():
        raise DatabaseError(f"core.metric_rollups: rows of layout {LAYOUT} are not {_WIDTH} numbers long; they are of another version")
    return _pool(rows)


def _record() -> np.dtype[np.void]:
    """A row of the answer, big-endian: each value after its length."""
    fields: list[tuple[str, object]] = [("fields", ">i2"), ("id_length", ">i4"), ("id", ">i8")]
    for name in ("n", "mean", "m2"):
        number = _NUMBERS[str(cast("pg.ARRAY[float]", METRIC_ROLLUPS.c[name].type).item_type)]
        fields += [(f"{name}_heading", (">i4", 6)), (name, ([("length", ">i4"), ("value", number)], _WIDTH))]
    return np.dtype(fields)


def _pool(rows: np.ndarray) -> History:
    order = np.argsort(rows["id"], kind="stable")
    ids, starts = np.unique(rows["id"][order], return_index=True)
    shape = (len(ids), _WIDTH)
    n, mean, m2 = np.zeros(shape, np.int64), np.full(shape, np.nan), np.full(shape, np.nan)
    # An instrument at a time: its hours fit into the processor's cache.
    for place, index in enumerate(np.split(order, starts[1:])):
        if len(index):
            own = rows[index]
            parts = Moments(
                own["n"]["value"].astype(np.int64), own["mean"]["value"].astype(np.float64), own["m2"]["value"].astype(np.float64)
            )
            n[place], mean[place], m2[place] = merge(parts)
    cube = (len(ids), len(METRICS), len(HORIZONS))
    return History(ids.astype(np.int64), Moments(n.reshape(cube), mean.reshape(cube), m2.reshape(cube)))
