"""Ranks of the pumped coins as figures: TOP-k, reciprocal rank, percentile, and an interval over events."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pnd_dagster.market.book_metrics import Floats

TOPS = (1, 3, 5, 10)
RESAMPLES = 2_000


class Placing(NamedTuple):
    """Where pumped coins stood.

    Attributes:
        rank: [events, offsets, draws], 1 for the first; ties have their mean rank, a coin without a score stands last.
        active: [offsets], mean number of coins of a pool that had any score.
    """

    rank: Floats
    active: Floats


def figures(placing: Placing, offset: int, pool_size: int, seed: int) -> dict[str, Any]:
    """n, pool_size, active_coins, top1 to top10, mrr, mean_percentile, and top5's 95% interval (bootstrap by event) at one offset.

    Args:
        placing: where the pumped coins stood.
        offset: place in its second axis.
        pool_size: coins that are ranked together.
        seed: of the bootstrap.
    """
    rank = placing.rank[:, offset]
    top5_low, top5_high = interval((rank <= 5).mean(axis=1), seed)
    return {
        "n": len(rank),
        "pool_size": pool_size,
        "active_coins": float(placing.active[offset]),
        **{f"top{k}": float((rank <= k).mean()) for k in TOPS},
        "mrr": float((1 / rank).mean()),
        "mean_percentile": float((pool_size - rank).mean() / (pool_size - 1)),
        "top5_low": top5_low,
        "top5_high": top5_high,
    }


def interval(per_event: Floats, seed: int) -> tuple[float, float]:
    """95% interval of the mean over events, from `RESAMPLES` samples of them with replacement."""
    picks = np.random.default_rng(seed).integers(0, len(per_event), (RESAMPLES, len(per_event)))
    low, high = np.percentile(per_event[picks].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
