"""Wordings: texts that say nearly the same in nearly the same words, found by MinHash over shingles of words."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

LEAST_CHARACTERS = 40
LEAST_WORDS = 8
"""Shorter texts are said by everybody: "5 minutes left" is no copy."""
MOST_WORDS = 400
"""Only so many words of a text are compared."""
SHINGLE = 4
SIMILAR = 0.8
"""Least Jaccard similarity of two texts' shingles, as MinHash estimates it, for them to be one wording."""
_BANDS, _ROWS = 16, 6
_PRIME = np.uint64((1 << 61) - 1)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_TEXTS_AT_ONCE = 4_096
"""So many texts' words are held at a time: all of an archive's would take a gigabyte."""
_LINK = r"(?:https?://|www\.|t\.me/)\S+|@\w+"


def wordings(texts: pl.Series) -> pl.Series:
    """The wording of each text: a number that texts of nearly the same words share; NULL for texts too short to tell.

    Case, width of letters, punctuation, emoji, links and handles do not matter (who copies puts in his own); numbers do.

    Args:
        texts: any strings; NULL counts as too short.
    """
    frame = pl.DataFrame({"text": texts.cast(pl.String)})
    keys, signatures = [pl.DataFrame(schema={"text": pl.String, "key": pl.UInt64})], [np.empty((0, _BANDS * _ROWS), np.uint32)]
    signed = pl.Series(dtype=pl.UInt64)
    for part in frame.unique(maintain_order=True).drop_nulls().iter_slices(_TEXTS_AT_ONCE):
        long = part.with_columns(folded=_folded()).filter(
            pl.col("folded").str.len_chars() >= LEAST_CHARACTERS, pl.col("folded").str.count_matches(" ", literal=True) >= LEAST_WORDS - 1
        )
        keyed = long.with_columns(key=pl.col("folded").hash(seed=0))
        new = keyed.unique("key", maintain_order=True).join(signed.to_frame("key"), on="key", how="anti", maintain_order="left")
        signed = signed.append(new["key"])
        signatures.append(_signatures(new["folded"]))
        keys.append(keyed.select("text", "key"))
    numbered = pl.DataFrame({"key": signed, "wording": _clusters(np.concatenate(signatures))})
    found = pl.concat(keys).join(numbered, on="key").select("text", "wording")
    return frame.join(found, on="text", how="left", maintain_order="left")["wording"]


def _folded() -> pl.Expr:
    text = pl.col("text").str.normalize("NFKC").str.to_lowercase().str.replace_all(_LINK, " ")
    return text.str.replace_all(r"[^\p{L}\p{N}%$.]+|\.(?:\s|$)", " ").str.replace_all(r"\s+", " ").str.strip_chars()


def _clusters(signatures: NDArray[np.uint32]) -> NDArray[np.int64]:
    """A number for each text, shared by those that are linked by similar ones."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(signatures)
    if count < 2:
        return np.arange(count, dtype=np.int64)
    links: list[NDArray[np.int64]] = []
    for band in range(_BANDS):
        keys = np.zeros(count, np.uint64)
        for column in range(band * _ROWS, (band + 1) * _ROWS):
            keys = (keys ^ signatures[:, column]) * _MIX
            keys ^= keys >> np.uint64(29)
        _, places, inverse = np.unique(keys, return_index=True, return_inverse=True)
        first = places[inverse]
        others = np.flatnonzero(first != np.arange(count))
        is_similar = (signatures[others] == signatures[first[others]]).mean(axis=1) >= SIMILAR
        links.append(np.column_stack((first[others], others))[is_similar])
    pairs = np.concatenate(links)
    graph: Any = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _signatures(folded: pl.Series) -> NDArray[np.uint32]:
    """[texts, bands x rows], the least hash of each text's shingles under as many hash functions."""
    words = pl.DataFrame({"text": np.arange(len(folded)), "word": folded.str.split(" ").list.head(MOST_WORDS)}).explode("word")
    shingles = words.select("text", shingle=pl.concat_str(*(pl.col("word").shift(-step) for step in range(SHINGLE)), separator=" ")).filter(
        pl.col("text") == words["text"].shift(1 - SHINGLE)
    )
    hashes = shingles["shingle"].hash(seed=0).to_numpy() % _PRIME
    starts = np.searchsorted(shingles["text"].to_numpy(), np.arange(len(folded)))
    rng = np.random.default_rng(0)
    signatures = np.empty((len(folded), _BANDS * _ROWS), np.uint32)
    for column, (factor, term) in enumerate(rng.integers(1, 1 << 61, (_BANDS * _ROWS, 2), np.uint64)):
        # Products wrap around at 2^64: a multiply-shift hash, whose high bits count.
        signatures[:, column] = np.minimum.reduceat((hashes * (factor | np.uint64(1)) + term) >> np.uint64(32), starts)
    return signatures
