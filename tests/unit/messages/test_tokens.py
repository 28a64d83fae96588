"""Token sequences keep the head and the tail of a text, and batches lose no message."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pnd_dagster.messages.tokens import TokenLayout, batches, padded, sequences

LAYOUT = TokenLayout(first=1, last=2, padding=0, most=10)


def letters(texts: Sequence[str]) -> list[list[int]]:
    return [[ord(letter) for letter in text] for text in texts]


def test_a_short_text_stands_whole_between_first_and_last() -> None:
    assert sequences(letters, ["abc", ""], LAYOUT) == [[1, 97, 98, 99, 2], [1, 2]]
    assert sequences(letters, [], LAYOUT) == []


def test_a_long_text_keeps_three_quarters_of_the_room_for_its_head_and_the_rest_for_its_tail() -> None:
    (row,) = sequences(letters, ["abcdefghijklmnop"], LAYOUT)
    assert "".join(map(chr, row[1:-1])) == "abcdefop"
    assert (row[0], row[-1], len(row)) == (1, 2, 10)


def test_a_text_of_a_million_letters_is_cut_before_it_is_split_into_pieces() -> None:
    asked: list[int] = []

    def count(texts: Sequence[str]) -> list[list[int]]:
        asked.extend(map(len, texts))
        return letters(texts)

    (row,) = sequences(count, ["a" * 1_000_000 + "z"], LAYOUT)
    assert chr(row[-2]) == "z"
    assert max(asked) < 1_000


def test_the_mask_marks_what_is_no_padding() -> None:
    ids, mask = padded([[1, 7, 2], [1, 2]], LAYOUT)
    assert ids.tolist() == [[1, 7, 2], [1, 2, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 1, 0]]


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 200))
def test_every_row_is_in_one_batch_and_no_batch_of_several_is_larger_than_allowed(lengths: list[int], tokens: int) -> None:
    found = list(batches([[0] * length for length in lengths], tokens))
    assert sorted(np.concatenate(found).tolist() if found else []) == list(range(len(lengths)))
    for places in found:
        assert len(places) == 1 or len(places) * max(lengths[place] for place in places) <= tokens
    longest = [max(lengths[place] for place in places) for places in found]
    assert longest == sorted(longest)
