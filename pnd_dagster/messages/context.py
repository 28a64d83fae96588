"""Whether a message releases a coin, seen in its channel: a second stage behind the classifier, which reads each message alone.

A bare ticker is noise in one channel and the release in another, where a countdown stands before it. Only that question is asked of the
context: weights for all six classes were tried and followed the habits of single channels. Nothing posted later is used. This measures
what the context is worth and is not part of the classifier that ships; events judge releases by the channel's course on their own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pnd_dagster.errors import SchemaError
from pnd_dagster.messages.blend import log_softmax, softmax
from pnd_dagster.messages.evaluation import evaluate, f1_scores
from pnd_dagster.messages.labels import LABEL_COUNT, MessageLabel
from pnd_dagster.messages.normalise import normalise_many
from pnd_dagster.messages.splits import LeakError, channel_folds
from pnd_dagster.messages.training import fit, model_of

PREVIOUS = 5
_WEEK_MINUTES = 7 * 24 * 60.0
_SURE = 0.5
# From 3 to 100 gives the same figures within 0.001.
_PENALTY = 30.0
_LEAST_PROBABILITY = 1e-4
_REMEMBERED = tuple(label for label in MessageLabel if label != MessageLabel.NOISE)
_FEATURE_COUNT = PREVIOUS * LABEL_COUNT + len(_REMEMBERED)
_COLUMNS = {"channel_id": pl.Int64, "message_id": pl.Int64, "date": pl.Datetime("us", "UTC")}


class Context(NamedTuple):
    """Features [n, 35] of the context of n messages, and which of them [n] have one: a message in the week before.

    The features are the class probabilities of the previous five messages, nearest first, and for each class but noise the log of the
    minutes since the last message that was it with a probability of a half. What is older than a week is as if it had not been.
    """

    features: NDArray[np.float64]
    is_known: NDArray[np.bool_]

    def rows(self, chosen: NDArray[Any]) -> Context:
        """The context of some of the messages, by number or mask."""
        return Context(self.features[chosen], self.is_known[chosen])


def feature_groups() -> dict[str, NDArray[np.int64]]:
    """Columns of `Context.features` by what they tell."""
    columns = np.arange(_FEATURE_COUNT)
    previous = {f"previous_{place + 1}": columns[place * LABEL_COUNT : (place + 1) * LABEL_COUNT] for place in range(PREVIOUS)}
    return previous | {"minutes_since_class": columns[PREVIOUS * LABEL_COUNT :]}


def context_of(messages: pl.DataFrame, probabilities: NDArray[np.floating[Any]]) -> Context:
    """The context of each message, from those of its channel that stand before it, by date and then id.

    Args:
        messages: channel_id, message_id, date; in any order. For a message's context to be whole, its channel's week before is needed.
        probabilities: of the six classes [n, 6], by the first stage; of a model that saw none of these channels, where the result is to
            train on or to measure.

    Raises:
        SchemaError: a column is missing or has another type.
    """
    for name, dtype in _COLUMNS.items():
        if messages.schema.get(name) != dtype:
            raise SchemaError(f"messages: column {name} is {messages.schema.get(name, 'missing')}, expected {dtype}")
    order = messages.select(pl.arg_sort_by("channel_id", "date", "message_id")).to_series().to_numpy()
    ordered = messages[order]
    channels, minutes = ordered["channel_id"].to_numpy(), ordered["date"].dt.epoch("us").to_numpy() / 60e6
    features, is_known = np.zeros((len(order), _FEATURE_COUNT)), np.zeros(len(order), dtype=bool)
    for places in np.split(np.arange(len(order)), np.flatnonzero(np.diff(channels)) + 1):
        at = order[places]
        features[at], is_known[at] = _channel_context(minutes[places], probabilities[at].astype(np.float64))
    return Context(features, is_known)


def _channel_context(minutes: NDArray[np.float64], chances: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Features, and whether there is a context, of one channel's messages in order."""
    places = np.arange(len(minutes))
    week = np.searchsorted(minutes, minutes - _WEEK_MINUTES)
    columns = [np.where((places - back >= week)[:, None], chances[np.maximum(places - back, 0)], 0) for back in range(1, PREVIOUS + 1)]
    for label in _REMEMBERED:
        seen = np.where(chances[:, label] >= _SURE, minutes, -np.inf)
        last = np.maximum.accumulate(np.concatenate([[-np.inf], seen]))[:-1]
        columns.append(np.log1p(np.minimum(minutes - last, _WEEK_MINUTES))[:, None])
    return np.hstack(columns), week < places


class ContextModel(NamedTuple):
    """The second stage: what the context adds to the log-odds of a release.

    Attributes:
        mean, spread: of each feature in training, [k].
        weights: of the features so scaled, [k].
        bias: [1].
    """

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]


