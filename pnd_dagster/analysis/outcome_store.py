"""Outcomes of pumps in the database: each event from the finest prices that are known of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple, cast

import polars as pl
import sqlalchemy as sa

from pnd_dagster.analysis.intervals import of_median, of_share
from pnd_dagster.analysis.outcomes import QUIET_DAYS, Tape, outcome, outcome_of_days, tape_of_trades
from pnd_dagster.analysis.sound import not_negative, positive
from pnd_dagster.backtest.reading import Event, event_ids, read_events, read_trades
from pnd_dagster.errors import SettingError
from pnd_dagster.settings import Settings
from pnd_dagster.storage import Written, read_frame, replace_window
from pnd_dagster.tables import (
    BUCKET_COMMITS,
    FEED_GAPS,
    INSTRUMENTS,
    OHLCV_DAILY,
    OUTCOME_RESOLUTIONS,
    PUMP_EVENTS,
    PUMP_OUTCOMES,
    TRADE_METRICS,
    polars_schema,
)

SETTLED = timedelta(hours=3)
"""An outcome is looked for once a pump is so old: its peak, and the hour after it, are over."""
BEFORE, AFTER = timedelta(hours=25), timedelta(hours=2, minutes=5)
SAME_RELEASE = timedelta(minutes=10)
"""A pump of a file and an event of one coin are one if they lie so close together."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_OWN = ("event_id", "exchange", "symbol", "released_at")
_Row = dict[str, Any]


class Outcomes(NamedTuple):
    """What was written, and what a reader should know of it, a line each."""

    written: Written
    notes: list[str]


def write_outcomes(engine: sa.Engine, settings: Settings, now: datetime) -> Outcomes:
    """Makes out.pump_outcomes right: a row per settled event, and per pump of the file of past pumps that is no known event.

    Single trades (PND_BACKTEST_TRADES) are believed before 5 s buckets, these before daily candles. An outcome of 5 s buckets stays when
    retention has dropped them. Run twice, nothing changes.

    Raises:
        SettingError: only one of PND_BACKTEST_TRADES and PND_BACKTEST_EVENTS is set.
        SourceError: a file of past pumps cannot be read.
        DatabaseError: Postgres refused.
    """
    if (settings.backtest_trades is None) != (settings.backtest_events is None):
        raise SettingError("PND_BACKTEST_TRADES and PND_BACKTEST_EVENTS belong together; set both or none")
    event = PUMP_EVENTS.c
    is_settled = event.released_at <= now - SETTLED
    events = read_frame(engine, sa.select(*(event[name] for name in _OWN)).where(is_settled).order_by(event.released_at, event.event_id))
    notes = [f"{events.height:,} events are settled"]
    rows: dict[str, _Row] = {row["event_id"]: row for row in events.iter_rows(named=True)}
    for found in (_of_candles(engine, events, notes), _of_buckets(engine, events), _of_files(settings, events, notes)):
        for row in found:
            own = {name: value for name, value in rows.get(row["event_id"], {}).items() if name in _OWN}
            rows[row["event_id"]] = own | row
    rows |= _kept(engine, rows)
    frame = pl.DataFrame([row | {"computed_at": now} for row in rows.values()], schema=polars_schema(PUMP_OUTCOMES))
    return Outcomes(replace_window(engine, PUMP_OUTCOMES, frame, sa.true()), notes + _told(frame))


def outcome_figures(engine: sa.Engine) -> pl.DataFrame:
    """Medians over the stored outcomes by resolution, with their 95% interval: resolution, what, median, low, high, n."""
    rows: list[tuple[Any, ...]] = []
    stored = read_frame(engine, sa.select(PUMP_OUTCOMES).order_by(PUMP_OUTCOMES.c.event_id)).drop_nulls("resolution")
    for (resolution,), part in stored.group_by("resolution", maintain_order=True):
        for name in part.columns:
            if name.endswith("_ratio") or name == "seconds_to_peak":
                values = part[name].drop_nulls()
                rows.append((resolution, name, values.median(), *of_median(values.to_numpy()), len(values)))
        moved = part["is_moved"].drop_nulls()
        count = int(moved.sum())
        rows.append((resolution, "share that moved", count / len(moved) if len(moved) else None, *of_share(count, len(moved)), len(moved)))
    names = {"resolution": pl.String, "what": pl.String, **dict.fromkeys(("median", "low", "high"), pl.Float64), "n": pl.Int64}
    return pl.DataFrame(rows, schema=names, orient="row")


