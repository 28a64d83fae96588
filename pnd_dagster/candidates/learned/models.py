"""The paper's XGBoost models 0 to 3: their features, recursive elimination, grid search, and the fit.

Everything here sees the training part of a split only.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pnd_dagster.candidates.learned.features import TABLE_X, group_of
from pnd_dagster.candidates.learned.measures import Booleans, weighted_f1
from pnd_dagster.candidates.learned.protocols import Integers, folds
from pnd_dagster.candidates.learned.series import Floats

ELIMINATION_FOLDS = 5
GRID_FOLDS = 3
SHRINK = 0.5
"""Share of the features that each step of the elimination keeps."""

MOST_FEATURES = 300
"""What its first step keeps at most: with all series there are some 3,300."""

LEAST_FEATURES = 4
_ELIMINATION = {"max_depth": 4, "max_bin": 64}
_ELIMINATION_ROUNDS = 20
_COMMON = {"nthread": 1, "tree_method": "hist", "verbosity": 0, "random_state": 0}
GRID: dict[str, tuple[float, ...]] = {"max_depth": (3, 6, 9), "min_child_weight": (1, 5)}
"""With scale_pos_weight at 1 and at the ratio of others to pumped in the training part."""

_LARGEST = float(np.finfo(np.float32).max)
DEFAULTS: Mapping[str, float] = {"max_depth": 6, "min_child_weight": 1, "scale_pos_weight": 1.0}
"""XGBoost's own, which did better than the grid's in the paper."""


class Model(NamedTuple):
    """A model of the paper: number, name, and the groups of series its features may come from."""

    number: int
    name: str
    groups: frozenset[str]


MODELS = (
    Model(0, "price_minimal", frozenset({"price", "cap"})),
    Model(1, "price_optimal", frozenset({"price", "cap"})),
    Model(2, "price_social", frozenset({"price", "cap", "social"})),
    Model(3, "price_social_geometric", frozenset({"price", "cap", "social", "geometric"})),
)


class Training(NamedTuple):
    """What a model may learn from: [samples, features], [samples], and [samples] names that its own folds keep together, None for none."""

    values: Floats
    labels: Booleans
    groups: NDArray[np.str_] | None


class Fitted(NamedTuple):
    """A classifier, and the medians [features] of its training part, which are taken off all that it reads."""

    classifier: Any
    centre: Floats


def pool(features: list[str], model: Model) -> list[str]:
    """The features that elimination starts from: for model 0 those of the paper's Table X, for the others all of their series."""
    own = {row.feature for row in TABLE_X if model.number in row.models}
    return [name for name in features if (name in own if model.number == 0 else group_of(name) in model.groups)]


def as_in_table_x(features: list[str], model: Model) -> list[str]:
    """The features that the paper kept for the model, as far as they can be had."""
    own = {row.feature for row in TABLE_X if model.number in row.models}
    return [name for name in features if name in own]


def groups_held(features: list[str], model: Model) -> str:
    """The model's groups of series that there are features of."""
    return ", ".join(sorted({group_of(name) for name in features} & model.groups))


def is_distinct(features: list[str], model: Model) -> bool:
    """Whether the model's series add any to those of the models before it; without prices, say, model 0 and 1 have none."""
    present = {group_of(name) for name in features}
    if model.number == 0:
        return bool(as_in_table_x(features, model))
    news = {1: {"price", "cap"}, 2: {"social"}, 3: {"geometric"}}[model.number]
    return bool(present & news)


def fit(training: Training, columns: Integers, parameters: Mapping[str, float], rounds: int = 100) -> Fitted:
    """A classifier on some of the columns.

    XGBoost reads 32 bits; scaled across coins, the values of small ones lie closer together than that tells apart, but not around 0.
    """
    from xgboost import XGBClassifier

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        centre = np.nan_to_num(np.nanmedian(training.values[:, columns], axis=0))
    classifier = XGBClassifier(**_COMMON, n_estimators=rounds, **parameters)
    classifier.fit(_within(training.values[:, columns] - centre), training.labels)
    return Fitted(classifier, centre)


