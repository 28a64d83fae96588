"""The whole measurement of the learned filter on what there is: samples, features, protocols; and its tables and figures as files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.candidates.learned import figures
from pnd_dagster.candidates.learned.evaluation import VARIANTS, Evaluation, evaluate
from pnd_dagster.candidates.learned.features import TABLE_X, extract, require_training
from pnd_dagster.candidates.learned.models import MODELS
from pnd_dagster.candidates.learned.platform import platform
from pnd_dagster.candidates.learned.protocols import Protocol
from pnd_dagster.candidates.learned.public_data import trades, tweets
from pnd_dagster.candidates.learned.samples import Others, Plan, Samples, draw_samples
from pnd_dagster.candidates.learned.series import SERIES, Form
from pnd_dagster.storage.files import write

LEAST_PUMPED = 20
"""Fewer pumped samples are not evaluated: five folds would test four at a time."""

MOST_PUMPED = 1_000
"""Of more pumps the latest so many are measured: a sample's features take some 0.2 s."""

PAPER_SAMPLES = "the paper: 643 pumped and 1,071 other coins, a random split; it prints no numbers for Figures 14 to 17"
Log = Callable[[str], None]


class Report(NamedTuple):
    """What was measured on one data set and form of the series.

    Attributes:
        data: its name.
        form: differenced or levels.
        others: which coins stand beside the pumped ones.
        evaluation: None where there were too few samples.
        notes: what a reader should know, a line each: n, what was left out, what is missing.
        feature_count: how many features there were.
    """

    data: str
    form: Form
    others: str
    evaluation: Evaluation | None
    notes: list[str]
    feature_count: int = 0


def platform_reports(engine: sa.Engine, on_progress: Log = lambda what: None) -> list[Report]:
    """The measurement on this installation's tables, in both forms of the series.

    Raises:
        SettingError: XGBoost or tsfresh is not installed.
        DatabaseError: Postgres refused.
    """
    require_training()
    source = platform(engine)
    pumps = sorted(source.pumps, key=lambda pump: (pump.at, pump.coin))[-MOST_PUMPED:]
    earlier = len(source.pumps) - len(pumps)
    notes = [*source.notes, f"{earlier} earlier pumps are left out: the latest {MOST_PUMPED:,} count"] if earlier else source.notes
    return [
        _report("this installation", draw_samples(source.panel, pumps, Plan(form=form)), form, Others.ANY, notes, on_progress, VARIANTS)
        for form in Form
    ]


def public_reports(folder: Path, on_progress: Log = lambda what: None) -> list[Report]:
    """The measurement on public data: daily tweets of 2017-18 against any other coin and against coins pumped at another time, trades.

    Raises:
        SettingError: XGBoost or tsfresh is not installed.
        SourceError: a file is not there or does not fit.
    """
    require_training()
    source = tweets(folder)
    reports: list[Report] = []
    for others in Others:
        for form in Form:
            samples = draw_samples(source.panel, source.pumps, Plan(others=others, form=form))
            variants = VARIANTS if others is Others.ANY else ("eliminated", "table X")
            reports.append(_report("tweets 2017-18", samples, form, others, source.notes, on_progress, variants))
    for form in Form:
        samples, notes = trades(folder, form)
        report = _report("hours before pumps on Binance", samples, form, "a day earlier", notes, on_progress, ("eliminated", "table X"))
        reports.append(report)
    return reports


def all_figures(reports: Sequence[Report]) -> pl.DataFrame:
    """The figures of all reports, with data, form and others in front."""
    return _gathered(reports, lambda evaluation: evaluation.figures)


def readable(figures: pl.DataFrame) -> pl.DataFrame:
    """Figures of `all_figures` for people: each estimate and its 95% interval in one column."""

    def with_interval(name: str) -> pl.Expr:
        parts = (pl.col(column).round(3) for column in (name, f"{name}_low", f"{name}_high"))
        return pl.format("{} [{}, {}]", *parts).alias(name)

    intervals = (with_interval(name) for name in ("roc_auc", "pr_auc", "weighted_f1"))
    where = ("data", "form", "others", "protocol", "model", "variant", "n", "pumped", "coins", "base_rate")
    return figures.select(*where, *intervals, "weighted_f1_of_none", "precision", "recall", "features")


