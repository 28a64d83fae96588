"""Unsupervised clusters of coins (paper, appendix C-B): log transform, scaling, PCA, four algorithms, two scores (Table XI), Figure 18.

The paper's scores of DBSCAN, 0.19 and 1.55, are much worse than the others', and one cannot tell from them what became of the points that
DBSCAN calls noise: left out of the scores, they flatter it; as a cluster of their own, they spoil it. Both are reported here.
"""

from __future__ import annotations

import io
import warnings
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pnd_dagster.errors import SourceError

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

PAPER = {"DBSCAN": (0.19, 1.55), "K-means": (0.55, 0.74), "Agglomerative": (0.46, 0.81), "Gaussian mixture": (0.48, 0.78)}
"""Silhouette and Davies-Bouldin score of Table XI."""

EXPLAINED = 0.9
COUNTS = range(2, 9)
EPS_QUANTILES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
MOST_POINTS = 2_000
INITS: Any = 10
NOISE = -1


class Clusters(NamedTuple):
    """Clusters of points.

    Attributes:
        scores: per algorithm: clusters, noise (points), noise_share, silhouette and davies_bouldin of the points that are no noise
            (null with one cluster), silhouette_with_noise (noise as one cluster more), silhouette_shuffled (the same algorithm on the same
            columns, each shuffled on its own: what is left without any structure), parameters, paper_silhouette, paper_davies_bouldin.
        labels: algorithm -> [points], -1 for noise.
        places: [points, 2], the first two principal components.
        chosen: [points], rows of the input; all of them, or `MOST_POINTS` drawn.
        components: how many principal components were used, and which share of the variance they hold.
    """

    scores: pl.DataFrame
    labels: dict[str, Labels]
    places: Floats
    chosen: Labels
    components: tuple[int, float]


def cluster(values: Floats, seed: int = 0) -> Clusters:
    """Clusters coins by their features; how many clusters, and how wide DBSCAN's neighbourhood is, follow from the best silhouette.

    For that choice DBSCAN's noise is a cluster: else the best radius is the one that calls most coins noise.

    Args:
        values: [coins, features], NaN as the feature's median; at least 20 coins.
        seed: of K-means, the mixture, the draw and the shuffle.

    Raises:
        SourceError: the coins do not differ in any feature.
    """
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(values), MOST_POINTS, replace=False)) if len(values) > MOST_POINTS else np.arange(len(values))
    cleaned = logged(values[chosen])
    if not cleaned.size:
        raise SourceError("the coins do not differ in any feature")
    points, explained = principal(cleaned)
    shuffled, _ = principal(rng.permuted(cleaned, axis=0))
    found, surrogate = _best_of_each(points, seed), _best_of_each(shuffled, seed)
    rows: list[dict[str, Any]] = []
    for algorithm, (labels, parameters) in found.items():
        silhouette, davies_bouldin = _scores(points, labels)
        as_cluster = _silhouette(points, labels)
        rows.append(
            {
                "algorithm": algorithm,
                "clusters": _count(labels),
                "n": len(labels),
                "noise": int((labels == NOISE).sum()),
                "noise_share": float((labels == NOISE).mean()),
                "silhouette": silhouette,
                "davies_bouldin": davies_bouldin,
                "silhouette_with_noise": as_cluster,
                "silhouette_shuffled": _scores(shuffled, surrogate[algorithm][0])[0],
                "parameters": parameters,
                "paper_silhouette": PAPER[algorithm][0],
                "paper_davies_bouldin": PAPER[algorithm][1],
            }
        )
    labels = {algorithm: labels for algorithm, (labels, _) in found.items()}
    two = np.pad(points[:, :2], ((0, 0), (0, max(0, 2 - points.shape[1]))))
    return Clusters(pl.DataFrame(rows).fill_nan(None), labels, two, chosen, (points.shape[1], explained))


def logged(values: Floats) -> Floats:
    """Each column on a symmetric log scale in units of its own median size, missing values as the median; constant columns are left out."""
    finite = np.where(np.isfinite(values), values, np.nan)[:, np.isfinite(values).any(axis=0)]
    filled = np.where(np.isfinite(finite), finite, np.nanmedian(finite, axis=0))
    filled = filled[:, filled.max(axis=0) > filled.min(axis=0)]
    sizes = np.array([np.median(np.abs(column[column != 0])) for column in filled.T])
    return np.sign(filled) * np.log1p(np.abs(filled) / sizes)


