"""Writing out.ranking_backtest and out.ranking_backtest_events."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.market.windows import HORIZONS, LAYOUT, METRICS
from pnd_dagster.ranking.rules import RULES
from pnd_dagster.storage import Written, replace_window
from pnd_dagster.storage.bulk import transaction
from pnd_dagster.tables import RANKING_BACKTEST, RANKING_BACKTEST_EVENTS


class Origin(NamedTuple):
    """What a backtest was run on.

    Attributes:
        data: name of the data; what is stored under it is replaced.
        is_synthetic: True for made-up markets.
        data_hash: see `hash_of`.
        computed_at: now.
    """

    data: str
    is_synthetic: bool
    data_hash: str
    computed_at: datetime


def hash_of(plan: object, files: Iterable[Path] = ()) -> str:
    """Hash of the data and of what ranks it: contents of files, plan, rules, metrics and horizons."""
    digest = hashlib.sha256(repr((plan, RULES, METRICS, HORIZONS, LAYOUT)).encode())
    for file in files:
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def write_backtest(engine: sa.Engine, origin: Origin, results: pl.DataFrame, events: pl.DataFrame | None) -> Written:
    """Replaces what is stored of the data; what was written of the results.

    Args:
        engine: the database.
        origin: of the data.
        results: source, rule, offset_seconds and the columns of `figures`, one row each; pool where they differ in it, else `surrogate`.
        events: source, rule, offset_seconds, event_id, symbol, mean_rank; None if they are not kept.

    Raises:
        SchemaError: a frame does not fit.
        DatabaseError: Postgres refused.
    """
    own = [pl.lit(value).alias(name) for name, value in origin._asdict().items()]
    kept = set(RANKING_BACKTEST_EVENTS.c.keys())
    with transaction(engine) as connection:
        if events is not None:
            rows = _with_pool(events).with_columns(column for column in own if column.meta.output_name() in kept)
            replace_window(connection, RANKING_BACKTEST_EVENTS, rows, RANKING_BACKTEST_EVENTS.c.data == origin.data)
        return replace_window(connection, RANKING_BACKTEST, _with_pool(results).with_columns(own), RANKING_BACKTEST.c.data == origin.data)


def _with_pool(rows: pl.DataFrame) -> pl.DataFrame:
    return rows if "pool" in rows.columns else rows.with_columns(pool=pl.lit("surrogate"))
