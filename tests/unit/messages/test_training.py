"""Training on made-up labels gives a model that tells them apart, the same one each time, and says what it was made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pnd_dagster.errors import SourceError
from pnd_dagster.messages.dataset import read_examples, with_keys
from pnd_dagster.messages.normalise import normalise_many
from pnd_dagster.messages.pumpbert import LINEAR_FILE
from pnd_dagster.messages.splits import Split, check_split
from pnd_dagster.messages.training import (
    abstain_threshold,
    data_hash,
    example_weights,
    fit,
    frozen_test_split,
    label_counts,
    model_of,
    validation_split,
)

FROZEN = {29, 37, 40}


@pytest.fixture(scope="module")
def examples(label_folder: Path) -> pl.DataFrame:
    return read_examples(label_folder)


def example(source: str, channel: int | None, text: str, label: int = 5) -> pl.DataFrame:
    row = {"source": source, "channel_id": channel, "message_id": 1, "text": text, "label": label, "is_sure": True}
    schema = {
        "source": pl.String,
        "channel_id": pl.Int64,
        "message_id": pl.Int64,
        "text": pl.String,
        "label": pl.Int16,
        "is_sure": pl.Boolean,
    }
    return with_keys(pl.DataFrame([row], schema=schema))


def sides(frame: pl.DataFrame, split: Split) -> tuple[pl.DataFrame, pl.DataFrame]:
    return frame[split.train], frame[split.test]


def test_labels_of_all_files_are_read_with_the_authors_text_where_the_raw_one_is_lost(examples: pl.DataFrame) -> None:
    assert dict(examples.group_by("source").len().iter_rows()) == {"authors": 216, "wild": 24, "synthetic": 6}
    assert examples["text"].null_count() == 0
    assert examples.filter(source="synthetic")["channel_id"].null_count() == 6


def test_a_wrong_label_and_a_missing_column_name_the_file(label_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"author_labels\.parquet"):
        read_examples(tmp_path)
    frame = pl.read_parquet(label_folder / "author_labels.parquet")
    frame.drop("label").write_parquet(tmp_path / "author_labels.parquet")
    with pytest.raises(SourceError, match=r"author_labels\.parquet.*label"):
        read_examples(tmp_path)
    frame.with_columns(label=pl.lit(6)).write_parquet(tmp_path / "author_labels.parquet")
    with pytest.raises(SourceError, match="column label"):
        read_examples(tmp_path)


def test_the_same_labels_give_the_same_model_which_tells_the_classes_apart(examples: pl.DataFrame) -> None:
    said: list[str] = []
    fitted = fit(examples, None, lambda done, all_, what: said.append(what))
    assert said == ["linear model"]
    assert fitted.tuned is None
    assert list(fitted.files) == [LINEAR_FILE]
    texts = normalise_many(["7 minutes left until the odd pump", "The coin is QRST go", "the odd pump is postponed to Tuesday"])
    assert model_of(fitted).predict_probabilities(texts).argmax(axis=1).tolist() == [1, 2, 4]
    assert fit(examples, None).files == fitted.files
    assert fitted.parameters["data_sha256"] == data_hash(examples)
    assert fitted.parameters["trained_on"] == label_counts(examples)
    assert fitted.parameters["validated_on"]["channels"] == 1


def test_validation_channels_are_of_the_labels_that_draw_our_lines_and_train_nothing(examples: pl.DataFrame) -> None:
    for seed in range(5):
        training, validation = sides(examples, validation_split(examples, seed))
        assert set(validation["source"]) == {"authors"}
        assert not set(validation["channel_id"]) & set(training["channel_id"].drop_nulls())
        assert not set(validation["near_duplicate_key"]) & set(training["near_duplicate_key"])
        assert training.filter(source="synthetic").height == 6


def test_one_channel_is_too_few_to_train_on(examples: pl.DataFrame) -> None:
    with pytest.raises(SourceError, match="at least two channels, there are 1"):
        fit(examples.filter(pl.col("channel_id") == 1), None)


def test_one_class_is_too_few_to_train_on(examples: pl.DataFrame) -> None:
    with pytest.raises(SourceError, match="at least two classes"):
        fit(examples.filter(label=5), None)


def test_frozen_test_channels_train_nothing_whoever_labelled_them(examples: pl.DataFrame) -> None:
    more = pl.concat(
        [examples, example("llm", 29, "a word of the model"), example("wild", 37, "other lines"), example("human", 40, "by hand")]
    )
    training, tested = sides(more, frozen_test_split(more))
    assert set(tested["channel_id"]) == FROZEN
    assert not FROZEN & set(training["channel_id"].drop_nulls())
    assert set(tested["source"]) == {"authors", "human"}
    assert "by hand" in tested["text"].to_list()


def test_a_near_duplicate_in_another_channel_takes_a_text_out_of_the_frozen_test_set(examples: pl.DataFrame) -> None:
    more = pl.concat(
        [examples, example("human", 29, "5 minutes left to the unheard-of"), example("human", 1, "9 MINUTES left to the  unheard-of")]
    )
    split = frozen_test_split(more)
    check_split(more, split)
    _, tested = sides(more, split)
    assert not tested["text"].str.contains("unheard-of").any()


def test_the_frozen_test_channels_stay_when_other_channels_are_added(examples: pl.DataFrame) -> None:
    _, before = sides(examples, frozen_test_split(examples))
    more = pl.concat([example("human", channel, f"message number {'abcdefghij'[channel - 60]}") for channel in range(60, 66)] + [examples])
    _, after = sides(more, frozen_test_split(more))
    assert set(before["text"]) <= set(after["text"])


def test_labels_without_channels_have_no_frozen_test_set() -> None:
    frame = example("synthetic", None, "nothing")
    training, tested = sides(frame, frozen_test_split(frame))
    assert (training.height, tested.height) == (1, 0)


def test_a_doubted_label_counts_half_and_a_machines_less_than_a_humans() -> None:
    frame = pl.concat([example("human", 1, "a"), example("llm", 1, "b"), example("someone", 1, "c")])
    sure = example_weights(frame)
    assert sure[0] == 1 > sure[1] > 0
    assert sure[2] > 0
    np.testing.assert_allclose(example_weights(frame.with_columns(is_sure=pl.lit(False))), sure / 2)


def test_the_hash_of_the_data_does_not_depend_on_their_order_but_on_each_label(examples: pl.DataFrame) -> None:
    assert data_hash(examples.sample(fraction=1, shuffle=True, seed=1)) == data_hash(examples)
    assert data_hash(examples.with_columns(label=pl.lit(0, pl.Int16))) != data_hash(examples)
    assert data_hash(examples.head(-1)) != data_hash(examples)


def test_the_abstain_threshold_keeps_what_is_right_often_enough_and_abstains_from_a_fifth_at_most() -> None:
    confidence = np.linspace(0.4, 0.99, 1000)
    probabilities = np.column_stack([confidence, *[(1 - confidence) / 5] * 5])
    all_right = np.zeros(1000, int)
    assert abstain_threshold(probabilities, (confidence < 0.5).astype(int) * 2) == pytest.approx(0.5, abs=0.03)
    assert abstain_threshold(probabilities, all_right) == pytest.approx(0.3)
    assert abstain_threshold(probabilities, all_right + 2) == pytest.approx(np.quantile(confidence, 0.2), abs=0.001)
    assert 0 < abstain_threshold(np.zeros((0, 6)), np.zeros(0, int)) <= 0.5


@pytest.mark.shared
def test_the_packaged_card_says_what_it_was_trained_on_and_how_it_did(shared_data: Path) -> None:
    from pnd_dagster.messages.model_files import PACKAGED_DIR, read_card

    counts = dict(pl.read_parquet(shared_data / "author_labels.parquet")["label"].value_counts().iter_rows())
    card = read_card(PACKAGED_DIR)
    assert all(0 < card["trained_on"]["authors"][str(label)] <= counts[label] for label in range(6))
    assert card["results"]
    assert card["limits"]