def probabilities(fitted: Fitted, values: Floats) -> Floats:
    """Probability of being pumped. Shape [samples]."""
    return np.asarray(fitted.classifier.predict_proba(_within(values - fitted.centre))[:, 1], np.float64)


def _within(values: Floats) -> Floats:
    """What 32 bits cannot hold as the largest that they can."""
    return np.clip(values, -_LARGEST, _LARGEST)


def usable(values: Floats) -> Integers:
    """Columns that differ between samples and do not repeat an earlier one."""
    seen = set[bytes]()
    kept: list[int] = []
    for place, column in enumerate(values.T):
        finite = column[np.isfinite(column)]
        key = column.tobytes()
        if len(finite) and finite.min() < finite.max() and key not in seen:
            seen.add(key)
            kept.append(place)
    return np.array(kept, np.int64)


def eliminate(training: Training, seed: int = 0) -> Integers:
    """Columns that recursive elimination keeps: as many as had the best weighted F1 over five folds of the training part.

    Each step drops the features that gain the least in the trees. Each fold ranks on its own part, the one that is kept on all of it.
    """
    start = usable(training.values)
    if len(start) <= LEAST_FEATURES:
        return start
    scores: dict[int, list[float]] = {}
    for train, test in _inner(training, ELIMINATION_FOLDS, seed):
        part = _part(training, train)
        columns = start
        while True:
            fitted = fit(part, columns, _ELIMINATION, _ELIMINATION_ROUNDS)
            scores.setdefault(len(columns), []).append(_score(fitted, training, columns, test))
            if len(columns) <= LEAST_FEATURES:
                break
            columns = _smaller(fitted, columns)
    best = max(scores, key=lambda count: (np.mean(scores[count]), -count))
    columns = start
    while len(columns) > best:
        columns = _smaller(fit(training, columns, _ELIMINATION, _ELIMINATION_ROUNDS), columns)
    return columns


def search(training: Training, columns: Integers, seed: int = 0) -> dict[str, float]:
    """The parameters of the grid with the best weighted F1 over three folds of the training part."""
    ratio = float((~training.labels).sum() / max(training.labels.sum(), 1))
    candidates = [
        {"max_depth": int(depth), "min_child_weight": weight, "scale_pos_weight": scale}
        for depth, weight, scale in product(GRID["max_depth"], GRID["min_child_weight"], (1.0, ratio))
    ]
    inner = list(_inner(training, GRID_FOLDS, seed))
    means = [
        float(np.mean([_score(fit(_part(training, train), columns, chosen), training, columns, test) for train, test in inner]))
        for chosen in candidates
    ]
    return candidates[int(np.argmax(means))]


def _inner(training: Training, count: int, seed: int) -> list[tuple[Integers, Integers]]:
    parts = folds(count, training.labels, training.groups, seed)
    return [(train, test) for train, test in parts if training.labels[train].any() and training.labels[test].any()]


def _part(training: Training, rows: Integers) -> Training:
    groups = None if training.groups is None else training.groups[rows]
    return Training(training.values[rows], training.labels[rows], groups)


def _score(fitted: Fitted, training: Training, columns: Integers, test: Integers) -> float:
    named = probabilities(fitted, training.values[np.ix_(test, columns)]) >= 0.5
    return float(weighted_f1(named, training.labels[test], np.ones((1, len(test))))[0])


def _smaller(fitted: Fitted, columns: Integers) -> Integers:
    kept = max(LEAST_FEATURES, min(int(len(columns) * SHRINK), MOST_FEATURES))
    gains = np.asarray(fitted.classifier.feature_importances_)
    return columns[np.sort(np.argsort(-gains, kind="stable")[:kept])]
