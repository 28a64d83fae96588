"""Splits of labelled messages that cannot leak: they refuse a channel or a near-duplicate on both sides.

Channels repeat their own posts and copy those of others, so that a random split asks a model about texts it was taught.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pnd_dagster.errors import PndError

NEAR_DUPLICATES = "near_duplicate_key"


class Split(NamedTuple):
    """Row numbers of the training and of the test side."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]


class LeakError(PndError):
    """A split would show the model on test what it was trained on."""


def check_split(examples: pl.DataFrame, split: Split, *, is_channel_disjoint: bool = True, key: str = NEAR_DUPLICATES) -> None:
    """Refuses a split of `examples` (channel_id and `key`) that leaks.

    Texts are the same where their `key` is: by default near-duplicates are, with "normalised" only equal texts.

    Raises:
        LeakError: a row, a near-duplicate or (if `is_channel_disjoint`) a channel is on both sides; names one.
    """
    train, test = examples[split.train], examples[split.test]
    if shared := set(split.train.tolist()) & set(split.test.tolist()):
        raise LeakError(f"row {min(shared)} is on both sides of the split")
    if shared := set(train[key]) & set(test[key]):
        kind = "near-duplicate" if key == NEAR_DUPLICATES else "equal"
        raise LeakError(f"{len(shared)} {kind} texts are on both sides of the split, e.g. {min(shared)[:60]!r}")
    if is_channel_disjoint and (shared := set(train["channel_id"].drop_nulls()) & set(test["channel_id"].drop_nulls())):
        raise LeakError(f"channel {min(shared)} is on both sides of the split")


def purged(examples: pl.DataFrame, split: Split, *, key: str = NEAR_DUPLICATES) -> Split:
    """`split` without the test rows whose `key` is on the training side too."""
    seen = set(examples[key][split.train])
    keys = examples[key][split.test].to_list()
    return Split(split.train, split.test[np.array([key not in seen for key in keys], dtype=bool)])


def channel_folds(examples: pl.DataFrame, *, source: str, count: int = 5, seed: int = 0) -> list[Split]:
    """Cross-validation over the channels of `source`; every other source helps to train, without the channels under test.

    Channels are dealt out largest first to the smallest fold, ties in seeded order, so that folds are of like size. Test rows with a
    near-duplicate on the training side are purged.
    """
    is_source = (examples["source"] == source).to_numpy()
    channels = examples.filter(pl.col("source") == source).group_by("channel_id").len()
    channels = channels.sort("channel_id").sample(fraction=1, shuffle=True, seed=seed).sort("len", descending=True, maintain_order=True)
    if channels.height < count:
        raise PndError(f"{count} channel-disjoint folds need at least {count} channels, {source!r} has {channels.height}")
    sizes = [0] * count
    fold_of: dict[int, int] = {}
    for channel, size in channels.iter_rows():
        smallest = sizes.index(min(sizes))
        sizes[smallest] += size
        fold_of[channel] = smallest
    fold = np.array([fold_of.get(channel, -1) if channel is not None else -1 for channel in examples["channel_id"]])
    splits = [Split(np.flatnonzero(fold != number), np.flatnonzero((fold == number) & is_source)) for number in range(count)]
    return [purged(examples, split) for split in splits]


def random_folds(examples: pl.DataFrame, *, source: str, count: int = 5, seed: int = 0, key: str = NEAR_DUPLICATES) -> list[Split]:
    """Plain cross-validation over the rows of `source` alone, purged by `key` from the test side; channels are on both sides."""
    rows = np.flatnonzero((examples["source"] == source).to_numpy())
    fold = np.random.default_rng(seed).permutation(len(rows)) % count
    return [purged(examples, Split(rows[fold != number], rows[fold == number]), key=key) for number in range(count)]


def paper_split(examples: pl.DataFrame, *, source: str, seed: int = 0) -> Split:
    """The paper's: 80% of the rows of `source` train, 20% test without texts that are equal to one that trains."""
    rows = np.random.default_rng(seed).permutation(np.flatnonzero((examples["source"] == source).to_numpy()))
    cut = len(rows) * 4 // 5
    return purged(examples, Split(np.sort(rows[:cut]), np.sort(rows[cut:])), key="normalised")


def held_out_source(examples: pl.DataFrame, *, source: str) -> Split:
    """All rows of `source` as the test side; the training side has none of its channels, the test side none of its near-duplicates."""
    is_source = (examples["source"] == source).to_numpy()
    channels = examples.filter(pl.col("source") == source)["channel_id"].drop_nulls().unique()
    is_shared = examples["channel_id"].is_in(channels.implode()).fill_null(False).to_numpy()
    return purged(examples, Split(np.flatnonzero(~is_source & ~is_shared), np.flatnonzero(is_source)))
