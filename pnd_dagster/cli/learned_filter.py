"""`pnd filter`: how well coins that will be pumped can be told from others beforehand, and whether coins fall into clusters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from pnd_dagster.cli.console import print_json, print_table, progress, say
from pnd_dagster.settings import settings

app = typer.Typer(no_args_is_help=True)
DataOption = Annotated[
    Path | None, typer.Option(help="Folder of public data sets (see docs/learned-filter.md). Default: this installation's tables.")
]
OutputOption = Annotated[Path | None, typer.Option(help="Folder for tables (Parquet) and figures (PNG). Default: analysis in PND_HOME.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print a JSON document on standard output.")]
SHOWN = (
    *("data", "form", "others", "protocol", "model", "variant", "n", "base_rate"),
    *("roc_auc", "roc_auc_low", "roc_auc_high", "pr_auc", "weighted_f1", "weighted_f1_of_none", "features"),
)


@app.command()
def evaluate(data: DataOption = None, output: OutputOption = None, as_json: JsonFlag = False) -> None:
    """Train and test the paper's XGBoost models by random, by-coin and forward splits; prints ROC, PR and F1 beside the base rate."""
    from pnd_dagster.candidates.learned import report
    from pnd_dagster.storage import connect

    with progress() as bar:
        task = bar.add_task("reading", total=None)

        def tell(what: str) -> None:
            bar.update(task, description=what)

        reports = report.public_reports(data, tell) if data else report.platform_reports(connect(settings()), tell)
    figures = report.all_figures(reports)
    written = report.export(reports, output or settings().home / "analysis")
    for one in reports:
        for note in one.notes:
            say(f"{one.data}, {one.form}, {one.others}: {note}")
    if as_json:
        print_json({"figures": figures.to_dicts(), "kept": report.features_kept(reports).to_dicts()})
        return
    if figures.height:
        print_table(
            figures.select(SHOWN), "Pumped or not: 95% intervals by resampled coins, features and parameters from the training part"
        )
    say(report.PAPER_SAMPLES)
    _say_written(written)


@app.command()
def clusters(data: DataOption = None, output: OutputOption = None, as_json: JsonFlag = False) -> None:
    """Cluster coins by their last thirty days; prints silhouette and Davies-Bouldin scores beside the paper's Table XI."""
    from pnd_dagster.candidates.learned import coin_clusters
    from pnd_dagster.storage import connect

    reports = coin_clusters.public_clusters(data) if data else [coin_clusters.platform_clusters(connect(settings()))]
    table = coin_clusters.scores(reports)
    written = coin_clusters.export(reports, output or settings().home / "analysis")
    for one in reports:
        for note in one.notes:
            say(f"{one.data}: {note}")
    shares = [one.shares.select(pl.lit(one.data).alias("data"), pl.all()) for one in reports if one.shares is not None]
    if as_json:
        print_json({"scores": table.to_dicts(), "shares": [row for frame in shares for row in frame.to_dicts()]})
        return
    if table.height:
        print_table(table, "Clusters of coins (the paper's Table XI)")
        print_table(pl.concat(shares), "Coins that were ever pumped, by cluster (-1: noise)")
    _say_written(written)


def _say_written(written: list[Path]) -> None:
    if written:
        say(f"{len(written)} files written to {written[0].parent}")
