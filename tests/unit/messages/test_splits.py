"""Splits refuse what would let a model be tested on what it was taught."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from pnd_dagster.errors import PndError
from pnd_dagster.messages.dataset import with_keys
from pnd_dagster.messages.splits import LeakError, Split, channel_folds, check_split, held_out_source, paper_split, purged, random_folds


def examples(rows: list[tuple[str, int | None, str]]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema={"source": pl.String, "channel_id": pl.Int64, "text": pl.String}, orient="row")
    return with_keys(frame.with_columns(label=pl.lit(5, dtype=pl.Int16)))


def split(train: list[int], test: list[int]) -> Split:
    return Split(np.array(train, dtype=np.int64), np.array(test, dtype=np.int64))


def many() -> pl.DataFrame:
    return examples(
        [("authors", channel, f"{'abcdefghij'[channel]} says {'klmnopqrst'[n]} thing") for channel in range(10) for n in range(channel + 1)]
        + [("synthetic", None, f"made up {word}") for word in ("one", "two", "six")]
        + [("wild", channel, f"wild {'abcdefghijkl'[channel]}") for channel in (8, 9, 10, 11)]
    )


def test_a_channel_on_both_sides_is_refused() -> None:
    frame = examples([("authors", 1, "first"), ("authors", 1, "second")])
    with pytest.raises(LeakError, match="channel 1 is on both sides"):
        check_split(frame, split([0], [1]))


@pytest.mark.parametrize("copy", ["5 MINUTES  LEFT", "9 minutes left", "5minutes\nleft", "𝟓 minutes left"])
def test_a_near_duplicate_on_both_sides_is_refused(copy: str) -> None:
    frame = examples([("authors", 1, "5 minutes left"), ("authors", 2, copy)])
    with pytest.raises(LeakError, match="near-duplicate"):
        check_split(frame, split([0], [1]))
    with pytest.raises(LeakError, match="near-duplicate"):
        check_split(frame, split([0], [1]), is_channel_disjoint=False)


def test_a_row_on_both_sides_is_refused() -> None:
    frame = examples([("authors", 1, "first"), ("authors", 2, "second")])
    with pytest.raises(LeakError, match="row 1 is on both sides"):
        check_split(frame, split([0, 1], [1]))


def test_a_clean_split_passes_and_shared_channels_may_be_allowed() -> None:
    frame = examples([("authors", 1, "first"), ("authors", 1, "second"), ("authors", 2, "third"), ("synthetic", None, "x")])
    check_split(frame, split([0, 3], [2]))
    check_split(frame, split([0], [1]), is_channel_disjoint=False)


def test_purging_takes_near_duplicates_from_the_test_side_only() -> None:
    frame = examples([("authors", 1, "1 hour left"), ("authors", 2, "2 HOUR left"), ("authors", 2, "the coin is ABC")])
    clean = purged(frame, split([0], [1, 2]))
    assert clean.train.tolist() == [0]
    assert clean.test.tolist() == [2]


def test_channel_folds_are_clean_and_test_every_row_of_the_source_once() -> None:
    frame = many()
    folds = channel_folds(frame, source="authors", count=3, seed=1)
    for fold in folds:
        check_split(frame, fold)
        assert set(frame["source"][fold.test]) == {"authors"}
        assert "synthetic" in frame["source"][fold.train]
    tested = np.concatenate([fold.test for fold in folds])
    assert sorted(tested) == np.flatnonzero((frame["source"] == "authors").to_numpy()).tolist()


def test_channel_folds_repeat_under_a_seed() -> None:
    first, again = (channel_folds(many(), source="authors", count=3, seed=7) for _ in range(2))
    assert [fold.test.tolist() for fold in first] == [fold.test.tolist() for fold in again]


def test_too_few_channels_for_the_folds_is_an_error() -> None:
    with pytest.raises(PndError, match="at least 3 channels"):
        channel_folds(examples([("authors", 1, "a"), ("authors", 2, "b")]), source="authors", count=3)


def test_random_folds_stay_within_the_source() -> None:
    frame = many()
    for fold in random_folds(frame, source="authors", count=4):
        check_split(frame, fold, is_channel_disjoint=False)
        assert set(frame["source"][fold.train]) == {"authors"}


def test_equal_texts_may_be_the_only_ones_that_count_as_the_same() -> None:
    frame = examples([("authors", 1, "5 minutes left"), ("authors", 2, "9 minutes left"), ("authors", 3, "5 minutes left")])
    check_split(frame, split([0], [1]), key="normalised")
    with pytest.raises(LeakError, match="1 equal texts"):
        check_split(frame, split([0], [1, 2]), key="normalised")
    assert purged(frame, split([0], [1, 2]), key="normalised").test.tolist() == [1]


def test_the_papers_split_trains_on_four_fifths_of_the_source_and_tests_no_equal_text() -> None:
    frame = pl.concat([many(), many()])
    found = paper_split(frame, source="authors")
    check_split(frame, found, is_channel_disjoint=False, key="normalised")
    assert len(found.train) == (frame["source"] == "authors").sum() * 4 // 5
    assert set(frame["source"][found.train]) | set(frame["source"][found.test]) == {"authors"}
    assert found.train.tolist() == paper_split(frame, source="authors").train.tolist()


def test_a_held_out_source_takes_its_channels_out_of_training() -> None:
    frame = many()
    held_out = held_out_source(frame, source="wild")
    check_split(frame, held_out)
    assert set(frame["source"][held_out.test]) == {"wild"}
    assert not {8, 9} & set(frame["channel_id"][held_out.train].drop_nulls())
    assert "synthetic" in frame["source"][held_out.train]
