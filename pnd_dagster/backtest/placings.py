"""Ranks pools by score rules, by the function that ranks live, and by the baselines that every table shows beside them."""

from __future__ import annotations

import numpy as np
import polars as pl

from pnd_dagster.backtest.figures import Placing
from pnd_dagster.backtest.pools import Pools
from pnd_dagster.market.book_metrics import Floats
from pnd_dagster.market.windows import HORIZONS, METRICS, STATES
from pnd_dagster.ranking.ranking import Ranking, rank
from pnd_dagster.ranking.rules import NEUTRAL, RULES, ScoreRule, of_source, ranks
from pnd_dagster.ranking.zscores import z_scores

_VOLUME = METRICS.index("quote_volume")
_LONGEST = HORIZONS.index(max(HORIZONS))
_CLIP = 10.0


def rules_of(source: str) -> list[ScoreRule]:
    """The rules that a source is ranked by, with the metrics it has; those that would have none are left out."""
    return [rule for rule in (of_source(rule, source) for rule in RULES.values()) if rule.metrics]


def ablations_of(source: str) -> list[ScoreRule]:
    """The default rule with one metric alone over its horizons, and with one horizon alone over its metrics."""
    default = of_source(RULES["default"], source)
    return [
        *(default._replace(name=f"only_{metric}", metrics=(metric,)) for metric in default.metrics),
        *(default._replace(name=f"only_{horizon}s", horizons=(horizon,)) for horizon in default.horizons),
    ]


def placing(pools: Pools, rule: ScoreRule) -> Placing:
    """Where the pumped coins stand by a rule, each pool ranked as live."""
    found, active = np.empty((*pools.targets.shape, pools.decoys.shape[1])), np.empty((*pools.targets.shape, pools.decoys.shape[1]))
    for place in np.ndindex(found.shape):
        ranking = _ranking(pools, rule, place)
        found[place] = ranking.rank[0] if ranking.is_active[0] else pools.size
        active[place] = ranking.is_active.sum()
    return Placing(found, active.mean(axis=(0, 2)))


def relative_scores(pools: Pools, rule: ScoreRule, offset: int) -> pl.DataFrame:
    """Scores of all coins in each event's first pool: event_id, score, is_pumped (paper, Figure 2)."""
    return pl.concat(
        pl.DataFrame({"event_id": event.event_id, "score": _ranking(pools, rule, (number, offset, 0)).score}).with_columns(
            is_pumped=pl.int_range(pl.len()) == 0
        )
        for number, event in enumerate(pools.events)
    )


def by_chance(pools: Pools, seed: int) -> Placing:
    """Random scores, one per coin and draw."""
    rng = np.random.default_rng(seed)
    found = np.empty((*pools.targets.shape, pools.decoys.shape[1]))
    for place in np.ndindex(found.shape):
        found[place] = ranks(rng.random(pools.size))[0]
    return Placing(found, np.full(len(pools.offsets), float(pools.size)))


def by_volume(pools: Pools) -> Placing:
    """The value that was traded in the longest window (an hour), without regard to what is usual for the coin."""
    return _by_column(pools, pools.windows.values[:, _VOLUME, _LONGEST, None])[0]


def by_best_metric(pools: Pools, source: str) -> Placing:
    """The z-score of one metric and horizon: at each offset that which served the events of all *other* coins best (TOP5, then rank)."""
    z = np.clip(z_scores(*pools.windows), -_CLIP, _CLIP)
    books = {*STATES, "best_level_flow"}
    places = [place for place, name in enumerate(METRICS) if source == "both" or (name in books) == (source == "books")]
    candidates = z[:, places].reshape(len(z), -1)
    columns = _by_column(pools, candidates)
    coins = np.array([event.coin for event in pools.events])
    every = np.stack([column.rank for column in columns])
    merit = (every <= 5).mean(axis=3) - every.mean(axis=3) / (1000 * pools.size)
    found = np.empty(every.shape[1:])
    for event, coin in enumerate(coins):
        is_other = coins != coin
        best = merit[:, is_other].mean(axis=1).argmax(axis=0)
        for offset, column in enumerate(best.tolist()):
            found[event, offset] = every[column, event, offset]
    return Placing(found, np.stack([column.active for column in columns]).max(axis=0))


def _ranking(pools: Pools, rule: ScoreRule, place: tuple[int, ...]) -> Ranking:
    rows = pools.rows(*place)
    return rank(rows, *pools.windows.rows(rows), rule)


def _by_column(pools: Pools, values: Floats) -> list[Placing]:
    """Ranks by each column of `values` [windows, columns], larger first; of decoys without a value each counts as their mean.

    A mean is what `ranking.rules.scores` gives to a coin of which nothing is known: `NEUTRAL` after normalisation.
    """
    shape = (values.shape[1], *pools.targets.shape, pools.decoys.shape[1])
    found, active = np.empty(shape), np.empty(shape)
    for event, offset in np.ndindex(pools.targets.shape):
        target = values[pools.targets[event, offset]]
        others = values[pools.decoys[event]]
        is_known = ~np.isnan(others)
        count = is_known.sum(axis=1) + ~np.isnan(target)
        total = np.where(is_known, others, 0.0).sum(axis=1) + np.nan_to_num(target)
        mean = np.divide(total, count, out=np.full(total.shape, NEUTRAL), where=count > 0)
        others = np.where(is_known, others, mean[:, None])
        place = 1 + (others > target).sum(axis=1) + (others == target).sum(axis=1) / 2
        found[:, event, offset] = np.where(np.isnan(target), pools.size, place).T
        active[:, event, offset] = count.T
    return [Placing(rank_, of.mean(axis=(0, 2))) for rank_, of in zip(found, active, strict=True)]