def fit_context(first: NDArray[np.floating[Any]], context: Context, labels: NDArray[np.integer[Any]]) -> ContextModel:
    """Fits the second stage on the messages that have a context; deterministic.

    Args:
        first: the first stage's probabilities [n, 6], of messages it was not trained on.
        context: of the same messages.
        labels: their classes [n].
    """
    from scipy.optimize import minimize

    logs, features, labels = _logs(first[context.is_known]), context.features[context.is_known], labels[context.is_known]
    mean, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-3)
    scaled = (features - mean) / spread
    rows, is_release = np.arange(len(labels)), labels == MessageLabel.TARGET_COIN_RELEASE

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, bias = values[:-1], values[-1]
        scores = log_softmax(_with_release(logs, scaled @ weights + bias))
        miss = np.exp(scores[:, MessageLabel.TARGET_COIN_RELEASE]) - is_release
        total = -scores[rows, labels].sum() + _PENALTY * (weights**2).sum()
        return float(total), np.append(scaled.T @ miss + 2 * _PENALTY * weights, miss.sum())

    found = minimize(loss, np.zeros(_FEATURE_COUNT + 1), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    return ContextModel(mean, spread, found[:-1], found[-1:])


def apply_context(model: ContextModel, first: NDArray[np.floating[Any]], context: Context) -> NDArray[np.float32]:
    """Probabilities [n, 6] with the context; a message without one keeps the first stage's, `first` [n, 6]."""
    added = (context.features - model.mean) / model.spread @ model.weights + model.bias
    return np.where(context.is_known[:, None], softmax(_with_release(_logs(first), added)), first).astype(np.float32)


def measure_context(
    examples: pl.DataFrame,
    archive: Path,
    first: NDArray[np.floating[Any]],
    on_progress: Callable[[int, int, str], None] = lambda done, all_, what: None,
) -> dict[str, Any]:
    """The second stage's figures on the authors' labels, by the channel-disjoint protocol (EVALUATION (c)).

    The messages around are labelled by a linear model that saw neither their channel nor a label of it.

    Args:
        examples: as of `dataset.read_examples`.
        archive: parquet file of the channels' messages: channel_id, message_id, date, kind, text.
        first: the first stage's probabilities [n, 6] of the tested messages of `channel_folds(examples, source="authors")`, fold by fold.
        on_progress: called with folds done, folds to do and what goes on.

    Returns:
        As of `context_figures`, and archived: the number of tested messages that the archive holds.
    """
    splits = channel_folds(examples, source="authors")
    sizes = [len(split.test) for split in splits]
    tested = examples[np.concatenate([split.test for split in splits])]
    folds = np.repeat(np.arange(len(splits)), sizes)
    messages = messages_before(archive, tested)
    fold_of = pl.DataFrame({"channel_id": tested["channel_id"], "fold": folds}).unique()
    fold = messages.join(fold_of, on="channel_id", how="left", maintain_order="left")["fold"].to_numpy()
    chances = np.zeros((messages.height, LABEL_COUNT))
    for number, split in enumerate(splits):
        on_progress(number, len(splits), f"labelling what stands before fold {number + 1}")
        texts = messages.filter(fold == number)["normalised"]
        distinct = texts.unique(maintain_order=True)
        model = model_of(fit(examples[split.train], None))
        place_of = {text: place for place, text in enumerate(distinct)}
        chances[fold == number] = model.predict_probabilities(distinct.to_list())[[place_of[text] for text in texts]]
    chances[(messages["normalised"] == "").to_numpy()] = np.eye(LABEL_COUNT)[MessageLabel.NOISE]
    whole = context_of(messages, chances)
    numbered = messages.select("channel_id", "message_id").with_row_index("place")
    place = tested.join(numbered, on=["channel_id", "message_id"], how="left", maintain_order="left")["place"]
    is_archived = place.is_not_null().to_numpy()
    context = whole.rows(place.fill_null(0).to_numpy())
    context = Context(context.features, context.is_known & is_archived)
    channels = tested["channel_id"].to_numpy()
    return context_figures(first, context, tested["label"].to_numpy(), folds, channels) | {"archived": int(is_archived.sum())}


def messages_before(archive: Path, asked: pl.DataFrame) -> pl.DataFrame:
    """The messages of `asked` (channel_id, message_id) and those of their channels in the week before each.

    Returns:
        channel_id, message_id, date, normalised; each once, in order.
    """
    messages = pl.scan_parquet(archive).filter(
        pl.col("kind") == "Message", pl.col("channel_id").is_in(asked["channel_id"].unique().implode())
    )
    frame = messages.select(*_COLUMNS, "text").collect().sort("date", "message_id")
    is_asked = (
        frame.join(asked, on=["channel_id", "message_id"], how="semi").select("channel_id", asked_at="date").unique().sort("asked_at")
    )
    frame = frame.join_asof(is_asked, left_on="date", right_on="asked_at", by="channel_id", strategy="forward", check_sortedness=False)
    frame = frame.filter(pl.col("asked_at") - pl.col("date") <= pl.duration(days=7)).sort("channel_id", "date", "message_id")
    normalised = pl.Series("normalised", normalise_many(frame["text"].fill_null("")), dtype=pl.String)
    return frame.select(*_COLUMNS, normalised)


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
        with_context and without_context (as of `evaluate`), messages_with_context, difference (as of `paired_difference`), and importance:
        by group of features, the recall of releases and the log-likelihood per message that shuffling it costs.

    Raises:
        LeakError: a channel is in two folds.
    """
    if len(np.unique(np.column_stack([channels, folds]), axis=0)) != len(np.unique(channels)):
        raise LeakError("a channel is in two folds")
    names = np.unique(folds).tolist()
    models = {name: fit_context(first[folds != name], context.rows(folds != name), labels[folds != name]) for name in names}

    def second_stage(asked: Context) -> NDArray[np.float32]:
        found = np.zeros((len(labels), LABEL_COUNT), dtype=np.float32)
        for name, model in models.items():
            found[folds == name] = apply_context(model, first[folds == name], asked.rows(folds == name))
        return found

    second = second_stage(context)
    return {
        "with_context": evaluate(second, labels, channels, draws=draws, seed=seed),
        "without_context": evaluate(first, labels, channels, draws=draws, seed=seed),
        "messages_with_context": int(context.is_known.sum()),
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
    """weighted_f1 and macro_f1 of `second` [n, 6] less those of `first`, with `_low` and `_high`: a paired 95% bootstrap over channels."""
    names, group = np.unique(channels, return_inverse=True)
    confusions = np.zeros((2, len(names), LABEL_COUNT, LABEL_COUNT))
    for stage, probabilities in enumerate((second, first)):
        np.add.at(confusions[stage], (group, labels, probabilities.argmax(axis=1)), 1)

    def difference(chosen: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        ours, theirs = (np.array(f1_scores(stage[chosen].sum(axis=0))) for stage in confusions)
        return ours - theirs

    sampler = np.random.default_rng(seed)
    samples = np.array([difference(sampler.integers(0, len(names), len(names))) for _ in range(draws)])
    figures = np.vstack([difference(np.arange(len(names))), np.nanpercentile(samples, [2.5, 97.5], axis=0)])
    keys = [f"{score}{end}" for end in ("", "_low", "_high") for score in ("weighted_f1", "macro_f1")]
    return {key: round(float(value), 4) for key, value in zip(keys, figures.ravel(), strict=True)}


def _importance(
    second_stage: Callable[[Context], NDArray[np.float32]],
    context: Context,
    labels: NDArray[np.integer[Any]],
    folds: NDArray[np.integer[Any]],
    seed: int,
    repeats: int = 5,
) -> dict[str, dict[str, float]]:
    """What shuffling each group of features among the messages of a fold that have a context costs, the mean of `repeats`."""
    sampler = np.random.default_rng(seed)
    known = np.flatnonzero(context.is_known)
    kept = _scores(second_stage(context), labels)
    lost: dict[str, dict[str, float]] = {}
    for name, columns in feature_groups().items():
        shuffled: list[NDArray[np.float64]] = []
        for _ in range(repeats):
            features = context.features.copy()
            for rows in (known[folds[known] == fold] for fold in np.unique(folds)):
                features[np.ix_(rows, columns)] = context.features[np.ix_(sampler.permutation(rows), columns)]
            shuffled.append(_scores(second_stage(Context(features, context.is_known)), labels))
        recall, likelihood = kept - np.mean(shuffled, axis=0)
        lost[name] = {"release_recall": round(float(recall), 4), "log_likelihood": round(float(likelihood), 4)}
    return lost


def _scores(probabilities: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Recall of releases and mean log-likelihood."""
    is_release = labels == MessageLabel.TARGET_COIN_RELEASE
    hits = (probabilities.argmax(axis=1) == MessageLabel.TARGET_COIN_RELEASE) & is_release
    return np.array([hits.sum() / max(is_release.sum(), 1), _logs(probabilities)[np.arange(len(labels)), labels].mean()])


def _with_release(logs: NDArray[np.float64], added: NDArray[np.float64]) -> NDArray[np.float64]:
    scores = logs.copy()
    scores[:, MessageLabel.TARGET_COIN_RELEASE] += added
    return scores


def _logs(probabilities: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    return np.log(np.maximum(probabilities.astype(np.float64), _LEAST_PROBABILITY))
