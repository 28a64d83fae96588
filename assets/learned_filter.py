"""Part of group `analysis`: the paper's learned filter and clusters of coins (appendix C), measured on this installation's data."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl

from pnd_dagster.analysis.results import as_markdown
from pnd_dagster.candidates.learned import coin_clusters, report
from pnd_dagster.candidates.learned.features import require_training
from pnd_dagster.candidates.learned.series import Form
from pnd_dagster.errors import SettingError
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.resources.failures import told_to_dagster
from pnd_dagster.resources.plots import picture

FILTER, FEATURES, CLUSTERS = (dg.AssetKey(["analysis", name]) for name in ("learned_filter", "learned_filter_features", "coin_clusters"))
DEPS = [
    dg.AssetKey(path)
    for path in (["core", "pump_events"], ["raw", "ohlcv_daily"], ["raw", "coincodex_daily"], ["raw", "lunarcrush_snapshots"])
]
LINKS = dg.AssetKey(["core", "coin_links"])
MOST_ROWS = 200


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
    if missing := _not_installed(context):
        yield from (dg.MaterializeResult(asset_key=key, metadata=missing) for key in (FILTER, FEATURES))
        return
    with told_to_dagster():
        reports = report.platform_reports(database.engine, context.log.info)
        written = report.export(reports, database.settings.home / "analysis")
    notes = {f"notes_{one.form}": _lines(one.notes) for one in reports}
    figures = report.all_figures(reports)
    tables = _tables(figures=report.readable(figures) if figures.height else figures)
    plots = _pictures([path for path in written if path.stem.endswith(Form.CHANGES)])
    yield dg.MaterializeResult(
        asset_key=FILTER,
        metadata={"paper": report.PAPER_SAMPLES, **_files(written), **notes, **tables, **plots},
    )
    tables = _tables(table_x=report.table_x(), features_kept=report.features_kept(reports))
    yield dg.MaterializeResult(asset_key=FEATURES, metadata={**notes, **tables})


@dg.asset(
    key=CLUSTERS,
    kinds={"polars", "sklearn"},
    owners=["team:data-platform"],
    deps=[*DEPS, LINKS],
)
def clusters_of_coins(context: dg.AssetExecutionContext, database: DatabaseResource) -> dg.MaterializeResult:
    """Clusters of coins by their last thirty days, by four algorithms, beside the paper's scores (appendix C-B, Table XI, Figure 18)."""
    if missing := _not_installed(context):
        return dg.MaterializeResult(metadata=missing)
    with told_to_dagster():
        found = coin_clusters.platform_clusters(database.engine)
        written = coin_clusters.export([found], database.settings.home / "analysis")
    shares = pl.DataFrame() if found.shares is None else found.shares
    tables = _tables(table_xi=coin_clusters.scores([found]), pumped_by_cluster=shares)
    return dg.MaterializeResult(metadata={"notes": _lines(found.notes), **_files(written), **tables, **_pictures(written)})


def _not_installed(context: dg.AssetExecutionContext) -> dict[str, str]:
    try:
        require_training()
    except SettingError as error:
        context.log.warning(f"left out: {error}")
        return {"missing": str(error)}
    return {}


def _lines(notes: list[str]) -> dg.MetadataValue:
    return dg.MetadataValue.md("\n".join(f"- {note}" for note in notes))


def _files(paths: list[Path]) -> dict[str, str]:
    return {"folder": str(paths[0].parent), "files": ", ".join(path.name for path in paths)} if paths else {}


def _tables(**frames: pl.DataFrame) -> dict[str, dg.MetadataValue]:
    return {name: dg.MetadataValue.md(as_markdown(frame, MOST_ROWS)) for name, frame in frames.items() if frame.height}


def _pictures(paths: list[Path]) -> dict[str, dg.MetadataValue]:
    return {path.stem: picture(path.read_bytes(), path.stem) for path in paths if path.suffix == ".png"}


CHECKS: list[dg.AssetChecksDefinition] = []
