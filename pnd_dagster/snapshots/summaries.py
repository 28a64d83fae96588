"""Counts of what vendors said, for metadata."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
import sqlalchemy as sa

from pnd_dagster.storage import read_frame
from pnd_dagster.tables import COINCODEX_DAILY, COINMARKETCAP_SNAPSHOTS, LUNARCRUSH_SNAPSHOTS


def most_talked_of(engine: sa.Engine, snapshot_at: datetime) -> pl.DataFrame:
    """The ten coins with the most interactions in a snapshot."""
    coin = LUNARCRUSH_SNAPSHOTS.c
    return read_frame(
        engine,
        sa.select(coin.symbol, coin.name, coin.interactions, coin.posts_created, coin.social_dominance, coin.sentiment)
        .where(coin.snapshot_at == snapshot_at)
        .order_by(coin.interactions.desc().nulls_last())
        .limit(10),
    )


def capitalisations(engine: sa.Engine, snapshot_at: datetime) -> pl.DataFrame:
    """Where the market capitalisations of a snapshot's active coins come from: reported (verified, by the project, not at all), coins."""
    coin = COINMARKETCAP_SNAPSHOTS.c
    reported = sa.case((coin.market_cap_usd > 0, "verified"), (coin.self_reported_market_cap_usd > 0, "by the project"), else_="not at all")
    return read_frame(
        engine,
        sa.select(reported.label("reported"), sa.func.count().label("coins"))
        .where(coin.snapshot_at == snapshot_at, coin.is_active)
        .group_by(reported)
        .order_by(sa.desc("coins")),
    )


def token_standards(engine: sa.Engine, snapshot_at: datetime) -> pl.DataFrame:
    """Active coins of a snapshot by token standard: token_standard, coins."""
    coin = COINMARKETCAP_SNAPSHOTS.c
    return read_frame(
        engine,
        sa.select(coin.token_standard, sa.func.count().label("coins"))
        .where(coin.snapshot_at == snapshot_at, coin.is_active)
        .group_by(coin.token_standard)
        .order_by(sa.desc("coins")),
    )


def capitalisations_per_day(engine: sa.Engine, days: tuple[date, date]) -> pl.DataFrame:
    """Historical capitalisations by day, from the first to before the second of `days`: day, row_count."""
    coin = COINCODEX_DAILY.c
    return read_frame(
        engine, sa.select(coin.day, sa.func.count().label("row_count")).where(coin.day >= days[0], coin.day < days[1]).group_by(coin.day)
    )
