"""How samples are divided into those that train and those that test."""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pnd_dagster.candidates.learned.measures import Booleans

Integers = NDArray[np.int64]
FOLDS = 5
FORWARD_BLOCKS = 4


class Protocol(StrEnum):
    """The three divisions.

    RANDOM is the paper's: a coin that is pumped twice, and windows of one day, stand on both sides. BY_COIN keeps a symbol on one side.
    FORWARD trains on the events before a moment and tests on later ones, as a filter in use would.
    """

    RANDOM = "random"
    BY_COIN = "by coin"
    FORWARD = "forward"


class Split(NamedTuple):
    """Places of the samples that train and test."""

    train: Integers
    test: Integers


def splits(rows: pl.DataFrame, protocol: Protocol, seed: int = 0) -> list[Split]:
    """The splits of a protocol; a part without both classes on both sides is left out.

    Five folds for RANDOM and BY_COIN, so that every sample is tested once. For FORWARD the later half of the events is tested in four
    blocks, each by what was trained on all events before it.

    Args:
        rows: of `Samples`, ascending in time.
        protocol: which division.
        seed: of the shuffling.
    """
    labels = rows["is_pumped"].to_numpy()
    if protocol is Protocol.FORWARD:
        events = rows["event"].to_numpy()
        distinct = np.unique(events)
        edges = np.linspace(len(distinct) // 2, len(distinct), FORWARD_BLOCKS + 1).astype(int)
        parts = [
            Split(np.flatnonzero(np.isin(events, distinct[:start])), np.flatnonzero(np.isin(events, distinct[start:end])))
            for start, end in pairwise(edges.tolist())
        ]
    else:
        if _least(labels) < FOLDS:
            return []
        symbols = rows["symbol"].to_numpy() if protocol is Protocol.BY_COIN else None
        parts = [Split(*part) for part in folds(FOLDS, labels, symbols, seed)]
    return [part for part in parts if _least(labels[part.train]) >= FOLDS and _least(labels[part.test]) >= 1]


def folds(count: int, labels: Booleans, groups: NDArray[np.str_] | None, seed: int) -> list[tuple[Integers, Integers]]:
    """Places that train and test, stratified by label; those of one group stay together where groups are given."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    splitter = (StratifiedKFold if groups is None else StratifiedGroupKFold)(count, shuffle=True, random_state=seed)
    return list(splitter.split(labels, labels, groups))


def _least(labels: Booleans) -> int:
    return int(min(labels.sum(), (~labels).sum()))
