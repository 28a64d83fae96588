"""Checks of the backtest: what chance makes of it, and whether the ranking is worth more than sorting by volume."""

from __future__ import annotations

import dagster as dg
import polars as pl
import sqlalchemy as sa

from pnd_dagster.resources import table_metadata
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.storage import read_frame
from pnd_dagster.tables import RANKING_BACKTEST

_KEY = ("data", "pool", "source")


def chance_check(asset: dg.AssetKey) -> dg.AssetChecksDefinition:
    """A check that random scores reach what arithmetic says: 5 of the pool's coins, within the mean interval of the offsets."""

    @dg.asset_check(asset=asset, name="chance_is_chance", description="TOP5 of random scores is 5 in the size of the pool")
    def chance_is_chance(database: DatabaseResource) -> dg.AssetCheckResult:
        rows = by_chance(database.engine)
        is_chance = pl.col("expected").is_between(pl.col("top5_low"), pl.col("top5_high"))
        return _result(rows, rows.filter(~is_chance))

    return chance_is_chance


def volume_check(asset: dg.AssetKey) -> dg.AssetChecksDefinition:
    """A check that the default rule's TOP5 is not below that of sorting by volume, over all offsets."""

    @dg.asset_check(
        asset=asset, name="default_is_not_below_volume", description="The default rule finds no fewer pumped coins than sorting by volume"
    )
    def default_is_not_below_volume(database: DatabaseResource) -> dg.AssetCheckResult:
        rows = beside_volume(database.engine)
        return _result(rows, rows.filter(pl.col("default") < pl.col("volume")))

    return default_is_not_below_volume


def by_chance(engine: sa.Engine) -> pl.DataFrame:
    """Per data, pool and source: TOP5 of random scores and its interval, means over the offsets, and expected."""
    return (
        _rows(engine)
        .filter(pl.col("rule") == "chance")
        .with_columns(expected=5 / pl.col("pool_size"))
        .group_by(_KEY)
        .agg(pl.col("expected", "top5", "top5_low", "top5_high").mean())
        .sort(_KEY)
    )


def beside_volume(engine: sa.Engine) -> pl.DataFrame:
    """Per data, pool and source: TOP5 of the default rule and of sorting by volume, means over the offsets; where there are both."""
    rows = _rows(engine).filter(pl.col("rule").is_in(("default", "volume")))
    means = rows.group_by(*_KEY, "rule").agg(pl.col("top5").mean(), pl.len())
    wide = means.pivot(on="rule", index=_KEY, values="top5")
    return wide.drop_nulls().sort(_KEY) if {"default", "volume"} <= set(wide.columns) else wide.clear()


def _rows(engine: sa.Engine) -> pl.DataFrame:
    return read_frame(engine, sa.select(RANKING_BACKTEST))


def _result(rows: pl.DataFrame, failed: pl.DataFrame) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=failed.is_empty(), severity=dg.AssetCheckSeverity.WARN, metadata={"figures": table_metadata.preview(rows, 50)}
    )
