"""Measures the models by the three protocols: what each predicts of samples that had no part in its features, parameters or trees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pnd_dagster.candidates.learned.measures import Booleans, Estimate, curve_areas, estimate, resampled, weighted_f1
from pnd_dagster.candidates.learned.models import (
    DEFAULTS,
    MODELS,
    Model,
    Training,
    as_in_table_x,
    eliminate,
    fit,
    groups_held,
    is_distinct,
    pool,
    probabilities,
    search,
)
from pnd_dagster.candidates.learned.protocols import Integers, Protocol, splits
from pnd_dagster.candidates.learned.series import Floats

VARIANTS = ("eliminated", "eliminated, grid", "table X")
FIGURE_SCHEMA = {
    **dict.fromkeys(("protocol", "model", "variant", "groups"), pl.String),
    **dict.fromkeys(("n", "pumped", "coins"), pl.Int64),
    **dict.fromkeys(
        ("base_rate", "roc_auc", "roc_auc_low", "roc_auc_high", "pr_auc", "pr_auc_low", "pr_auc_high"),
        pl.Float64,
    ),
    **dict.fromkeys(("weighted_f1", "weighted_f1_low", "weighted_f1_high", "weighted_f1_of_none", "precision", "recall"), pl.Float64),
    "features": pl.Float64,
}
Progress = Callable[[str], None]


class Evaluation(NamedTuple):
    """How the models did.

    Attributes:
        figures: per protocol, model and variant: groups of series that there were for it, n, base_rate, roc_auc and pr_auc (mean over
            folds), weighted_f1, precision and recall at a probability of 0.5, with 95% intervals; weighted_f1_of_none is what naming no
            coin at all gets.
        predictions: protocol, model, variant, fold, coin, is_pumped, score: of each tested sample.
        kept: protocol, model, feature, folds, of: in how many of the splits elimination kept a feature.
        parameters: protocol, model, max_depth, min_child_weight, scale_pos_weight, splits: what the grid chose how often.
    """

    figures: pl.DataFrame
    predictions: pl.DataFrame
    kept: pl.DataFrame
    parameters: pl.DataFrame


class _Tested(NamedTuple):
    fold: int
    test: Integers
    scores: Floats
    features: int


def evaluate(
    rows: pl.DataFrame,
    features: pl.DataFrame,
    *,
    models: Sequence[Model] = MODELS,
    protocols: Sequence[Protocol] = tuple(Protocol),
    variants: Sequence[str] = VARIANTS,
    seed: int = 0,
    on_progress: Progress = lambda what: None,
) -> Evaluation:
    """Trains and tests each model by each protocol.

    Args:
        rows: of `Samples`, ascending in time.
        features: a row per sample.
        models: those that the features have nothing for are left out.
        protocols: how samples are divided.
        variants: eliminated features with XGBoost's defaults, the same with the grid's parameters, the paper's Table X with the defaults.
        seed: of folds and resampling.
        on_progress: told what is trained now.

    Raises:
        SettingError: XGBoost is not installed.
    """
    values, labels = features.to_numpy().astype(np.float64), rows["is_pumped"].to_numpy()
    symbols = rows["symbol"].to_numpy().astype(np.str_)
    weights = resampled(symbols, seed) if rows.height else np.empty((0, 0))
    names = features.columns
    figures: list[dict[str, object]] = []
    predictions: list[pl.DataFrame] = []
    kept: list[tuple[str, str, str, int]] = []
    chosen: list[dict[str, object]] = []
    for protocol in protocols:
        parts = splits(rows, protocol, seed)
        for model in models:
            if not parts or not is_distinct(names, model):
                continue
            own = np.array([names.index(name) for name in pool(names, model)], np.int64)
            listed = np.array([names.index(name) for name in as_in_table_x(names, model)], np.int64)
            tested: dict[str, list[_Tested]] = {}
            for fold, part in enumerate(parts):
                on_progress(f"{protocol}, {model.name}, split {fold + 1} of {len(parts)}")
                groups = None if protocol is Protocol.RANDOM else symbols[part.train]
                training = Training(values[part.train], labels[part.train], groups)
                sets: dict[str, tuple[Integers, Mapping[str, float]]] = {}
                if {"eliminated", "eliminated, grid"} & set(variants) and len(own):
                    columns = own[eliminate(training._replace(values=training.values[:, own]), seed)]
                    kept += [(str(protocol), model.name, names[place], fold) for place in columns]
                    if len(columns):
                        sets["eliminated"] = columns, DEFAULTS
                    if len(columns) and "eliminated, grid" in variants:
                        found = search(training, columns, seed)
                        chosen.append({"protocol": str(protocol), "model": model.name, **found})
                        sets["eliminated, grid"] = columns, found
                if "table X" in variants and len(listed):
                    sets["table X"] = listed, DEFAULTS
                for variant, (columns, parameters) in sets.items():
                    if variant in variants:
                        scores = probabilities(fit(training, columns, parameters), values[np.ix_(part.test, columns)])
                        tested.setdefault(variant, []).append(_Tested(fold, part.test, scores, len(columns)))
            for variant, results in tested.items():
                where = {"protocol": str(protocol), "model": model.name, "variant": variant}
                figures.append(where | {"groups": groups_held(names, model)} | _figures(results, labels, symbols, weights))
                predictions += [_predicted(where, result, rows) for result in results]
    return Evaluation(
        pl.DataFrame(figures, FIGURE_SCHEMA).fill_nan(None),
        pl.concat(predictions) if predictions else pl.DataFrame(),
        _counted_features(kept),
        _counted_parameters(chosen),
    )


def _figures(results: list[_Tested], labels: Booleans, symbols: NDArray[np.str_], weights: Floats) -> dict[str, object]:
    test = np.concatenate([result.test for result in results])
    named = np.concatenate([result.scores for result in results]) >= 0.5
    areas = [curve_areas(result.scores, labels[result.test], weights[:, result.test]) for result in results]
    roc, precision_recall = (estimate(_mean(np.stack([area[which] for area in areas]))) for which in (0, 1))
    f1 = estimate(weighted_f1(named, labels[test], weights[:, test]))
    hits = int((named & labels[test]).sum())
    return {
        "n": len(test),
        "pumped": int(labels[test].sum()),
        "coins": len(np.unique(symbols[test])),
        "base_rate": float(labels[test].mean()),
        **_spread("roc_auc", roc),
        **_spread("pr_auc", precision_recall),
        **_spread("weighted_f1", f1),
        "weighted_f1_of_none": float(weighted_f1(np.zeros(len(test), bool), labels[test], np.ones((1, len(test))))[0]),
        "precision": hits / int(named.sum()) if named.any() else None,
        "recall": hits / int(labels[test].sum()),
        "features": float(np.mean([result.features for result in results])),
    }


def _mean(rows: Floats) -> Floats:
    """Mean over the first axis of what is a number; NaN where nothing is."""
    has_value = np.isfinite(rows)
    count = has_value.sum(axis=0)
    return np.divide(np.where(has_value, rows, 0.0).sum(axis=0), count, out=np.full(rows.shape[1], np.nan), where=count > 0)


def _spread(name: str, value: Estimate) -> dict[str, float]:
    return {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}


def _predicted(where: dict[str, str], result: _Tested, rows: pl.DataFrame) -> pl.DataFrame:
    tested = rows[result.test].select("event", "coin", "at", "is_pumped")
    return tested.select(
        *(pl.lit(value).alias(name) for name, value in where.items()), pl.lit(result.fold).alias("fold"), pl.all()
    ).with_columns(pl.Series("score", result.scores))


def _counted_features(kept: list[tuple[str, str, str, int]]) -> pl.DataFrame:
    frame = pl.DataFrame(kept, {"protocol": pl.String, "model": pl.String, "feature": pl.String, "fold": pl.Int64}, orient="row")
    return (
        frame.with_columns(of=pl.col("fold").n_unique().over("protocol", "model"))
        .group_by("protocol", "model", "feature", "of")
        .agg(splits=pl.len())
        .select("protocol", "model", "feature", "splits", "of")
        .sort(["protocol", "model", "splits", "feature"], descending=[False, False, True, False])
    )


def _counted_parameters(chosen: list[dict[str, object]]) -> pl.DataFrame:
    names = ["protocol", "model", "max_depth", "min_child_weight", "scale_pos_weight"]
    schema = {name: pl.String if name in names[:2] else pl.Float64 for name in names}
    return pl.DataFrame(chosen, schema).with_columns(pl.col("scale_pos_weight").round(2)).group_by(names).agg(splits=pl.len()).sort(names)
