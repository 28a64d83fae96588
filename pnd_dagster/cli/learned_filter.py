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

SHOWN = ("form", "protocol", "model", "variant", "n", "roc_auc", "pr_auc", "weighted_f1")
SCORES = (
    *("algorithm", "clusters", "n", "noise"),
    *(pl.format("{} ({})", pl.col(name).round(2), f"paper_{name}").alias(name) for name in ("silhouette", "davies_bouldin")),
    *("silhouette_with_noise", "silhouette_shuffled"),
)


@app.command()
def evaluate(data: DataOption = None, output: OutputOption = None, as_json: JsonFlag = False) -> None:
    """Train and test the paper's XGBoost models by random, by-coin and forward splits; prints ROC, PR and F1 beside the base rate."""
    from pnd_dagster.candidates.learned import report
    from pnd_dagster.storage import connect
    from pnd_dagster.storage.files import writable

    folder = writable(output or settings().home / "analysis")
    with progress() as bar:
        task = bar.add_task("reading", total=None)

        def tell(what: str) -> None:
            bar.update(task, description=what)

        reports = report.public_reports(data, tell) if data else report.platform_reports(connect(settings()), tell)
    figures = report.all_figures(reports)
    written = report.export(reports, folder)
    for line in dict.fromkeys(f"{one.data}, {one.others}: {note}" for one in reports for note in one.notes):
        say(line)
    if as_json:
        print_json({"figures": figures.to_dicts(), "kept": report.features_kept(reports).to_dicts()})
        return
    if figures.height:
        say("[95% intervals] by resampled coins; features and parameters from the training part only")
        for (of, others), rows in report.readable(figures).group_by("data", "others", maintain_order=True):
            print_table(rows.select(SHOWN), f"Pumped or not: {of}, {others}, base rate {rows['base_rate'][0]:.3f}")
    say(report.PAPER_SAMPLES)
    _say_written(written)


@app.command()
def clusters(data: DataOption = None, output: OutputOption = None, as_json: JsonFlag = False) -> None:
    """Cluster coins by their last thirty days; prints silhouette and Davies-Bouldin scores beside the paper's Table XI."""
    from pnd_dagster.candidates.learned import coin_clusters
    from pnd_dagster.storage import connect
    from pnd_dagster.storage.files import writable

    folder = writable(output or settings().home / "analysis")
    reports = coin_clusters.public_clusters(data) if data else [coin_clusters.platform_clusters(connect(settings()))]
    table = coin_clusters.scores(reports)
    written = coin_clusters.export(reports, folder)
    for one in reports:
        for note in one.notes:
            say(f"{one.data}: {note}")
    shares = [one.shares.select(pl.lit(one.data).alias("data"), pl.all()) for one in reports if one.shares is not None]
    if as_json:
        print_json({"scores": table.to_dicts(), "shares": [row for frame in shares for row in frame.to_dicts()]})
        return
    if table.height:
        for (of,), rows in table.group_by("data", maintain_order=True):
            print_table(rows.select(SCORES), f"Clusters of coins, {of}; the paper's in brackets (Table XI)")
        print_table(pl.concat(shares), "Coins that were ever pumped, by cluster (-1: noise)")
    _say_written(written)


def _say_written(written: list[Path]) -> None:
    if written:
        say(f"{len(written)} files written to {written[0].parent}")
