from __future__ import annotations

import numpy as np

from pnd_dagster.candidates.learned.features import TABLE_X
from pnd_dagster.candidates.learned.models import (
    DEFAULTS,
    GRID,
    LEAST_FEATURES,
    MODELS,
    Training,
    as_in_table_x,
    eliminate,
    fit,
    groups_held,
    is_distinct,
    pool,
    probabilities,
    search,
    usable,
)
from pnd_dagster.candidates.learned.series import Floats


def planted(rows: int = 150, columns: int = 40, place: int = 7) -> Training:
    rng = np.random.default_rng(0)
    values: Floats = rng.normal(size=(rows, columns))
    labels = rng.random(rows) < 0.35
    values[:, place] += 2.5 * labels
    return Training(values, labels, None)


def test_elimination_keeps_the_column_that_tells_and_drops_most_that_do_not() -> None:
    kept = eliminate(planted())
    assert 7 in kept
    assert LEAST_FEATURES <= len(kept) < 30
    assert list(kept) == sorted(kept)


def test_constant_and_repeated_columns_are_not_used() -> None:
    values = planted(columns=5, place=0).values
    values[:, 1], values[:, 3], values[:, 4] = 2.0, values[:, 0], np.nan
    assert usable(values).tolist() == [0, 2]


def test_the_grid_chooses_one_of_its_points() -> None:
    training = planted(columns=6, place=0)
    found = search(training, np.arange(6))
    assert found["max_depth"] in GRID["max_depth"]
    assert found["min_child_weight"] in GRID["min_child_weight"]
    assert found["scale_pos_weight"] in (1.0, (~training.labels).sum() / training.labels.sum())


def test_differences_far_below_32_bits_are_still_seen() -> None:
    training = planted(columns=1, place=0)
    tiny = training._replace(values=0.5 + 1e-12 * training.values)
    scores = probabilities(fit(tiny, np.array([0]), DEFAULTS), tiny.values)
    assert scores[training.labels].mean() > scores[~training.labels].mean() + 0.3


def test_models_have_the_features_of_their_groups() -> None:
    names = ["close__sum_values", "close__kurtosis", "market_cap__median", "sentiment__maximum", "close_hurst__sum_values"]
    minimal, optimal, social, geometric = MODELS
    assert pool(names, minimal) == ["market_cap__median"]
    assert pool(names, optimal) == names[:3]
    assert pool(names, social) == names[:4]
    assert pool(names, geometric) == names
    assert as_in_table_x(names, geometric) == ["market_cap__median", "sentiment__maximum", "close_hurst__sum_values"]
    assert groups_held(names, optimal) == "cap, price"
    assert [is_distinct(["sentiment__maximum"], model) for model in MODELS] == [False, False, True, False]


def test_each_model_of_table_x_has_the_papers_first_six() -> None:
    names = [row.feature for row in TABLE_X]
    for model in MODELS:
        assert set(names[:6]) <= set(as_in_table_x(names, model))
