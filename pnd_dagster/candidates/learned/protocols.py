"""How samples are divided into those that train and those that test."""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pnd_dagster.candidates.learned.measures import Booleans
from pnd_dagster.candidates.learned.samples import QUIET_AFTER

Integers = NDArray[np.int64]
FOLDS = 5
FORWARD_BLOCKS = 4


class Protocol(StrEnum):
    """The three divisions.

    RANDOM is the paper's: a coin that is pumped twice, and windows of one day, stand on both sides. BY_COIN keeps a symbol on one side.
    FORWARD trains on the events before a moment and tests on later ones, as a filter in use would. What its last week of training would be
    labelled by had not happened then (that the others were not pumped for `QUIET_AFTER`), so that week trains nothing.
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
    blocks, each by what was trained on all events a week before it. Where symbols are kept together, five of each class must train.

    Args:
        rows: of `Samples`, ascending in time.
        protocol: which division.
        seed: of the shuffling.
    """
    labels = rows["is_pumped"].to_numpy()
    units = (np.arange(rows.height) if protocol is Protocol.RANDOM else rows["symbol"].to_numpy()).astype(np.str_)
    if _least(labels, units) < FOLDS:
        return []
    if protocol is Protocol.FORWARD:
        parts = _forward(rows)
    else:
        parts = [Split(*part) for part in folds(FOLDS, labels, units if protocol is Protocol.BY_COIN else None, seed)]
    return [
        part
        for part in parts
        if _least(labels[part.train], units[part.train]) >= FOLDS and _least(labels[part.test], units[part.test]) >= 1
    ]


def folds(count: int, labels: Booleans, groups: NDArray[np.str_] | None, seed: int) -> list[tuple[Integers, Integers]]:
    """Places that train and test, stratified by label; those of one group stay together where groups are given."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    splitter = (StratifiedKFold if groups is None else StratifiedGroupKFold)(count, shuffle=True, random_state=seed)
    return list(splitter.split(labels, labels, groups))


def _forward(rows: pl.DataFrame) -> list[Split]:
    events, days = rows["event"].to_numpy(), rows["at"].to_numpy()
    distinct = np.unique(events)
    edges = np.linspace(len(distinct) // 2, len(distinct), FORWARD_BLOCKS + 1).astype(int)
    tests = [np.flatnonzero(np.isin(events, distinct[start:end])) for start, end in pairwise(edges.tolist()) if start < end]
    return [Split(np.flatnonzero(days + np.timedelta64(QUIET_AFTER) <= days[test].min()), test) for test in tests]


def _least(labels: Booleans, units: NDArray[np.str_]) -> int:
    """Units, samples or symbols, of the smaller class."""
    return min(len(np.unique(units[labels])), len(np.unique(units[~labels])))
