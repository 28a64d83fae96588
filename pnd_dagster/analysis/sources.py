"""What the analyses read: the platform's tables, and files that an installation has beside them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.analysis.sound import known
from pnd_dagster.backtest.reading import event_ids, read_events, read_trades
from pnd_dagster.errors import SettingError, SourceError
from pnd_dagster.settings import Settings
from pnd_dagster.storage import read_frame
from pnd_dagster.tables import (
    LUNARCRUSH_SNAPSHOTS,
    PUMP_EVENTS,
)

SAME_PUMP = timedelta(hours=2)
AROUND_TICKS = timedelta(hours=48)
"""Trades of files are read so long after an event's start; what lies before it is read however long it reaches."""

_TIME = pl.Datetime("us", "UTC")
EVENT = {
    "origin": pl.String,
    "event_id": pl.String,
    "exchange": pl.String,
    "symbol": pl.String,
    "released_at": _TIME,
    "channel_ids": pl.List(pl.Int64),
}
SOCIAL = {
    "coin": pl.String,
    "symbol": pl.String,
    "day": pl.Date,
    "interactions": pl.Float64,
    "dominance": pl.Float64,
    "sentiment": pl.Float64,
    "price": pl.Float64,
}


class Files(NamedTuple):
    """Files beside the database.

    Attributes:
        trades: Parquet of tick trades, see `backtest.reading.read_trades`.
        trade_events: CSV of the pumps they surround, see `backtest.reading.read_events`.
        candles: Parquet of daily candles: symbol, day or timestamp, close, volume; exchange, quote_volume, trade_count, hours where known.
        social: Parquet of daily social data: coin, day, tweets (interactions), sentiment_mean where known.
    """

    trades: Path | None = None
    trade_events: Path | None = None
    candles: Path | None = None
    social: Path | None = None


class Sources(NamedTuple):
    """Where the analyses read.

    Attributes:
        engine: the platform's database.
        settings: of the installation.
        files: beside it.
    """

    engine: sa.Engine
    settings: Settings
    files: Files

    def select(self, statement: sa.Select[Any]) -> pl.DataFrame:
        """Rows of the database."""
        return read_frame(self.engine, statement)


class Ticks(NamedTuple):
    """Tick trades around pumps.

    Attributes:
        events: columns of `EVENT`; the exchange is the name of the file, which does not say it.
        trades: event_id, at (UTC), price, quantity; in time order within an event.
        notes: what was left out, a line each.
    """

    events: pl.DataFrame
    trades: pl.DataFrame
    notes: list[str]


def sources_of(engine: sa.Engine, settings: Settings) -> Sources:
    """The database and the files that the settings name.

    Raises:
        SettingError: only one of PND_BACKTEST_TRADES and PND_BACKTEST_EVENTS is set.
    """
    if (settings.backtest_trades is None) != (settings.backtest_events is None):
        raise SettingError("PND_BACKTEST_TRADES and PND_BACKTEST_EVENTS belong together; set both or none")
    return Sources(engine, settings, Files(settings.backtest_trades, settings.backtest_events))


def events_of(sources: Sources) -> pl.DataFrame:
    """core.pump_events in time order, columns of `EVENT`."""
    event = PUMP_EVENTS.c
    frame = sources.select(
        sa.select(event.event_id, event.exchange, event.symbol, event.released_at, event.channel_ids).order_by(
            event.released_at, event.event_id
        )
    )
    return frame.with_columns(origin=pl.lit("database")).select(pl.col(name).cast(dtype) for name, dtype in EVENT.items())


