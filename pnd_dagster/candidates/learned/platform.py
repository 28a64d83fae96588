"""The panel of this installation: daily candles with CoinCodex's capitalisations and LunarCrush's social metrics, and its pump events."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import sqlalchemy as sa

from pnd_dagster.candidates.learned.panels import Pump, Source, daily_panel
from pnd_dagster.candidates.names import normalised_name
from pnd_dagster.storage import read_frame
from pnd_dagster.tables import (
    COIN_LINKS,
    COINCODEX_DAILY,
    COINMARKETCAP_SNAPSHOTS,
    INSTRUMENTS,
    LUNARCRUSH_SNAPSHOTS,
    OHLCV_DAILY,
    PUMP_EVENTS,
)

HISTORY = timedelta(days=40)
"""Days read before the first event, or before the newest day: a window and what the hour before midnight moves it."""

SOCIAL = ("interactions", "likes", "shares", "posts_created", "posts_active", "contributors")
SOCIAL_SCORES = ("sentiment", "social_dominance", "galaxy_score", "alt_rank")


def platform(engine: sa.Engine, *, newest: bool = False) -> Source:
    """What the database holds for the learned filter: complete days only; what is missing stands in the notes, with what to run.

    A coin is a pair on an exchange. Capitalisations and social metrics are joined by the CoinMarketCap coin its instrument is linked to,
    and by that coin's symbol and name; coins that several vendor entries share these with get none. Of a day's snapshots the last counts.

    Args:
        engine: of the database.
        newest: read the last `HISTORY` only, for clusters of coins; else the days of the events, and `HISTORY` before the first.

    Raises:
        DatabaseError: Postgres refused.
    """
    event, candle = PUMP_EVENTS.c, OHLCV_DAILY.c
    events = read_frame(engine, sa.select(event.exchange, event.symbol, event.released_at))
    last_held = read_frame(engine, sa.select(sa.func.max(candle.day).label("day")).where(candle.is_complete)).item()
    first, last = _span(events, last_held, newest=newest)
    wanted = sa.select(candle.exchange, candle.symbol, candle.day, candle.open, candle.high, candle.low, candle.close, candle.volume)
    wanted = wanted.add_columns(candle.quote_volume).where(candle.is_complete, candle.day.between(first, last))
    days = read_frame(engine, wanted).with_columns(quote_volume=pl.col("quote_volume").fill_null(pl.col("volume") * pl.col("close")))
    notes = ["core.pump_events is empty: import messages and run `pnd run`"] if events.is_empty() else []
    if last_held is None:
        notes.append("raw.ohlcv_daily is empty: backfill it in the Dagster UI")
    elif days.is_empty():
        notes.append(f"raw.ohlcv_daily holds no day from {first} to {last}, the time of the events: backfill it in the Dagster UI")
    identities = _identities(engine)
    caps, social = _caps(engine, identities, first), _social(engine, identities, first)
    for what, rows in (("market cap", caps), ("social metric", social)):
        notes += [f"no {what} could be joined: its series are left out"] if rows.is_empty() else []
    coins = identities.select("exchange", "symbol", "coin_id").unique(["exchange", "symbol"])
    joined = days.join(coins, on=["exchange", "symbol"], how="left")
    joined = joined.join(caps, on=["coin_id", "day"], how="left").join(social, on=["coin_id", "day"], how="left")
    base = pl.col("symbol").str.split("/").list.first()
    named = joined.select(
        pl.exclude("exchange", "symbol", "coin_id"), coin=pl.format("{} {}", "exchange", "symbol"), symbol=base, market="exchange"
    )
    panel = daily_panel(named, _bitcoin(named))
    if panel.reference is None and named.height:
        notes.append("no exchange has candles of BTC: the day's median over the coins stands for Bitcoin's series")
    return Source(panel, *_pumps(events, panel.coins, notes))


def _span(events: pl.DataFrame, last_held: date | None, *, newest: bool) -> tuple[date, date]:
    """The first and the last day to read."""
    if newest or events.is_empty():
        last = last_held or date(1970, 1, 1) + HISTORY
        return last - HISTORY, last
    released = pl.col("released_at").dt.date()
    return events.select(released.min() - HISTORY, last=released.max()).row(0)


def _pumps(events: pl.DataFrame, coins: list[str], notes: list[str]) -> tuple[list[Pump], list[str]]:
    places = {coin: place for place, coin in enumerate(coins)}
    found = [
        Pump(place, at) for exchange, symbol, at in events.iter_rows() if (place := places.get(f"{exchange} {symbol}/USDT")) is not None
    ]
    if lost := events.height - len(found):
        notes = [*notes, f"{lost} of {events.height} events have no known exchange, or no candles of the coin there"]
    return found, notes


def _bitcoin(days: pl.DataFrame) -> str | None:
    """Bitcoin's pair on the exchange with most days of it."""
    counted = days.filter(pl.col("symbol") == "BTC").group_by("coin").len().sort("len", "coin", descending=[True, False])
    return counted["coin"].to_list()[0] if counted.height else None