def _told(frame: pl.DataFrame) -> list[str]:
    by_resolution = frame.group_by("resolution").len().sort("resolution", nulls_last=True)
    notes = [f"{count:,} outcomes {f'by {name}' if name else 'without prices'}" for name, count in by_resolution.iter_rows()]
    if frame["resolution"].is_null().all():
        notes.append(
            "no prices around any event: set PND_BACKTEST_TRADES and PND_BACKTEST_EVENTS, run `pnd collect`, or fill raw.ohlcv_daily"
        )
    return notes


def _kept(engine: sa.Engine, rows: dict[str, _Row]) -> dict[str, _Row]:
    """Stored outcomes of 5 s buckets that could not be found again so fine; those of events that are gone are not kept."""
    finer = OUTCOME_RESOLUTIONS[:2]
    stored = read_frame(engine, sa.select(PUMP_OUTCOMES).where(PUMP_OUTCOMES.c.resolution == "5 s"))
    return {
        row["event_id"]: row
        for row in stored.iter_rows(named=True)
        if row["event_id"] in rows and rows[row["event_id"]].get("resolution") not in finer
    }


def _of_candles(engine: sa.Engine, events: pl.DataFrame, notes: list[str]) -> Iterator[_Row]:
    """Outcomes of events on whose exchange the coin has a candle of the day and of the day before."""
    if events.is_empty():
        return
    candle = OHLCV_DAILY.c
    base = sa.func.split_part(candle.symbol, "/", 1).label("base")
    reach = timedelta(days=QUIET_DAYS + 1)
    first, last = (cast(datetime, end).date() for end in (events["released_at"].min(), events["released_at"].max()))
    given = read_frame(
        engine,
        sa.select(candle.exchange, base, candle.day, candle.high, candle.close, candle.volume, candle.quote_volume)
        .where(candle.is_complete, candle.day.between(first - reach, last), base.in_(events["symbol"].unique().to_list()))
        .order_by(candle.exchange, candle.symbol, candle.day),
    )
    valued = given.with_columns(value=pl.coalesce("quote_volume", pl.col("volume") * pl.col("close")))
    candles = valued.filter(positive("high", "close"), not_negative("value"), pl.col("high") >= pl.col("close"))
    if refused := given.height - candles.height:
        notes.append(f"{refused:,} candles without positive, finite prices, or with a close above their high, were passed over")
    pairs = {key: part for key, part in candles.group_by("exchange", "base")}  # noqa: C416
    for event_id, exchange, symbol, released_at in events.select(_OWN).iter_rows():
        day: date = released_at.date()
        pair = pairs.get((exchange, symbol))
        if pair is None:
            continue
        near = pair.filter(pl.col("day").is_between(day - reach, day)).sort("day")
        # Of the days before only those without a gap between them and the pump's.
        joined = near.filter((pl.lit(day) - pl.col("day")).dt.total_days() == pl.int_range(pl.len()).reverse())
        if found := outcome_of_days(joined):
            yield {"event_id": event_id, "resolution": "day", "data": "raw.ohlcv_daily", "quote_symbol": "USDT"} | found


def _of_buckets(engine: sa.Engine, events: pl.DataFrame) -> Iterator[_Row]:
    """Outcomes of events whose coin was collected without a blind moment from the release on."""
    with engine.connect() as connection:
        since = connection.execute(sa.select(sa.func.min(BUCKET_COMMITS.c.bucket_end_at))).scalar()
    if since is None:
        return
    listing, trade = INSTRUMENTS.c, TRADE_METRICS.c
    columns = (trade.bucket_end_at, trade.vwap, trade.high_price, trade.low_price, trade.last_price, trade.quote_volume, trade.trade_count)
    for event_id, exchange, symbol, at in events.filter(pl.col("released_at") > since).select(_OWN).iter_rows():
        was_listed = sa.and_(listing.valid_from <= at, sa.or_(listing.valid_to.is_(None), listing.valid_to > at))
        statement = sa.select(listing.instrument_id, listing.quote_symbol).where(
            listing.exchange == exchange, listing.base_symbol == symbol, was_listed
        )
        instruments = read_frame(engine, statement)
        if instruments.height != 1:
            continue
        instrument_id, quote = instruments.row(0)
        is_near = sa.and_(trade.bucket_end_at.between(at - BEFORE, at + AFTER), trade.trade_count > 0)
        buckets = read_frame(engine, sa.select(*columns).where(trade.instrument_id == instrument_id, is_near).order_by(trade.bucket_end_at))
        buckets = buckets.filter(
            positive("vwap", "high_price", "low_price", "last_price", "quote_volume"), pl.col("low_price") <= pl.col("high_price")
        )
        if buckets.is_empty() or _was_blind(engine, exchange, instrument_id, at):
            continue
        # A bucket that ends with the release holds what was traded before it.
        found = outcome(_tape_of_buckets(buckets, _milliseconds(at + AFTER)), _milliseconds(at) + 1)
        yield {"event_id": event_id, "resolution": "5 s", "data": "core.trade_metrics", "quote_symbol": quote} | _with_time(found, at)