def ticks_of(sources: Sources, events: pl.DataFrame) -> Ticks:
    """Tick trades of the files, none where there are none; channels are those of an event of ours of the same coin within 2 h.

    Args:
        sources: names the files.
        events: of the database, columns of `EVENT`.

    Raises:
        SourceError: a file cannot be read or does not fit.
    """
    path, log = sources.files.trades, sources.files.trade_events
    none = Ticks(pl.DataFrame(schema=EVENT), pl.DataFrame(schema={"event_id": pl.String, "at": _TIME, **_PRICED}), [])
    if path is None or log is None:
        return none._replace(notes=["no tick trades: set PND_BACKTEST_TRADES and PND_BACKTEST_EVENTS"])
    known = event_ids(path)
    pumps = read_events(log, known)
    streams, refused = read_trades(path, {pump.event_id: pump.at + AROUND_TICKS // timedelta(milliseconds=1) for pump in pumps})
    frames = [
        pl.DataFrame({"event_id": event_id, "at": stream.times, "price": stream.prices, "quantity": stream.quantities})
        for event_id, stream in sorted(streams.items())
    ]
    if not frames:
        raise SourceError(f"{path}: holds no trades of any of the {len(pumps)} events of {log}")
    trades = pl.concat(frames).with_columns(pl.from_epoch("at", "ms").dt.replace_time_zone("UTC").cast(_TIME))
    rows = [(path.stem, pump.event_id, pump.coin, pump.at) for pump in pumps if pump.event_id in streams]
    announced = pl.DataFrame(rows, schema=["origin", "event_id", "symbol", "at"], orient="row").with_columns(
        released_at=pl.from_epoch("at", "ms").dt.replace_time_zone("UTC").cast(_TIME)
    )
    notes = (
        [f"{len(pumps) - len(rows)} of {len(pumps)} events of {log.name} have no trades and are left out"] if len(rows) < len(pumps) else []
    )
    if refused:
        notes.append(f"{refused:,} trades of {path.name} without a positive, finite price and amount were passed over")
    return Ticks(_told_by_channels(announced, events, path.stem), trades, notes)


_PRICED = {"price": pl.Float64, "quantity": pl.Float64}


def _told_by_channels(announced: pl.DataFrame, events: pl.DataFrame, name: str) -> pl.DataFrame:
    """Columns of `EVENT`."""
    near = (
        announced.join(events.select("symbol", "channel_ids", told_at="released_at"), on="symbol", how="left")
        .with_columns(apart=(pl.col("told_at") - pl.col("released_at")).abs())
        .filter(pl.col("apart") <= SAME_PUMP)
        .sort("apart")
        .unique("event_id", keep="first", maintain_order=True)
    )
    joined = announced.join(near.select("event_id", "channel_ids"), on="event_id", how="left", maintain_order="left")
    return joined.with_columns(exchange=pl.lit(name)).select(pl.col(column).cast(dtype) for column, dtype in EVENT.items())


def social_of(sources: Sources) -> pl.DataFrame:
    """Social data by coin and day, columns of `SOCIAL`: of the file where one is given, else LunarCrush's last snapshot of each day.

    Raises:
        SourceError: the file cannot be read, does not fit, or has several rows of a coin and day.
    """
    if (path := sources.files.social) is not None:
        with reading(path):
            return _social_file(path)
    snapshot = LUNARCRUSH_SNAPSHOTS.c
    day = sa.cast(sa.func.timezone("UTC", snapshot.snapshot_at), sa.Date)
    frame = sources.select(
        sa.select(
            sa.cast(snapshot.coin_id, sa.Text).label("coin"),
            snapshot.symbol,
            day.label("day"),
            sa.cast(snapshot.interactions, sa.Double).label("interactions"),
            (snapshot.social_dominance / 100).label("dominance"),
            (snapshot.sentiment / 100).label("sentiment"),
            snapshot.price_usd.label("price"),
        )
        .distinct(snapshot.coin_id, day)
        .order_by(snapshot.coin_id, day, snapshot.snapshot_at.desc())
    )
    return _social(frame)


def _social(frame: pl.DataFrame) -> pl.DataFrame:
    typed = frame.select(pl.col(name).cast(dtype) for name, dtype in SOCIAL.items())
    return typed.with_columns(known(name) for name, dtype in SOCIAL.items() if dtype.is_float())


def _social_file(path: Path) -> pl.DataFrame:
    frame = read_columns(path, ("coin", "day", "tweets"))
    sentiment = pl.col("sentiment_mean") if "sentiment_mean" in frame.columns else pl.lit(None)
    named = frame.with_columns(
        interactions=pl.col("tweets").cast(pl.Float64), sentiment=sentiment, symbol=pl.col("coin").str.to_uppercase()
    )
    share = named.with_columns(dominance=pl.col("interactions") / pl.col("interactions").sum().over("day"), price=pl.lit(None))
    social = _social(share).drop_nulls(["coin", "day"])
    if not (twice := social.filter(social.select("coin", "day").is_duplicated())).is_empty():
        raise SourceError(f"{path}: several rows of coin {twice['coin'][0]} on {twice['day'][0]}")
    return social


def read_columns(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    """A Parquet file that has these columns.

    Raises:
        SourceError: it cannot be read, or lacks one.
    """
    with reading(path):
        frame = pl.read_parquet(path)
    if missing := [name for name in columns if name not in frame.columns]:
        raise SourceError(f"{path}: missing column{'s' if len(missing) > 1 else ''} {', '.join(missing)}")
    return frame


@contextmanager
def reading(path: Path) -> Generator[None]:
    """Says in one line which file cannot be read, or holds what does not fit.

    Raises:
        SourceError: whatever the operating system or Polars said of the file.
    """
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        said = str(getattr(error, "strerror", None) or error) or type(error).__name__
        raise SourceError(f"{path}: {said.splitlines()[0]}") from error
