"""Clusters of the coins that are held, by the features of the paper's Table X over their last thirty days (appendix C-B)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import sqlalchemy as sa

from pnd_dagster.candidates import clustering
from pnd_dagster.candidates.learned.features import TABLE_X, extract, require_training, table_x_calculators
from pnd_dagster.candidates.learned.figures import slug
from pnd_dagster.candidates.learned.panels import Panel
from pnd_dagster.candidates.learned.platform import platform
from pnd_dagster.candidates.learned.public_data import candles, tweets
from pnd_dagster.candidates.learned.samples import CUT_BEFORE, Plan, windows_at
from pnd_dagster.candidates.learned.series import Form
from pnd_dagster.errors import SourceError
from pnd_dagster.storage.files import write

LEAST_COINS = 20
LAST_WHOLE_TWEETS = datetime(2018, 6, 30, tzinfo=UTC)
"""From then on many days have no tweets."""


class ClusterReport(NamedTuple):
    """Clusters of one data set.

    Attributes:
        data: its name.
        clusters: None where there were fewer than `LEAST_COINS`.
        shares: per algorithm and cluster: n, and how many of its coins were ever pumped in the data; None with `clusters`.
        notes: what a reader should know, a line each.
    """

    data: str
    clusters: clustering.Clusters | None
    shares: pl.DataFrame | None
    notes: list[str]


def platform_clusters(engine: sa.Engine) -> ClusterReport:
    """Clusters of this installation's coins by their last thirty complete days; of a coin's pairs on several exchanges one counts.

    Raises:
        SettingError: tsfresh is not installed.
        DatabaseError: Postgres refused.
    """
    require_training()
    source = platform(engine, newest=True)
    end = source.panel.starts_at + source.panel.bars * source.panel.bar
    return _report("this installation", source.panel, {source.panel.symbols[pump.coin] for pump in source.pumps}, end, source.notes)


def public_clusters(folder: Path) -> list[ClusterReport]:
    """Clusters of 110 pairs by daily candles to 2026-03, and of 1,441 coins by daily tweets to 2018-06.

    Raises:
        SettingError: tsfresh is not installed.
        SourceError: a file is not there or does not fit.
    """
    require_training()
    panel, source = candles(folder), tweets(folder)
    return [
        _report(
            "candles to 2026-03",
            panel,
            set(),
            panel.starts_at + panel.bars * panel.bar,
            ["no pump of that time is known", "Bitcoin is not among the pairs: the median of the coins stands for it"],
        ),
        _report(
            "tweets to 2018-06",
            source.panel,
            {source.panel.symbols[pump.coin] for pump in source.pumps},
            LAST_WHOLE_TWEETS,
            ["pumped: in 2017-09 to 2018-08, before or after the window"],
        ),
    ]


def scores(reports: Sequence[ClusterReport]) -> pl.DataFrame:
    """Table XI of all reports: the paper's scores beside ours."""
    frames = [report.clusters.scores.select(pl.lit(report.data).alias("data"), pl.all()) for report in reports if report.clusters]
    return pl.concat(frames) if frames else pl.DataFrame()


def export(reports: Sequence[ClusterReport], folder: Path) -> list[Path]:
    """Writes Table XI as Parquet and Figure 18 of each report as PNG; returns what was written.

    Raises:
        SourceError: the folder cannot be written to.
    """
    table = scores(reports)
    plots = [(f"figure_18_clusters_{slug(one.data)}", clustering.plot(one.clusters, one.data)) for one in reports if one.clusters]
    return write(folder, [*([("table_xi_coin_clusters", table)] if table.height else []), *plots])


def _report(data: str, panel: Panel, pumped: set[str], end: datetime, notes: list[str]) -> ClusterReport:
    # A bar must have ended `CUT_BEFORE` before the moment it is looked at.
    samples = windows_at(panel, end + CUT_BEFORE, Plan(form=Form.LEVELS))
    symbols = samples.rows["symbol"].to_numpy()
    first_pairs = np.sort(np.unique(symbols, return_index=True)[1])
    said = [
        *notes,
        f"{len(first_pairs)} of {len(set(panel.symbols))} coins with 20 of the 30 days to {end - timedelta(days=1):%Y-%m-%d}",
    ]
    if several := len(symbols) - len(first_pairs):
        said.append(f"{several} more pairs of the same symbols on other exchanges are left out")
    if len(first_pairs) < LEAST_COINS:
        return ClusterReport(data, None, None, [*said, f"not clustered: at least {LEAST_COINS} coins are needed"])
    table = extract(samples.series, samples.windows[first_pairs], table_x_calculators())
    names = [row.feature for row in TABLE_X if row.feature in table.columns]
    try:
        found = clustering.cluster(table.select(names).to_numpy().reshape(len(first_pairs), len(names)))
    except SourceError as error:
        return ClusterReport(data, None, None, [*said, f"not clustered: {error}"])
    count, explained = found.components
    said.append(f"{len(names)} of {len(TABLE_X)} features of Table X; {count} principal components hold {explained:.0%} of the variance")
    is_pumped = np.array([symbol in pumped for symbol in symbols[first_pairs]])
    return ClusterReport(data, found, clustering.shares(found, is_pumped), said)