def _was_blind(engine: sa.Engine, exchange: str, instrument_id: int, at: datetime) -> bool:
    gap = FEED_GAPS.c
    touches = sa.and_(gap.started_at < at + AFTER, sa.or_(gap.ended_at.is_(None), gap.ended_at > at - timedelta(minutes=1)))
    statement = sa.select(sa.exists().where(gap.exchange == exchange, gap.instrument_ids.contains([instrument_id]), touches))
    with engine.connect() as connection:
        return bool(connection.execute(statement).scalar())


def _tape_of_buckets(buckets: pl.DataFrame, until: int) -> Tape:
    names = ("vwap", "high_price", "low_price", "last_price", "quote_volume")
    prices, highs, lows, last, values = (buckets[name].cast(pl.Float64).to_numpy() for name in names)
    times, counts = buckets["bucket_end_at"].dt.epoch("ms").to_numpy(), buckets["trade_count"].cast(pl.Int64).to_numpy()
    return Tape(times, prices, highs, lows, last, values, counts, until)


def _of_files(settings: Settings, events: pl.DataFrame, notes: list[str]) -> Iterator[_Row]:
    """Outcomes of the pumps in the installation's files; of one that is a known event under that event, from its own release."""
    if not (settings.backtest_trades and settings.backtest_events):
        return
    pumps = read_events(settings.backtest_events, event_ids(settings.backtest_trades))
    margin = round((AFTER + SAME_RELEASE) / _MILLISECOND)
    streams, refused = read_trades(settings.backtest_trades, {pump.event_id: pump.at + margin for pump in pumps})
    quotes = _quotes(settings)
    known = set[str]()
    for pump in pumps:
        if pump.event_id not in streams:
            continue
        match = _nearest(events, pump)
        if match:
            known.add(match["event_id"])
        own = match or {"event_id": pump.event_id, "symbol": pump.coin, "released_at": _EPOCH + pump.at * _MILLISECOND}
        stream = streams[pump.event_id]
        found = outcome(tape_of_trades(stream.times, stream.prices, stream.quantities), _milliseconds(own["released_at"]))
        data = {"resolution": "trade", "data": settings.backtest_trades.stem, "quote_symbol": quotes.get(pump.event_id)}
        yield own | data | _with_time(found, own["released_at"])
    notes.append(f"{len(streams)} of {len(pumps)} pumps of {settings.backtest_events.name} have trades; {len(known)} are known events")
    if refused:
        notes.append(f"{refused:,} trades without a positive, finite price and amount were passed over")


def _nearest(events: pl.DataFrame, pump: Event) -> _Row | None:
    """The event of the pump's coin that lies nearest to it, within `SAME_RELEASE`."""
    apart = (pl.col("released_at") - (_EPOCH + pump.at * _MILLISECOND)).abs()
    near = events.filter(pl.col("symbol") == pump.coin, apart <= SAME_RELEASE).sort(apart, "event_id")
    return near.row(0, named=True) if near.height else None


def _quotes(settings: Settings) -> dict[str, str]:
    """Quote currency by event, where the file of trades has a column symbol such as ABC/BTC."""
    file = pl.scan_parquet(str(settings.backtest_trades))
    if "symbol" not in file.collect_schema().names():
        return {}
    pairs = file.select(pl.col("event_id").cast(pl.String), pl.col("symbol").cast(pl.String)).unique().collect()
    return {event_id: symbol.split("/")[1].upper() for event_id, symbol in pairs.iter_rows() if symbol and "/" in symbol}


def _with_time(found: _Row, released_at: datetime) -> _Row:
    if found.get("peak_at") is None:
        return found
    peak_at = _EPOCH + found["peak_at"] * _MILLISECOND
    return found | {"peak_at": peak_at, "seconds_to_peak": (peak_at - released_at).total_seconds()}


def _milliseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MILLISECOND
