from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import davies_bouldin_score, silhouette_score

from pnd_dagster.candidates import clustering
from pnd_dagster.candidates.clustering import NOISE, Clusters, Floats, cluster, logged, principal, shares
from pnd_dagster.errors import SourceError


@pytest.fixture(autouse=True)
def _few_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch)


def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "COUNTS", range(2, 5))
    monkeypatch.setattr(clustering, "INITS", 2)


def blobs(noise: int = 0) -> Floats:
    rng = np.random.default_rng(0)
    centres = np.repeat([[0, 0, 0, 0], [8, 0, 4, 8], [0, 8, 8, 4]], 40, axis=0)
    points = centres + rng.normal(0, 0.3, (120, 4))
    return np.exp(np.concatenate((points, rng.uniform(-6, 14, (noise, 4)))))


@pytest.fixture(scope="module")
def found() -> Clusters:
    with pytest.MonkeyPatch.context() as monkeypatch:
        few(monkeypatch)
        return cluster(blobs())


@pytest.fixture(scope="module")
def noisy() -> Clusters:
    with pytest.MonkeyPatch.context() as monkeypatch:
        few(monkeypatch)
        return cluster(blobs(noise=30))


def by_algorithm(clusters: Clusters) -> dict[str, dict[str, Any]]:
    return {row["algorithm"]: row for row in clusters.scores.iter_rows(named=True)}


def test_what_is_there_is_found_by_all_four(found: Clusters) -> None:
    for algorithm, row in by_algorithm(found).items():
        assert row["clusters"] == 3, algorithm
        assert row["silhouette"] > 0.6
        assert row["silhouette_shuffled"] is None or row["silhouette"] > row["silhouette_shuffled"]
        labels = found.labels[algorithm]
        assert all(len(set(labels[start : start + 40].tolist()) - {NOISE}) == 1 for start in (0, 40, 80)), algorithm
    assert found.scores["paper_silhouette"].to_list() == [0.19, 0.55, 0.46, 0.48]


def test_noise_is_counted_and_scores_are_scikit_learns_with_and_without_it(noisy: Clusters) -> None:
    row, labels = by_algorithm(noisy)["DBSCAN"], noisy.labels["DBSCAN"]
    own = labels != NOISE
    assert 10 <= row["noise"] == (~own).sum() <= 40
    assert row["noise_share"] == pytest.approx(row["noise"] / 150)
    points, _ = principal(logged(blobs(noise=30)))
    assert row["silhouette"] == pytest.approx(silhouette_score(points[own], labels[own]))
    assert row["davies_bouldin"] == pytest.approx(davies_bouldin_score(points[own], labels[own]))
    assert row["silhouette_with_noise"] == pytest.approx(silhouette_score(points, labels))
    assert row["silhouette"] > row["silhouette_with_noise"]


def test_without_structure_the_scores_are_those_of_shuffled_columns() -> None:
    for row in by_algorithm(cluster(np.exp(np.random.default_rng(1).normal(size=(150, 3))))).values():
        if row["silhouette"] is not None and row["silhouette_shuffled"] is not None:
            assert row["silhouette"] == pytest.approx(row["silhouette_shuffled"], abs=0.12)


def test_columns_without_information_and_missing_or_infinite_values_do_no_harm(found: Clusters) -> None:
    spoilt = np.column_stack((blobs(), np.ones(120), np.full(120, np.nan)))
    spoilt[0, 0], spoilt[1:, 1][::3] = np.nan, np.where(np.arange(40) % 9, spoilt[1:, 1][::3], np.inf)
    assert np.isfinite(logged(spoilt)).all()
    assert logged(spoilt).shape == (120, 4)
    assert cluster(spoilt).scores["clusters"].to_list() == found.scores["clusters"].to_list()


def test_coins_that_do_not_differ_are_refused() -> None:
    for value in (2.0, np.nan):
        with pytest.raises(SourceError, match="do not differ"):
            cluster(np.full((30, 4), value))


def test_few_coins_of_many_features_and_few_distinct_ones_are_clustered_without_a_word() -> None:
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cluster(rng.normal(size=(20, 29))).scores.height == 4
        assert by_algorithm(cluster(np.repeat(rng.normal(size=(3, 4)), 10, axis=0)))["K-means"]["clusters"] == 3


def test_shares_of_marked_coins_add_up(found: Clusters) -> None:
    counted = shares(found, np.arange(120) < 40)
    sums = counted.group_by("algorithm").agg(pl.col("marked").sum(), pl.col("n").sum())
    assert sums.select("marked", "n").unique().rows() == [(40, 120)]
    assert counted["share"].max() == 1
