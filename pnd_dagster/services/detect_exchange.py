"""One exchange of the detector: its coins' last minutes and their baselines, and the pumps that show in them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa

from pnd_dagster.candidates.watch_list import watch_list
from pnd_dagster.events.identity import stable_id
from pnd_dagster.market.book_metrics import Booleans, Floats, Integers
from pnd_dagster.market.bucket_grid import read_blindness, read_last_rows, read_rows
from pnd_dagster.market.rollup_history import read_history
from pnd_dagster.market.windows import HORIZONS, METRICS
from pnd_dagster.ranking.detection import WINDOW_SECONDS, Baseline, Bucket, Detector, Signs, in_words, is_pump, no_baseline
from pnd_dagster.storage import read_frame
from pnd_dagster.tables import BUCKET_SECONDS, DETECTED_PUMPS, SCHEDULED_PUMPS, TRADE_METRICS

REFRACTORY = timedelta(hours=2)
"""A coin raises one alarm in so long: the span within which releases are one event."""

ANNOUNCED_WITHIN = timedelta(minutes=30)
"""A pump that was announced for no further from the detection than this is the one that was detected."""

_BUCKET = timedelta(seconds=BUCKET_SECONDS)
_WINDOW = timedelta(seconds=WINDOW_SECONDS)
_PRICE_MEMORY = timedelta(hours=1)


class DetectedExchange:
    """The watched coins of an exchange, bucket by bucket.

    Args:
        engine: the database.
        exchange: canonical id.
        until: end of the bucket after which it begins to raise alarms.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """

    def __init__(self, engine: sa.Engine, exchange: str, until: datetime) -> None:
        self.exchange, self.opened_at = exchange, until
        listed = watch_list(engine, exchange, until.date()).sort("instrument_id")
        self._ids: Integers = listed["instrument_id"].to_numpy()
        self._symbols: list[str] = listed["symbol"].to_list()
        start = until - _WINDOW
        self.bucket_end_at = start
        self._detector = Detector(
            _baseline(engine, exchange, self._ids, start),
            _last_vwaps(engine, self._ids, start),
            place=int(start.timestamp()) % WINDOW_SECONDS // BUCKET_SECONDS,
        )
        self._free_at = self._refractory(engine, until)
        self._take_in(engine, until)

    def catch_up(self, engine: sa.Engine, until: datetime) -> list[dict[str, Any]]:
        """Takes in the buckets up to `until`; those not committed are unknown.

        Returns:
            Rows of out.detected_pumps but for pump_id, the earliest first.

        Raises:
            DatabaseError: Postgres refused or cannot be reached; the next call tries again.
        """
        found: list[tuple[datetime, int, Signs]] = []
        for at, signs in self._take_in(engine, until):
            for place in np.flatnonzero(is_pump(signs) & (self._free_at <= at.timestamp())).tolist():
                self._free_at[place] = (at + REFRACTORY).timestamp()
                found.append((at, place, signs))
        return [self._row(at, place, signs) for at, place, signs in found]

    def _take_in(self, engine: sa.Engine, until: datetime) -> list[tuple[datetime, Signs]]:
        start, count = self.bucket_end_at, (until - self.bucket_end_at) // _BUCKET
        if count <= 0 or not len(self._ids):
            self.bucket_end_at = max(until, start)
            return []
        is_blind = read_blindness(engine, self.exchange, self._ids, start, until)
        grid = _grid(self._ids, start, is_blind, read_rows(engine, TRADE_METRICS, self._ids, start, until))
        self.bucket_end_at = until
        return [
            (start + (number + 1) * _BUCKET, self._detector.update(Bucket(*(values[:, number] for values in grid))))
            for number in range(count)
        ]

    def _refractory(self, engine: sa.Engine, until: datetime) -> Floats:
        """When each coin may raise an alarm again, seconds since 1970."""
        c = DETECTED_PUMPS.c
        earlier = read_frame(
            engine,
            sa.select(c.instrument_id, c.detected_at).where(c.exchange == self.exchange, c.detected_at > until - REFRACTORY),
        ).filter(pl.col("instrument_id").is_in(self._ids.tolist()))
        free_at = np.zeros(len(self._ids))
        for instrument_id, detected_at in earlier.iter_rows():
            place = int(np.searchsorted(self._ids, instrument_id))
            free_at[place] = max(free_at[place], (detected_at + REFRACTORY).timestamp())
        return free_at

    def _row(self, at: datetime, place: int, signs: Signs) -> dict[str, Any]:
        instrument_id = int(self._ids[place])
        volume_z, trades_z, change = (float(sign[place]) for sign in signs[:3])
        return {
            "detection_id": stable_id("detection", instrument_id, at.astimezone(UTC).isoformat()),
            "instrument_id": instrument_id,
            "exchange": self.exchange,
            "symbol": self._symbols[place].partition("/")[0].upper(),
            "detected_at": at,
            "volume_z": volume_z,
            "trades_z": trades_z,
            "price_change": change,
            "reason": in_words(volume_z, trades_z, change),
        }


def announced_for(connection: sa.Connection, exchange: str, at: datetime) -> str | None:
    """The pump that was announced for about then, on that exchange before one of which no exchange is known; None if there is none."""
    pump = SCHEDULED_PUMPS.c
    distance = sa.func.abs(sa.extract("epoch", pump.scheduled_at - sa.literal(at, sa.TIMESTAMP(timezone=True))))
    statement = (
        sa.select(pump.pump_id)
        .where(
            pump.scheduled_at.between(at - ANNOUNCED_WITHIN, at + ANNOUNCED_WITHIN),
            sa.or_(pump.exchange == exchange, pump.exchange.is_(None)),
            pump.status != "cancelled",
        )
        .order_by(pump.exchange.is_(None), distance)
    )
    return connection.execute(statement).scalars().first()


def _baseline(engine: sa.Engine, exchange: str, instrument_ids: Integers, until: datetime) -> Baseline:
    """Of the rollups of the three days before; nothing for a coin that has none."""
    baseline = no_baseline(len(instrument_ids))
    hour = datetime.fromtimestamp(until.timestamp() // 3600 * 3600, UTC)
    history = read_history(engine, exchange, hour)
    is_ours = np.isin(history.instrument_ids, instrument_ids)
    places = np.searchsorted(instrument_ids, history.instrument_ids[is_ours])
    horizon = HORIZONS.index(WINDOW_SECONDS)
    for row, metric in enumerate(("taker_buy_volume", "trade_count")):
        for whole, part in zip(baseline, history.moments, strict=True):
            whole[row, places] = np.nan_to_num(part[is_ours, METRICS.index(metric), horizon])
    return baseline


def _last_vwaps(engine: sa.Engine, instrument_ids: Integers, until: datetime) -> Floats:
    vwaps = np.full(len(instrument_ids), np.nan)
    if len(instrument_ids):
        last = read_last_rows(engine, TRADE_METRICS, instrument_ids, until, _PRICE_MEMORY)
        vwaps[np.searchsorted(instrument_ids, last["instrument_id"].to_numpy())] = last["vwap"].to_numpy()
    return vwaps


def _grid(instrument_ids: Integers, start: datetime, is_blind: Booleans, rows: pl.DataFrame) -> tuple[Floats, ...]:
    """The fields of `Bucket`, [instruments, buckets] each."""
    places = np.searchsorted(instrument_ids, rows["instrument_id"].to_numpy())
    columns = ((rows["bucket_end_at"] - start).dt.total_microseconds().to_numpy() // (BUCKET_SECONDS * 1_000_000)).astype(np.int64) - 1
    is_blind = is_blind.copy()
    is_blind[places, columns] |= rows["is_gap"].to_numpy()
    values: Mapping[str, pl.Series] = {
        "trade_count": rows["trade_count"],
        "taker_buy_volume": rows["taker_buy_volume"],
        "volume": rows["volume"],
        "quote_volume": rows["vwap"] * rows["volume"],
    }
    grids: list[Floats] = []
    for name in Bucket._fields:
        grid = np.zeros(is_blind.shape)
        grid[places, columns] = values[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        grid[is_blind] = np.nan
        grids.append(grid)
    return tuple(grids)