def features_kept(reports: Sequence[Report]) -> pl.DataFrame:
    """In how many splits elimination kept each feature, and whether the paper's Table X has it for that model: ours beside the paper's."""
    kept = _gathered(reports, lambda evaluation: evaluation.kept)
    names = {model.number: model.name for model in MODELS}
    paper = pl.DataFrame(
        [(names[number], row.feature, row.words) for row in TABLE_X for number in row.models], ["model", "feature", "table_x"], orient="row"
    )
    return kept.join(paper, on=["model", "feature"], how="left", maintain_order="left") if kept.height else kept


def table_x() -> pl.DataFrame:
    """The paper's Table X: its words, the feature here, an X per model."""
    rows = [
        {"paper": row.words, "feature": row.feature, **{f"model_{n}": "X" if n in row.models else "" for n in range(4)}} for row in TABLE_X
    ]
    return pl.DataFrame(rows)


def images(report: Report) -> dict[str, bytes]:
    """Figures 14 to 17 of a report's first variant as PNG, by file name without its ending; nothing where nothing was measured."""
    if report.evaluation is None or report.evaluation.predictions.is_empty():
        return {}
    variant = report.evaluation.predictions["variant"][0]
    rows = report.evaluation.predictions.filter(pl.col("variant") == variant)
    title = f"{report.data}, {report.form}, {report.others}, {variant}"
    return {
        "figure_14_confusion_matrices": figures.confusion_matrices(rows, title),
        "figure_15_precision_recall": figures.precision_recall_curves(rows, title),
        "figure_16_f1_by_threshold": figures.f1_by_threshold(rows, title),
        "figure_17_pr_auc_by_threshold": figures.pr_auc_by_threshold(rows, title),
    }


def export(reports: Sequence[Report], folder: Path) -> list[Path]:
    """Writes the tables as Parquet and the figures of each report as PNG; returns what was written.

    Raises:
        SourceError: the folder cannot be written to.
    """
    tables = {
        "learned_filter": all_figures(reports),
        "table_x_features_kept": features_kept(reports),
        "learned_filter_parameters": _gathered(reports, lambda evaluation: evaluation.parameters),
        "learned_filter_predictions": _gathered(reports, lambda evaluation: evaluation.predictions),
    }
    pictures = [
        (f"{name}_{figures.slug(f'{report.data} {report.others} {report.form}')}", image)
        for report in reports
        for name, image in images(report).items()
    ]
    return write(folder, [*((name, table) for name, table in tables.items() if table.height), *pictures])


def _report(
    data: str, samples: Samples, form: Form, others: str, notes: Sequence[str], on_progress: Log, variants: Sequence[str]
) -> Report:
    pumped = int(samples.rows["is_pumped"].sum())
    said = [*notes, f"{pumped} pumped and {samples.rows.height - pumped} other samples of {samples.rows['symbol'].n_unique()} symbols"]
    said += [f"{count} pumps left out: {reason}" for reason, count in samples.left_out.items()]
    if pumped < LEAST_PUMPED:
        return Report(data, form, others, None, [*said, f"not measured: at least {LEAST_PUMPED} pumped samples are needed"])
    missing = [name for name in SERIES if name not in samples.series]
    said.append(f"{len(samples.series)} of {len(SERIES)} series; not held: {', '.join(missing) or 'none'}")
    on_progress(f"{data}, {form}: features")
    table = extract(samples.series, samples.windows)
    protocols = [Protocol.BY_COIN] if others == "a day earlier" else list(Protocol)
    evaluation = evaluate(
        samples.rows, table, protocols=protocols, variants=variants, on_progress=lambda what: on_progress(f"{data}, {form}, {what}")
    )
    measured = set(evaluation.figures["protocol"])
    said += [f"{protocol}: not measured, too few coins or features that differ" for protocol in protocols if protocol not in measured]
    return Report(data, form, others, evaluation, said, table.width)


def _gathered(reports: Sequence[Report], part: Callable[[Evaluation], pl.DataFrame]) -> pl.DataFrame:
    frames = [
        part(report.evaluation).select(
            pl.lit(report.data).alias("data"), pl.lit(str(report.form)).alias("form"), pl.lit(str(report.others)).alias("others"), pl.all()
        )
        for report in reports
        if report.evaluation is not None and part(report.evaluation).height
    ]
    return pl.concat(frames) if frames else pl.DataFrame()