def principal(values: Floats) -> tuple[Floats, float]:
    """Standardised columns on the principal components that hold `EXPLAINED` of the variance, and the share they hold."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    analysis = PCA(EXPLAINED, svd_solver="full")
    points = np.asarray(analysis.fit_transform(StandardScaler().fit_transform(values)), np.float64)
    return points, float(np.sum(analysis.explained_variance_ratio_))


def shares(clusters: Clusters, is_marked: NDArray[np.bool_]) -> pl.DataFrame:
    """algorithm, cluster (-1 for noise), n, marked, share: how many of each cluster's coins are marked, say as pumped.

    Args:
        clusters: of `cluster`.
        is_marked: [coins], of all that were given to it.
    """
    frames = [
        pl.DataFrame({"cluster": labels, "marked": is_marked[clusters.chosen]})
        .group_by("cluster")
        .agg(n=pl.len(), marked=pl.col("marked").sum(), share=pl.col("marked").mean())
        .sort("cluster")
        .select(pl.lit(algorithm).alias("algorithm"), pl.all())
        for algorithm, labels in clusters.labels.items()
    ]
    return pl.concat(frames)


def plot(clusters: Clusters, title: str) -> bytes:
    """Figure 18 as PNG: the clusters of each algorithm over the first two principal components, noise in grey."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 7), dpi=90, layout="constrained")
    figure.suptitle(f"Clusters of coins (paper, Figure 18): {title}", fontsize=10)
    for axes, (algorithm, labels) in zip(figure.subplots(2, 2).flat, clusters.labels.items(), strict=True):
        is_noise = labels == NOISE
        axes.scatter(*clusters.places[is_noise].T, s=5, color="lightgrey", label=f"noise, {int(is_noise.sum())}")
        axes.scatter(*clusters.places[~is_noise].T, s=7, c=labels[~is_noise], cmap="tab10")
        axes.set_title(algorithm, fontsize=9)
        axes.set_xlabel("component 1", fontsize=8)
        axes.set_ylabel("component 2", fontsize=8)
        if is_noise.any():
            axes.legend(fontsize=7, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _best_of_each(points: Floats, seed: int) -> dict[str, tuple[Labels, str]]:
    from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from sklearn.neighbors import NearestNeighbors

    least = min(max(4, 2 * points.shape[1]), len(points) // 2)
    reach = NearestNeighbors(n_neighbors=least).fit(points).kneighbors(points)[0][:, -1]
    counts = [count for count in COUNTS if count < len(points)]
    candidates: dict[str, list[tuple[Any, str]]] = {
        "DBSCAN": [
            (DBSCAN(eps=float(eps), min_samples=least), f"eps {eps:.3g}, min_samples {least}")
            for eps in np.quantile(reach, EPS_QUANTILES)
            if eps > 0
        ],
        "K-means": [(KMeans(count, n_init=INITS, random_state=seed), f"k {count}") for count in counts],
        "Agglomerative": [(AgglomerativeClustering(count), f"Ward, k {count}") for count in counts],
        "Gaussian mixture": [
            (GaussianMixture(count, random_state=seed, reg_covar=1e-4), f"full covariance, k {count}") for count in counts
        ],
    }
    best: dict[str, tuple[Labels, str]] = {}
    for algorithm, models in candidates.items():
        with warnings.catch_warnings():
            # Fewer places than clusters, or a mixture that has not settled: the silhouette decides.
            warnings.simplefilter("ignore", ConvergenceWarning)
            labelled = [(np.asarray(model.fit_predict(points), np.int64), parameters) for model, parameters in models]
        labelled.append((np.zeros(len(points), np.int64), "one cluster"))
        best[algorithm] = max(labelled, key=lambda one: (_count(one[0]) > 1, np.nan_to_num(_silhouette(points, one[0]), nan=-2.0)))
    return best


def _count(labels: Labels) -> int:
    return len(set(labels.tolist()) - {NOISE})


def _scores(points: Floats, labels: Labels) -> tuple[float, float]:
    """Silhouette and Davies-Bouldin score of the points that are no noise; NaN with fewer than two clusters."""
    from sklearn.metrics import davies_bouldin_score

    own = labels != NOISE
    if _count(labels) < 2:
        return np.nan, np.nan
    return _silhouette(points[own], labels[own]), float(davies_bouldin_score(points[own], labels[own]))


def _silhouette(points: Floats, labels: Labels) -> float:
    """Silhouette with noise as a cluster of its own; NaN with fewer than two clusters."""
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(points, labels)) if 2 <= len(set(labels.tolist())) < len(labels) else np.nan
