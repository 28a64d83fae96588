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
_LINK = r"(?:https?://|www\.|t\.me/)\S+|@\w+"


def wordings(texts: pl.Series) -> pl.Series:
    """The wording of each text: a number that texts of nearly the same words share; NULL for texts too short to tell.

    Case, width of letters, punctuation, emoji, links and handles do not matter (who copies puts in his own); numbers do.

    Args:
        texts: any strings; NULL counts as too short.
    """
    frame = pl.DataFrame({"text": texts.cast(pl.String)})
    distinct = frame.unique(maintain_order=True).drop_nulls().with_columns(folded=_folded())
    words = pl.col("folded").str.split(" ")
    long = distinct.filter(pl.col("folded").str.len_chars() >= LEAST_CHARACTERS, words.list.len() >= LEAST_WORDS)
    folded = long.select(pl.col("folded").unique(maintain_order=True))
    numbered = folded.with_columns(wording=pl.Series(_clusters(folded["folded"]), dtype=pl.Int64))
    found = long.join(numbered, on="folded").select("text", "wording")
    return frame.join(found, on="text", how="left", maintain_order="left")["wording"]


def _folded() -> pl.Expr:
    text = pl.col("text").str.normalize("NFKC").str.to_lowercase().str.replace_all(_LINK, " ")
    return text.str.replace_all(r"[^\p{L}\p{N}%$.]+|\.(?:\s|$)", " ").str.replace_all(r"\s+", " ").str.strip_chars()


def _clusters(folded: pl.Series) -> NDArray[np.int64]:
    """A number for each text, shared by those that are linked by similar ones."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(folded)
    if count < 2:
        return np.arange(count, dtype=np.int64)
    signatures = _signatures(folded)
    links: list[NDArray[np.int64]] = []
    for band in range(_BANDS):
        keys = pl.DataFrame(signatures[:, band * _ROWS : (band + 1) * _ROWS], schema=[f"k{n}" for n in range(_ROWS)])
        first = keys.select(pl.int_range(pl.len()).first().over(keys.columns).alias("first"))["first"].to_numpy()
        others = np.flatnonzero(first != np.arange(count))
        is_similar = (signatures[others] == signatures[first[others]]).mean(axis=1) >= SIMILAR
        links.append(np.column_stack((first[others], others))[is_similar])
    pairs = np.concatenate(links)
    graph: Any = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _signatures(folded: pl.Series) -> NDArray[np.uint64]:
    """[texts, bands x rows], the least hash of each text's shingles under as many hash functions."""
    words = pl.DataFrame({"text": np.arange(len(folded)), "word": folded.str.split(" ").list.head(MOST_WORDS)}).explode("word")
    shingles = words.select(
        "text", shingle=pl.concat_str(*(pl.col("word").shift(-step).over("text") for step in range(SHINGLE)), separator=" ")
    ).drop_nulls()
    hashes = shingles["shingle"].hash(seed=0).to_numpy() % _PRIME
    starts = np.searchsorted(shingles["text"].to_numpy(), np.arange(len(folded)))
    rng = np.random.default_rng(0)
    signatures = np.empty((len(folded), _BANDS * _ROWS), np.uint64)
    for column, (factor, term) in enumerate(rng.integers(1, 1 << 61, (_BANDS * _ROWS, 2), np.uint64)):
        # Products wrap around at 2^64: a multiply-shift hash, whose high bits count.
        signatures[:, column] = np.minimum.reduceat((hashes * (factor | np.uint64(1)) + term) >> np.uint64(20), starts)
    return signatures
