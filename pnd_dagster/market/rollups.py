"""Hourly moments of every metric over the hour's windows: writing core.metric_rollups, and its blocks of six hours."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import sqlalchemy as sa

from pnd_dagster.market.book_metrics import Floats, Integers
from pnd_dagster.market.bucket_grid import read_grid
from pnd_dagster.market.moments import Moments, moments
from pnd_dagster.market.rollup_history import block_end_of, read_block
from pnd_dagster.market.windows import HORIZONS, LAYOUT, METRICS, Grid, bucket_count, window_values
from pnd_dagster.storage import NOTHING_WRITTEN, Written, locks, read_frame, replace_window, transaction
from pnd_dagster.tables import INSTRUMENTS, METRIC_ROLLUP_BLOCKS, METRIC_ROLLUPS

_HOUR = timedelta(hours=1)
# Instruments of one pass: a grid of an hour holds 20 numbers per bucket, 115 kB per instrument.
_AT_ONCE = 500


def rollup_hour(engine: sa.Engine, exchange: str, hour_end: datetime) -> Written:
    """Writes the moments of the hour that ends then, for every instrument of which any window is known; run twice, nothing changes.

    The windows of each horizon lie end to end from the hour's start. See `window_values` for what a window needs.

    Raises:
        ValueError: `hour_end` is no full hour.
        DatabaseError: Postgres refused or cannot be reached.
    """
    if hour_end.timestamp() % _HOUR.total_seconds():
        raise ValueError(f"{hour_end.isoformat()} is no full hour")
    ids = _listed(engine, exchange, hour_end)
    rows: list[pl.DataFrame] = []
    for start in range(0, len(ids), _AT_ONCE):
        part = ids[start : start + _AT_ONCE]
        rows.append(rollup_rows(part, hour_end, roll_up(read_grid(engine, exchange, part, hour_end - _HOUR, hour_end))))
    if not rows:
        return NOTHING_WRITTEN
    rollup = METRIC_ROLLUPS.c
    with transaction(engine) as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(locks.ROLLUPS)))
        is_ours = sa.and_(rollup.hour_end_at == hour_end, rollup.instrument_id.in_(ids.tolist()))
        written = replace_window(connection, METRIC_ROLLUPS, pl.concat(rows), is_ours)
        pool_block(connection, exchange, block_end_of(hour_end))
    return written


def pool_block(connection: sa.Connection, exchange: str, block_end: datetime) -> None:
    """Pools the hours of a block that there are; in the transaction that changed one of them.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """
    hours = read_block(connection, exchange, block_end)
    flat = hours.moments.each(lambda part: part.reshape(len(part), len(METRICS) * len(HORIZONS)))
    rows = rollup_rows(hours.instrument_ids, block_end, flat)
    block, instrument = METRIC_ROLLUP_BLOCKS.c, INSTRUMENTS.c
    listed = sa.select(instrument.instrument_id).where(instrument.exchange == exchange)
    is_ours = sa.and_(block.block_end_at == block_end, block.instrument_id.in_(listed))
    replace_window(connection, METRIC_ROLLUP_BLOCKS, rows.rename({"hour_end_at": "block_end_at"}), is_ours)


def roll_up(grid: Grid) -> Moments:
    """Moments over the windows of each horizon, [instruments, metrics x horizons], a metric's horizons side by side."""
    by_horizon = [moments(window_values(grid, bucket_count(horizon))) for horizon in HORIZONS]
    count = by_horizon[0].n.shape[1]

    def flat(parts: list[Floats]) -> Floats:
        return np.stack(parts, axis=-1).swapaxes(0, 1).reshape(count, len(METRICS) * len(HORIZONS))

    n = flat([part.n.astype(np.float64) for part in by_horizon]).astype(np.int64)
    return Moments(n, flat([part.mean for part in by_horizon]), flat([part.m2 for part in by_horizon]))


def _listed(engine: sa.Engine, exchange: str, hour_end: datetime) -> Integers:
    c = INSTRUMENTS.c
    is_listed = sa.or_(c.valid_to.is_(None), c.valid_to > hour_end - _HOUR)
    statement = sa.select(c.instrument_id).where(c.exchange == exchange, is_listed)
    return np.sort(read_frame(engine, statement)["instrument_id"].to_numpy())


def rollup_rows(instrument_ids: Integers, hour_end: datetime, found: Moments) -> pl.DataFrame:
    """Rows of core.metric_rollups of one hour, for the instruments of which any window is known.

    Args:
        instrument_ids: [instruments].
        hour_end: the hour's end.
        found: moments as `roll_up` gives them.
    """
    is_known = found.n.any(axis=1)
    count, width = int(is_known.sum()), found.n.shape[1]

    def lists(values: Floats | Integers) -> pl.Series:
        flat = pl.Series(values[is_known].ravel())
        flat = flat.fill_nan(None) if flat.dtype.is_float() else flat
        return flat.reshape((count, width)).arr.to_list() if count else pl.Series([], dtype=pl.List(flat.dtype))

    return pl.DataFrame(
        {"instrument_id": instrument_ids[is_known], "n": lists(found.n), "mean": lists(found.mean), "m2": lists(found.m2)}
    ).with_columns(pl.lit(hour_end).alias("hour_end_at"), pl.lit(LAYOUT).alias("layout"))
