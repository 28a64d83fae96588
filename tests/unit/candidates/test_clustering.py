from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from pnd_dagster.candidates import clustering
from pnd_dagster.candidates.clustering import NOISE, Floats, cluster, logged, plot, shares


@pytest.fixture(autouse=True)
def _few_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "COUNTS", range(2, 6))
    monkeypatch.setattr(clustering, "INITS", 3)


def blobs(noise: int = 0) -> Floats:
    rng = np.random.default_rng(0)
    centres = np.repeat([[0, 0, 0, 0], [8, 0, 4, 8], [0, 8, 8, 4]], 40, axis=0)
    points = centres + rng.normal(0, 0.3, (120, 4))
    return np.exp(np.concatenate((points, rng.uniform(-6, 14, (noise, 4)))))


def scores(values: Floats) -> dict[str, dict[str, float]]:
    return {row["algorithm"]: row for row in cluster(values).scores.iter_rows(named=True)}


def test_what_is_there_is_found_by_all_four() -> None:
    found = cluster(blobs())
    for algorithm, row in scores(blobs()).items():
        assert row["clusters"] == 3, algorithm
        assert row["silhouette"] > 0.6
        assert row["silhouette"] > row["silhouette_shuffled"] or np.isnan(row["silhouette_shuffled"])
        labels = found.labels[algorithm]
        assert all(len(set(labels[start : start + 40].tolist()) - {NOISE}) == 1 for start in (0, 40, 80)), algorithm
    assert found.scores["paper_silhouette"].to_list() == [0.19, 0.55, 0.46, 0.48]


def test_noise_is_counted_and_its_part_in_dbscans_score_is_shown() -> None:
    row = scores(blobs(noise=30))["DBSCAN"]
    assert 10 <= row["noise"] <= 40
    assert row["noise_share"] == pytest.approx(row["noise"] / 150)
    assert row["silhouette"] > row["silhouette_with_noise"]


def test_without_structure_the_scores_are_those_of_shuffled_columns() -> None:
    for row in scores(np.exp(np.random.default_rng(1).normal(size=(150, 3)))).values():
        if not np.isnan(row["silhouette"]) and not np.isnan(row["silhouette_shuffled"]):
            assert row["silhouette"] == pytest.approx(row["silhouette_shuffled"], abs=0.12)


def test_columns_without_information_and_missing_values_do_no_harm() -> None:
    values = blobs()
    spoilt = np.column_stack((values, np.ones(120), np.full(120, np.nan)))
    spoilt[0, 0] = np.nan
    assert np.isfinite(logged(spoilt)).all()
    assert logged(spoilt).shape == (120, 4)
    assert cluster(spoilt).scores["clusters"].to_list() == cluster(values).scores["clusters"].to_list()


def test_shares_of_marked_coins_add_up() -> None:
    is_marked = np.arange(120) < 40
    found = shares(cluster(blobs()), is_marked)
    assert found.group_by("algorithm").agg(pl.col("marked").sum(), pl.col("n").sum()).select("marked", "n").unique().rows() == [(40, 120)]
    assert found["share"].max() == 1


def test_the_figure_is_an_image() -> None:
    assert plot(cluster(blobs(noise=30)), "made up")[:4] == b"\x89PNG"
