"""Part of group `analysis`: the paper's learned filter and clusters of coins (appendix C), measured on this installation's data."""

import base64
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl

from pnd_dagster.candidates.learned import coin_clusters, report
from pnd_dagster.candidates.learned.series import Form
from pnd_dagster.errors import SettingError
from pnd_dagster.resources import table_metadata
from pnd_dagster.resources.database import DatabaseResource

FILTER, FEATURES, CLUSTERS = (dg.AssetKey(["analysis", name]) for name in ("learned_filter", "learned_filter_features", "coin_clusters"))
DEPS = [
    dg.AssetKey(path)
    for path in (["core", "pump_events"], ["raw", "ohlcv_daily"], ["raw", "coincodex_daily"], ["raw", "lunarcrush_snapshots"])
]
LINKS = dg.AssetKey(["core", "coin_links"])


def _spec(key: dg.AssetKey, description: str, deps: list[dg.AssetKey]) -> dg.AssetSpec:
    return dg.AssetSpec(key, description=description, kinds={"polars", "xgboost"}, owners=["team:data-platform"], deps=deps)


@dg.multi_asset(
    name="learned_filter",
    specs=[
        _spec(
            FILTER,
            "The paper's XGBoost models 0 to 3 on coins 30 days to 1 hour before a pump and others in the same windows, by random, by-coin "
            "and forward splits (appendix C-A, Figures 14 to 17).",
            [*DEPS, LINKS],
        ),
        _spec(FEATURES, "The features that recursive elimination kept, beside the paper's Table X.", [*DEPS, LINKS]),
    ],
)
def learned_filter(context: dg.AssetExecutionContext, database: DatabaseResource) -> Iterator[dg.MaterializeResult]:
    """Trains and tests the models; tables and figures go to the folder `analysis` of PND_HOME."""
    try:
        reports = report.platform_reports(database.engine, context.log.info)
    except SettingError as error:
        context.log.warning(f"left out: {error}")
        yield from (dg.MaterializeResult(asset_key=key, metadata={"missing": str(error)}) for key in (FILTER, FEATURES))
        return
    written = report.export(reports, database.settings.home / "analysis")
    notes = {f"notes_{one.form}": _lines(one.notes) for one in reports}
    figures = report.all_figures(reports)
    tables = {"figures": table_metadata.preview(figures, 200)} if figures.height else {}
    plots = _pictures([path for path in written if path.stem.endswith(Form.CHANGES)])
    files = _lines([path.name for path in written]) if written else "none"
    yield dg.MaterializeResult(asset_key=FILTER, metadata={"paper": report.PAPER_SAMPLES, "files": files, **notes, **tables, **plots})
    kept = report.features_kept(reports)
    found = {"features_kept": table_metadata.preview(kept, 200)} if kept.height else {}
    yield dg.MaterializeResult(asset_key=FEATURES, metadata={"table_x": table_metadata.preview(report.table_x(), 50), **notes, **found})


@dg.asset(
    key=CLUSTERS,
    kinds={"polars", "sklearn"},
    owners=["team:data-platform"],
    deps=[*DEPS, LINKS],
)
def clusters_of_coins(context: dg.AssetExecutionContext, database: DatabaseResource) -> dg.MaterializeResult:
    """Clusters of coins by their last thirty days, by four algorithms, beside the paper's scores (appendix C-B, Table XI, Figure 18)."""
    try:
        found = coin_clusters.platform_clusters(database.engine)
    except SettingError as error:
        context.log.warning(f"left out: {error}")
        return dg.MaterializeResult(metadata={"missing": str(error)})
    written = coin_clusters.export([found], database.settings.home / "analysis")
    metadata: dict[str, dg.MetadataValue] = {"notes": _lines(found.notes)}
    if found.clusters is not None and found.shares is not None:
        metadata |= {
            "table_xi": table_metadata.preview(_without_nan(found.clusters.scores)),
            "pumped_by_cluster": table_metadata.preview(found.shares, 50),
        }
    return dg.MaterializeResult(metadata=metadata | _pictures(written))


def _lines(notes: list[str]) -> dg.MetadataValue:
    return table_metadata.preview(pl.DataFrame({"note": notes}), 50)


def _without_nan(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.selectors.float().fill_nan(None))


def _pictures(paths: list[Path]) -> dict[str, dg.MetadataValue]:
    return {
        path.stem: dg.MetadataValue.md(f"![{path.stem}](data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()})")
        for path in paths
        if path.suffix == ".png"
    }


CHECKS: list[dg.AssetChecksDefinition] = []
