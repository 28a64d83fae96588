"""Texts as token ids for an encoder: head and tail of long texts, in training and at work; batches of like length for training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# What normalising leaves behind as a word of its own.
PLACEHOLDERS = ("@USER", "UNKNOWN_URL", "_CEX", "_DEX", "TRADE_URL", "EXCHANGE_URL", "TOKEN_URL", "CONTRACT_ADDRESS")
Pieces = Callable[[Sequence[str]], list[list[int]]]


class TokenLayout(NamedTuple):
    """How a sequence is laid out.

    Attributes:
        first: id that begins every sequence, e.g. [CLS].
        last: id that ends it, e.g. [SEP].
        padding: id that fills it up.
        most: tokens of a sequence at most, first and last included.
    """

    first: int
    last: int
    padding: int
    most: int


def sequences(pieces: Pieces, texts: Sequence[str], layout: TokenLayout) -> list[list[int]]:
    """Token ids of each text. An announcement's facts stand at its head and its call to action at its tail: the middle is left out."""
    room = layout.most - 2
    head = room * 3 // 4
    # Characters beyond this can never be reached: the tail is taken from the end.
    reach = layout.most * 12
    clipped = [text if len(text) <= 2 * reach else f"{text[:reach]} {text[-reach:]}" for text in texts]
    found = pieces(clipped)
    cut = [ids if len(ids) <= room else ids[:head] + ids[head - room :] for ids in found]
    return [[layout.first, *ids, layout.last] for ids in cut]


def padded(rows: Sequence[list[int]], layout: TokenLayout) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids and attention mask [n, longest] of sequences."""
    longest = max(map(len, rows))
    ids = np.full((len(rows), longest), layout.padding, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, values in enumerate(rows):
        ids[row, : len(values)] = values
        mask[row, : len(values)] = 1
    return ids, mask


def batches(rows: Sequence[list[int]], tokens: int) -> Iterator[NDArray[np.int64]]:
    """Row numbers by length, in batches of at most `tokens` padded tokens: padding costs as much as text."""
    order = np.argsort([len(row) for row in rows], kind="stable")
    start = 0
    for end in range(1, len(order) + 1):
        is_full = end < len(order) and (end - start + 1) * len(rows[order[end]]) > tokens
        if is_full or end == len(order):
            yield order[start:end]
            start = end