def _identities(engine: sa.Engine) -> pl.DataFrame:
    """exchange, symbol (pair), coin_id, ticker, name_key: each instrument's coin under all names it had."""
    listing, link, snapshot = INSTRUMENTS.c, COIN_LINKS.c, COINMARKETCAP_SNAPSHOTS.c
    linked = read_frame(
        engine,
        sa.select(listing.exchange, listing.symbol, link.coin_id)
        .join_from(INSTRUMENTS, COIN_LINKS, link.instrument_id == listing.instrument_id)
        .where(link.coin_id.is_not(None))
        .order_by(listing.valid_from.desc(), listing.instrument_id),
    ).unique(["exchange", "symbol"], keep="first", maintain_order=True)
    names = read_frame(engine, sa.select(snapshot.coin_id, snapshot.symbol.label("ticker"), snapshot.name).distinct())
    return linked.join(_keyed(names), on="coin_id", how="left")


def _caps(engine: sa.Engine, identities: pl.DataFrame, first: date) -> pl.DataFrame:
    """coin_id, day, market_cap from a day on; unreported ones are not there."""
    codex = COINCODEX_DAILY.c
    columns = (codex.coin_id.label("vendor_id"), codex.symbol.label("ticker"), codex.name)
    vendor = read_frame(engine, sa.select(*columns).distinct())
    wanted = sa.select(columns[0], codex.day, codex.market_cap_usd.label("market_cap"))
    days = read_frame(engine, wanted.where(codex.market_cap_usd > 0, codex.day >= first))
    return days.join(_same(vendor, identities), on="vendor_id").drop("vendor_id")


def _social(engine: sa.Engine, identities: pl.DataFrame, first: date) -> pl.DataFrame:
    """coin_id, day and the social metrics of the day's last snapshot, from a day on."""
    moon = LUNARCRUSH_SNAPSHOTS.c
    vendor = read_frame(engine, sa.select(moon.coin_id.label("vendor_id"), moon.symbol.label("ticker"), moon.name).distinct())
    values = [moon[name] for name in (*SOCIAL, *SOCIAL_SCORES)]
    at = sa.func.timezone("UTC", moon.snapshot_at)
    day = sa.cast(at, sa.Date).label("day")
    last = sa.select(moon.coin_id.label("vendor_id"), day, *values).where(day >= first).distinct(moon.coin_id, day)
    days = read_frame(engine, last.order_by(moon.coin_id, day, moon.snapshot_at.desc()))
    return days.join(_same(vendor, identities), on="vendor_id").drop("vendor_id")


def _same(vendor: pl.DataFrame, identities: pl.DataFrame) -> pl.DataFrame:
    """vendor_id, coin_id of coins that share symbol and name with one entry of the vendor only, and the other way round."""
    coins = identities.select("coin_id", "ticker", "name_key").unique()
    pairs = coins.join(_keyed(vendor), on=["ticker", "name_key"]).select("vendor_id", "coin_id").unique()
    return pairs.filter((pl.len().over("coin_id") == 1) & (pl.len().over("vendor_id") == 1))


def _keyed(names: pl.DataFrame) -> pl.DataFrame:
    keyed = names.with_columns(pl.col("ticker").str.to_uppercase(), name_key=pl.col("name").map_elements(normalised_name, pl.String))
    return keyed.drop("name").filter(pl.col("name_key") != "")
