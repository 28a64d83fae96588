"""A message's context: what its channel posted in the week before, and a second stage that weighs it with what the classifier read.

What was posted later is never used: a live message has the same context as one of years ago. Times announced in messages come as a
column: reading them is the business of `events`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pnd_dagster.errors import SchemaError
from pnd_dagster.messages.blend import log_softmax, softmax
from pnd_dagster.messages.evaluation import evaluate, f1_scores
from pnd_dagster.messages.labels import LABEL_COUNT, MessageLabel
from pnd_dagster.messages.splits import LeakError

PREVIOUS = 5
WEEK_MINUTES = 7 * 24 * 60.0
_DAY_MINUTES = 24 * 60.0
_SURE = 0.5
_PENALTY = 30.0
_LEAST_PROBABILITY = 1e-4
_CONTEXT_SCHEMA = {
    "channel_id": pl.Int64,
    "message_id": pl.Int64,
    "date": pl.Datetime("us", "UTC"),
    "announced_at": pl.Datetime("us", "UTC"),
    "has_photo": pl.Boolean,
    "is_forward": pl.Boolean,
    "is_empty": pl.Boolean,
}


class Context(NamedTuple):
    """Features [n, k] of the context of n messages, and which of them [n] have any: a message in the week before."""

    features: NDArray[np.float64]
    is_known: NDArray[np.bool_]


def feature_groups() -> dict[str, list[int]]:
    """Columns of `Context.features` by what they tell."""
    groups = {
        "previous_classes": PREVIOUS * LABEL_COUNT,
        "previous_minutes": PREVIOUS,
        "previous_kind": PREVIOUS * 2,
        "day_shares": LABEL_COUNT + 1,
        "week_shares": LABEL_COUNT + 1,
        "minutes_since_class": LABEL_COUNT - 1,
        "announced_time": 5,
        "own_kind": 2,
    }
    ends = np.cumsum(list(groups.values()))
    return {name: list(range(end - size, end)) for (name, size), end in zip(groups.items(), ends.tolist(), strict=True)}


def context_of(messages: pl.DataFrame, probabilities: NDArray[np.floating[Any]]) -> Context:
    """The context of each message, from those of its channel that stand before it, by date and then id.

    Args:
        messages: channel_id, message_id, date, announced_at (the start time that the message announces, else NULL), has_photo,
            is_forward, is_empty; in any order. Of a message's own row only date, has_photo and is_forward are used.
        probabilities: of the classes [n, 6], by a model that saw none of these channels where the result is to train on or to measure.

    Raises:
        SchemaError: a column is missing or has another type.
    """
    for name, dtype in _CONTEXT_SCHEMA.items():
        if name not in messages.columns or messages[name].dtype != dtype:
            raise SchemaError(f"messages: column {name} is {messages.schema.get(name, 'missing')}, expected {dtype}")
    order = messages.select(pl.arg_sort_by("channel_id", "date", "message_id")).to_series().to_numpy()
    ordered, chances = messages[order], probabilities[order].astype(np.float64)
    features = np.zeros((len(order), sum(map(len, feature_groups().values()))))
    is_known = np.zeros(len(order), dtype=bool)
    for channel in ordered.with_row_index("place").partition_by("channel_id", maintain_order=True):
        places = channel["place"].to_numpy()
        at = order[places]
        features[at], is_known[at] = _channel_context(channel, chances[places])
    return Context(features, is_known)


def _channel_context(channel: pl.DataFrame, chances: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Features and whether there is a context, of one channel's messages in order."""
    count = channel.height
    minutes = channel["date"].dt.epoch("us").to_numpy() / 60e6
    kinds = channel.select(pl.col("has_photo", "is_empty").cast(pl.Float64)).to_numpy()
    places = np.arange(count)
    week, day = (np.searchsorted(minutes, minutes - span) for span in (WEEK_MINUTES, _DAY_MINUTES))
    classes, gaps, previous_kinds = [], [], []
    for back in range(1, PREVIOUS + 1):
        is_there = places - back >= week
        source = np.maximum(places - back, 0)
        classes.append(np.where(is_there[:, None], chances[source], 0))
        gaps.append(np.where(is_there, _log_minutes(minutes - minutes[source]), _log_minutes(WEEK_MINUTES)))
        previous_kinds.append(np.where(is_there[:, None], kinds[source], 0))
    sums = np.vstack([np.zeros(LABEL_COUNT), np.cumsum(chances, axis=0)])
    since = [_log_minutes(_minutes_since(minutes, chances[:, label] >= _SURE)) for label in MessageLabel if label != MessageLabel.NOISE]
    columns = [
        *classes,
        np.column_stack(gaps),
        *previous_kinds,
        _shares(sums, day, places),
        _shares(sums, week, places),
        np.column_stack(since),
        _announced(minutes, channel["announced_at"], week),
        channel.select(pl.col("has_photo", "is_forward").cast(pl.Float64)).to_numpy(),
    ]
    return np.hstack(columns), week < places


