"""Hashed features of normalised texts: character n-grams, word n-grams and cues, computed for a whole batch in numpy.

Stateless: no vocabulary is kept, so that a model is a table of weights. A feature is present or absent; repeats do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from pnd_dagster.messages.cues import cues

BUCKETS = 1 << 18
FEATURES_VERSION = 1
BLOCKS = ("characters", "words", "cues")
COLUMNS = BUCKETS * len(BLOCKS)

_CHARACTER_SIZES = (2, 3, 4, 5)
_WORD_SIZES = (1, 2, 3)
# An announcement's facts stand at its head and its call to action at its tail.
_HEAD_CHARS, _TAIL_CHARS = 700, 300
_FOLD_DIGITS = str.maketrans("123456789", "000000000")
_U64 = np.uint64
_BASE = _U64(0x100000001B3)
_MIX = _U64(0x9E3779B97F4A7C15)
_IS_WORD = np.array([chr(byte).isalnum() or chr(byte) in "_@$#%'" or byte >= 0x80 for byte in range(256)])
_SEPARATOR = 0


class Features(NamedTuple):
    """Present features: row of the text and column (block times `BUCKETS` plus bucket), sorted by both, each pair once."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]


def hash_features(texts: Sequence[str]) -> Features:
    """The features of normalised `texts`."""
    if not texts:
        return Features(np.zeros(0, np.int64), np.zeros(0, np.int64))
    folded = [_folded(text) for text in texts]
    encoded = [f" {text} ".encode("utf-8", "replace").replace(b"\0", b" ") for text in folded]
    data = np.frombuffer(b"\0".join(encoded) + b"\0", dtype=np.uint8)
    row_of_byte = np.repeat(np.arange(len(texts)), [len(text) + 1 for text in encoded])
    found = [cues(text) for text in texts]
    cue_rows = np.repeat(np.arange(len(texts)), [len(names) for names in found])
    cue_hashes = np.array([crc32(name.encode()) for names in found for name in names], dtype=np.uint64)
    blocks = [_character_ngrams(data, row_of_byte), _word_ngrams(data, row_of_byte), (cue_rows, cue_hashes)]
    # np.unique goes through a hash table for integers, which is ten times slower than sorting here.
    keys = np.sort(np.concatenate([rows * COLUMNS + _columns(hashes, block) for block, (rows, hashes) in enumerate(blocks)]))
    keys = keys[np.diff(keys, prepend=-1) != 0]
    return Features(keys // COLUMNS, keys % COLUMNS)


def scaled(features: Features, importance: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Values of `features`: the importance of each column, scaled to unit length within each text and block.

    Args:
        features: of `count` texts.
        importance: one value per column, 0 for columns that do not count.
    """
    values = importance[features.columns]
    part = features.rows * len(BLOCKS) + features.columns // BUCKETS
    norms = np.sqrt(np.bincount(part, values.astype(np.float64) ** 2, minlength=count * len(BLOCKS)))
    return (values / np.maximum(norms, 1e-9)[part]).astype(np.float32)


def _salt(number: int) -> np.uint64:
    return _U64(number * int(_MIX) % (1 << 64))


def _folded(text: str) -> str:
    if len(text) > _HEAD_CHARS + _TAIL_CHARS:
        text = f"{text[:_HEAD_CHARS]} {text[-_TAIL_CHARS:]}"
    return text.lower().translate(_FOLD_DIGITS).replace("\n", " ")


def _character_ngrams(data: NDArray[np.uint8], rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Byte windows within each text. `reach` counts the bytes up to the text's end, so that no window crosses into the next."""
    ends = np.flatnonzero(data == _SEPARATOR)
    reach = ends[np.searchsorted(ends, np.arange(len(data)))] - np.arange(len(data))
    wide = data.astype(np.uint64)
    all_rows: list[NDArray[np.int64]] = []
    all_hashes: list[NDArray[np.uint64]] = []
    rolling = np.zeros_like(wide)
    for size in range(1, _CHARACTER_SIZES[-1] + 1):
        # Appends the next byte of every window at once; the ring shift is masked by `reach`.
        rolling = (rolling * _BASE) + np.roll(wide, 1 - size) + _U64(1)
        if size in _CHARACTER_SIZES:
            inside = reach >= size
            all_rows.append(rows[inside])
            all_hashes.append(rolling[inside] + _salt(size))
    return np.concatenate(all_rows), np.concatenate(all_hashes)


def _word_ngrams(data: NDArray[np.uint8], rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    is_word = np.concatenate([[False], _IS_WORD[data] & (data != _SEPARATOR), [False]])
    edges = np.flatnonzero(np.diff(is_word.astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return np.zeros(0, np.int64), np.zeros(0, np.uint64)
    lengths = ends - starts
    position = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    powers = np.cumprod(np.full(int(lengths.max()) + 1, _BASE, dtype=np.uint64))
    letters = data[np.repeat(starts, lengths) + position].astype(np.uint64) + _U64(1)
    offsets = np.cumsum(lengths) - lengths
    hashes = np.add.reduceat(letters * powers[position], offsets)
    word_rows = rows[starts]
    all_rows, all_hashes = [word_rows], [hashes * _MIX]
    grams = hashes * _MIX
    for size in _WORD_SIZES[1:]:
        grams = grams[:-1] * _BASE + hashes[size - 1 :] * _MIX + _U64(size)
        inside = word_rows[: len(grams)] == word_rows[size - 1 :]
        all_rows.append(word_rows[: len(grams)][inside])
        all_hashes.append(grams[inside])
        if not len(grams):
            break
    return np.concatenate(all_rows), np.concatenate(all_hashes)


def _columns(hashes: NDArray[np.uint64], block: int) -> NDArray[np.int64]:
    mixed = (hashes ^ _salt(block + 1)) * _MIX
    mixed = (mixed ^ (mixed >> _U64(29))) * _U64(0xBF58476D1CE4E5B9)
    return (mixed >> _U64(64 - BUCKETS.bit_length() + 1)).astype(np.int64) + block * BUCKETS
