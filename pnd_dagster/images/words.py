"""A word as it stands in a picture: what passes between the process that looks at pixels and the one that judges."""

from __future__ import annotations

from typing import NamedTuple


class Word(NamedTuple):
    """A word that was found in a picture; positions in pixels of the scaled picture, from its upper left corner.

    Attributes:
        text: as read, at most 200 characters.
        score: the reader's own confidence, 0 to 1.
        line: words of one line of text share it.
        left: left edge.
        top: upper edge.
        right: right edge.
        bottom: lower edge.
        red_ratio: share of red in the word's ink, or in its ground where that is red; 0 to 1.
        is_ringed: whether a red ring runs around it.
    """

    text: str
    score: float
    line: int
    left: float
    top: float
    right: float
    bottom: float
    red_ratio: float = 0.0
    is_ringed: bool = False


class Finding(NamedTuple):
    """What was found in one picture: its words, or why it was refused."""

    words: tuple[Word, ...] = ()
    refusal: str | None = None
