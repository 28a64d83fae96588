"""Links all instruments of the database to the coins of CoinMarketCap (`link_rules` decides)."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import sqlalchemy as sa

from pnd_dagster.candidates.link_rules import Coin, Link, Listing, link_listings, links_frame
from pnd_dagster.storage import Written, read_frame, upsert
from pnd_dagster.tables import COIN_LINKS, COINMARKETCAP_SNAPSHOTS, INSTRUMENTS, OHLCV_DAILY

# Prices are compared only if both are no older than this.
PRICE_AGE = timedelta(days=4)


def link_instruments(engine: sa.Engine, now: datetime) -> Written:
    """Brings core.coin_links up to date: one row for every instrument, those that could not be linked with the reason.

    Uses the latest CoinMarketCap snapshot of each coin and the instruments' last daily close. Run twice, nothing changes.
    """
    links = link_listings(_listings(engine, now), _coins(engine, now), _existing(engine))
    return upsert(engine, COIN_LINKS, links_frame(links, now))


def _listings(engine: sa.Engine, now: datetime) -> list[Listing]:
    listing, candle = INSTRUMENTS.c, OHLCV_DAILY.c
    instruments = read_frame(engine, sa.select(INSTRUMENTS).order_by(listing.instrument_id))
    closes = read_frame(
        engine,
        sa.select(candle.exchange, candle.symbol, candle.close)
        .where(candle.day.between((now - PRICE_AGE).date(), now.date()))
        .order_by(candle.exchange, candle.symbol, candle.day),
    ).unique(["exchange", "symbol"], keep="last", maintain_order=True)
    frame = instruments.join(closes, on=["exchange", "symbol"], how="left", maintain_order="left")
    # A candle belongs to the symbol's present market, not to one that had the symbol before.
    return [
        Listing(
            instrument_id=row["instrument_id"],
            symbol=row["base_symbol"],
            name=row["base_name"],
            contract_address=row["contract_address"],
            derivative_reason=_derivative(row["is_derivative"], row["derivative_of"]),
            price_usd=row["close"] if row["valid_to"] is None else None,
        )
        for row in frame.iter_rows(named=True)
    ]


def _derivative(is_derivative: bool, of: str | None) -> str | None:
    if not is_derivative:
        return None
    return f"a derivative token of {of}" if of else "a derivative token"


def _coins(engine: sa.Engine, now: datetime) -> list[Coin]:
    snapshot = COINMARKETCAP_SNAPSHOTS.c
    latest = (
        sa.select(snapshot.coin_id, sa.func.max(snapshot.snapshot_at).label("snapshot_at"))
        .where(snapshot.snapshot_at <= now)
        .group_by(snapshot.coin_id)
        .subquery()
    )
    frame = read_frame(
        engine,
        sa.select(
            snapshot.coin_id,
            snapshot.symbol,
            snapshot.name,
            snapshot.is_active,
            snapshot.contract_address,
            snapshot.price_usd,
            snapshot.snapshot_at,
        )
        .join_from(
            COINMARKETCAP_SNAPSHOTS, latest, sa.and_(latest.c.coin_id == snapshot.coin_id, latest.c.snapshot_at == snapshot.snapshot_at)
        )
        .order_by(snapshot.coin_id),
    )
    is_fresh = pl.col("snapshot_at") > pl.lit(now - PRICE_AGE)
    priced = frame.with_columns(price_usd=pl.when(is_fresh).then(pl.col("price_usd"))).drop("snapshot_at")
    return [Coin(*row) for row in priced.iter_rows()]


def _existing(engine: sa.Engine) -> dict[int, Link]:
    link = COIN_LINKS.c
    frame = read_frame(engine, sa.select(link.instrument_id, link.coin_id, link.method, link.rivals, link.reason))
    return {row[0]: Link(*row) for row in frame.iter_rows()}