def _shares(sums: NDArray[np.float64], first: NDArray[np.intp], places: NDArray[np.intp]) -> NDArray[np.float64]:
    """Share of each class among the messages from `first` up to before each place, and the log of their number [n, 7]."""
    counts = places - first
    shares = (sums[places] - sums[first]) / np.maximum(counts, 1)[:, None]
    return np.column_stack([shares, np.log1p(counts)])


def _minutes_since(minutes: NDArray[np.float64], is_it: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Minutes [n] since the last message before each that `is_it`, at most a week."""
    last = np.maximum.accumulate(np.concatenate([[-np.inf], np.where(is_it, minutes, -np.inf)[:-1]]))
    return np.minimum(minutes - last, WEEK_MINUTES)


def _announced(minutes: NDArray[np.float64], announced_at: pl.Series, week: NDArray[np.intp]) -> NDArray[np.float64]:
    """Of the times announced in the week before [n, 5]: whether one lies ahead and is past, how far both are, and whether one is now."""
    announced = (announced_at.dt.epoch("us").cast(pl.Float64) / 60e6).fill_null(np.nan).to_numpy()
    found = np.zeros((len(minutes), 5))
    for place, (now, first) in enumerate(zip(minutes, week.tolist(), strict=True)):
        known = announced[first:place]
        ahead = np.min(known[known >= now], initial=now + WEEK_MINUTES) - now
        past = now - np.max(known[known < now], initial=now - WEEK_MINUTES)
        is_now = ahead <= 3 or past <= 20
        found[place] = ahead < WEEK_MINUTES, past < WEEK_MINUTES, _log_minutes(ahead), _log_minutes(past), is_now
    return found


def _log_minutes(minutes: NDArray[np.float64] | float) -> Any:
    return np.log1p(minutes)


class ContextModel(NamedTuple):
    """The second stage: the first stage's log-probabilities, scaled and moved by what the context says.

    Attributes:
        scale: factor of the log-probabilities, [1].
        mean, spread: of each feature in training, [k].
        weights: [k, 6].
        bias: [6].
    """

    scale: NDArray[np.float64]
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]


def fit_context(
    first: NDArray[np.floating[Any]], context: Context, labels: NDArray[np.integer[Any]], penalty: float = _PENALTY
) -> ContextModel:
    """Fits the second stage where there is a context; without a signal it stays with the first.

    Args:
        first: the first stage's probabilities [n, 6], of messages it was not trained on.
        context: of the same messages.
        labels: their classes [n].
        penalty: on the squared weights.
    """
    from scipy.optimize import minimize

    logs, features = _logs(first[context.is_known]), context.features[context.is_known]
    labels = labels[context.is_known]
    mean, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-3)
    scaled = np.column_stack([(features - mean) / spread, np.ones(len(features))])
    wanted = np.eye(LABEL_COUNT)[labels]
    penalties = np.full((scaled.shape[1], 1), penalty)

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = values[1:].reshape(-1, LABEL_COUNT)
        scores = log_softmax(values[0] * logs + scaled @ weights)
        miss = np.exp(scores) - wanted
        gradient = scaled.T @ miss + 2 * penalties * weights
        total = -(scores * wanted).sum() + (penalties * weights**2).sum()
        return float(total), np.concatenate([[(miss * logs).sum()], gradient.ravel()])

    start = np.zeros(1 + scaled.shape[1] * LABEL_COUNT)
    start[0] = 1
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    weights = found[1:].reshape(-1, LABEL_COUNT)
    return ContextModel(found[:1], mean, spread, weights[:-1], weights[-1])


def apply_context(model: ContextModel, first: NDArray[np.floating[Any]], context: Context) -> NDArray[np.float32]:
    """Probabilities [n, 6] with the context; a message without one keeps the first stage's, `first` [n, 6]."""
    scaled = (context.features - model.mean) / model.spread
    second = softmax(model.scale * _logs(first) + scaled @ model.weights + model.bias)
    return np.where(context.is_known[:, None], second, first).astype(np.float32)


def _logs(probabilities: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    return np.log(np.maximum(probabilities.astype(np.float64), _LEAST_PROBABILITY))


def context_figures(
    first: NDArray[np.floating[Any]],
    context: Context,
    labels: NDArray[np.integer[Any]],
    folds: NDArray[np.integer[Any]],
    channels: NDArray[Any],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """What the context is worth: the second stage fitted on all folds but one and asked about that one, each in turn.

    Args:
        first: the first stage's probabilities [n, 6], each by a model that did not see the message's channel.
        context: of the same messages, by models that did not see their channels.
        labels: the true classes [n].
        folds: the fold of each message; no channel may be in two.
        channels: the channel of each message.
        draws: bootstrap samples over channels, the same for both stages.
        seed: of the bootstrap and of the permutations.

    Returns:
        with_context and without_context (as `evaluate`), with_context_messages and without_context_messages (their number), difference
        (weighted_f1 and macro_f1, each with `_low` and `_high`, a paired 95% interval), and importance: by group of features, the weighted
        F1 and the log-likelihood per message that are lost when the group is shuffled among the tested messages.

    Raises:
        LeakError: a channel is in two folds.
    """
    pairs = np.unique(np.column_stack([channels, folds]), axis=0)
    if len(pairs) != len(np.unique(channels)):
        raise LeakError("a channel is in two folds")
    models = {fold: _fit_on(folds != fold, first, context, labels) for fold in np.unique(folds).tolist()}

    def second_stage(asked: Context) -> NDArray[np.float32]:
        found = np.zeros((len(labels), LABEL_COUNT), dtype=np.float32)
        for fold, model in models.items():
            rows = folds == fold
            found[rows] = apply_context(model, first[rows], _rows(asked, rows))
        return found

    second = second_stage(context)
    return {
        "with_context": evaluate(second, labels, channels, draws=draws, seed=seed),
        "without_context": evaluate(first, labels, channels, draws=draws, seed=seed),
        "with_context_messages": int(context.is_known.sum()),
        "without_context_messages": int((~context.is_known).sum()),
        "difference": paired_difference(second, first, labels, channels, draws=draws, seed=seed),
        "importance": _importance(second_stage, context, labels, folds, seed),
    }


def paired_difference(
    second: NDArray[np.floating[Any]],
    first: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]],
    channels: NDArray[Any],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, float]:
    """F1 of the probabilities `second` less that of `first` [n, 6], weighted and macro, with 95% intervals: a paired bootstrap over channels."""
    names, group = np.unique(channels, return_inverse=True)
    confusions = np.zeros((2, len(names), LABEL_COUNT, LABEL_COUNT))
    for stage, probabilities in enumerate((second, first)):
        np.add.at(confusions[stage], (group, labels, probabilities.argmax(axis=1)), 1)

    def difference(chosen: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        ours, theirs = (np.array(f1_scores(stage[chosen].sum(axis=0))) for stage in confusions)
        return ours - theirs

    sampler = np.random.default_rng(seed)
    samples = [difference(sampler.integers(0, len(names), len(names))) for _ in range(draws)]
    low, high = np.nanpercentile(np.array(samples), [2.5, 97.5], axis=0)
    found: dict[str, float] = {}
    for place, (name, value) in enumerate(zip(("weighted_f1", "macro_f1"), difference(np.arange(len(names))), strict=True)):
        found |= {name: float(value), f"{name}_low": float(low[place]), f"{name}_high": float(high[place])}
    return {name: round(value, 4) for name, value in found.items()}


def _importance(
    second_stage: Callable[[Context], NDArray[np.float32]],
    context: Context,
    labels: NDArray[np.integer[Any]],
    folds: NDArray[np.integer[Any]],
    seed: int,
    repeats: int = 5,
) -> dict[str, dict[str, float]]:
    """What shuffling each group of features among the messages of a fold that have a context costs, mean of `repeats`."""
    sampler = np.random.default_rng(seed)
    known = np.flatnonzero(context.is_known)
    kept = np.array(_scores(second_stage(context)[known], labels[known]))
    lost: dict[str, dict[str, float]] = {}
    for name, columns in feature_groups().items():
        losses: list[NDArray[np.float64]] = []
        for _ in range(repeats):
            features = context.features.copy()
            for fold in np.unique(folds):
                rows = known[folds[known] == fold]
                features[np.ix_(rows, columns)] = context.features[np.ix_(sampler.permutation(rows), columns)]
            losses.append(kept - _scores(second_stage(Context(features, context.is_known))[known], labels[known]))
        weighted, likelihood = np.mean(losses, axis=0)
        lost[name] = {"weighted_f1": round(float(weighted), 4), "log_likelihood": round(float(likelihood), 4)}
    return lost


def _scores(probabilities: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]) -> tuple[float, float]:
    """Weighted F1 and mean log-likelihood."""
    confusion = np.zeros((LABEL_COUNT, LABEL_COUNT))
    np.add.at(confusion, (labels, probabilities.argmax(axis=1)), 1)
    return f1_scores(confusion)[0], float(_logs(probabilities)[np.arange(len(labels)), labels].mean())


def _fit_on(
    rows: NDArray[np.bool_], first: NDArray[np.floating[Any]], context: Context, labels: NDArray[np.integer[Any]]
) -> ContextModel:
    return fit_context(first[rows], _rows(context, rows), labels[rows])


def _rows(context: Context, rows: NDArray[np.bool_]) -> Context:
    return Context(context.features[rows], context.is_known[rows])
