"""The history that ranking compares with: hourly rollups of one exchange, pooled."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
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

# Arrays of numbers are sent as five integers of heading, then each element after its length. Without NULL every row is equally long.
_QUERY = sql.SQL("""COPY (
    SELECT instrument_id, n, array_replace(mean, NULL, 'NaN'), array_replace(m2, NULL, 'NaN')
    FROM core.metric_rollups JOIN core.instruments USING (instrument_id)
    WHERE exchange = {exchange} AND hour_end_at > {since} AND hour_end_at <= {until} AND layout = {layout}
        AND instrument_id % {parts} = {part}
) TO STDOUT (FORMAT binary)""")
_HEADER_BYTES, _TRAILER_BYTES = 19, 2
_NUMBERS = {"SMALLINT": ">i2", "REAL": ">f4", "DOUBLE": ">f8", "DOUBLE PRECISION": ">f8"}
# Postgres spends a second on turning the arrays of an exchange into bytes: two of its processes need half of that.
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
    with ThreadPoolExecutor(_PARTS) as threads:
        parts = list(threads.map(lambda part: _read_part(engine, exchange, until, hours, part), range(_PARTS)))
    ids = np.concatenate([part.instrument_ids for part in parts])
    order = np.argsort(ids)
    together = Moments(*(np.concatenate(arrays)[order] for arrays in zip(*(part.moments for part in parts), strict=True)))
    return History(ids[order], together)


def _read_part(engine: sa.Engine, exchange: str, until: datetime, hours: int, part: int) -> History:
    query = _QUERY.format(
        exchange=sql.Literal(exchange),
        since=sql.Literal(until - timedelta(hours=hours)),
        until=sql.Literal(until),
        layout=sql.Literal(LAYOUT),
        parts=sql.Literal(_PARTS),
        part=sql.Literal(part),
    )
    with transaction(engine) as connection:
        driver = cast("psycopg.Connection[tuple[object, ...]]", connection.connection.driver_connection)
        received = bytearray()
        try:
            with driver.cursor() as cursor, cursor.copy(query) as copy:
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
