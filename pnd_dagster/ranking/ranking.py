"""The ranking of one tick: the one function that live, backtest and replay call."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pnd_dagster.market.book_metrics import Booleans, Floats, Integers
from pnd_dagster.market.moments import Moments
from pnd_dagster.market.windows import HORIZONS, METRICS
from pnd_dagster.ranking.rules import NEUTRAL, ScoreRule, ranks, scores
from pnd_dagster.ranking.zscores import z_scores


class Ranking(NamedTuple):
    """Candidates of one exchange at one moment.

    Attributes:
        instrument_ids: [instruments], in the order they were given.
        score: [instruments], normalised across them; `NEUTRAL` where nothing is known.
        rank: [instruments], 1 for the highest score; equal scores have their mean rank.
        is_active: [instruments], False where nothing is known.
        z: [instruments, rule.columns], NaN where unknown.
    """

    instrument_ids: Integers
    score: Floats
    rank: Floats
    is_active: Booleans
    z: Floats


def rank(instrument_ids: Integers, values: Floats, history: Moments, rule: ScoreRule) -> Ranking:
    """Ranks instruments by how far their latest windows lie from their own history.

    Args:
        instrument_ids: [instruments].
        values: [instruments, `METRICS`, `HORIZONS`], metrics over the windows up to now.
        history: the same shape, moments over earlier windows.
        rule: what counts.
    """
    places = [HORIZONS.index(horizon) for horizon in rule.horizons]
    # Neighbours without copying.
    horizons = slice(places[0], places[-1] + 1) if places == list(range(places[0], places[-1] + 1)) else places
    z = np.empty((len(rule.metrics), len(rule.horizons), len(instrument_ids)))
    # A metric at a time: what is computed meanwhile stays in the processor's cache.
    for name, into in zip(rule.metrics, z, strict=True):
        place = METRICS.index(name)
        into[:] = z_scores(values[:, place].T[horizons], history.each(lambda array, place=place: array[:, place].T[horizons]))
    by_column = z.reshape(-1, len(instrument_ids)).T
    score = scores(by_column, rule)
    is_active = ~np.isnan(score)
    return Ranking(instrument_ids, np.where(is_active, score, NEUTRAL), ranks(score), is_active, by_column)
