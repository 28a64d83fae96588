"""A message's context holds what its channel posted in the week before, nothing else; the second stage asks it about releases alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pnd_dagster.errors import SchemaError
from pnd_dagster.messages.context import (
    Context,
    apply_context,
    context_figures,
    context_of,
    feature_groups,
    fit_context,
    measure_context,
    messages_before,
    paired_difference,
)
from pnd_dagster.messages.dataset import read_examples
from pnd_dagster.messages.labels import LABEL_COUNT
from pnd_dagster.messages.splits import LeakError, channel_folds

START = datetime(2024, 3, 1, 12, tzinfo=UTC)
WEEK = np.log1p(7 * 1440)
GROUPS = feature_groups()
WIDTH = sum(map(len, GROUPS.values()))
SCHEMA = {"channel_id": pl.Int64, "message_id": pl.Int64, "date": pl.Datetime("us", "UTC")}


def messages(minutes: list[float], channels: list[int] | None = None) -> pl.DataFrame:
    """Messages at `minutes` after the start, with ids 1, 2, ..."""
    dates = [START + timedelta(minutes=minute) for minute in minutes]
    ids = list(range(1, len(minutes) + 1))
    return pl.DataFrame({"channel_id": channels or [7] * len(ids), "message_id": ids, "date": dates}, schema=SCHEMA)


def certain(*labels: int) -> np.ndarray:
    return np.eye(LABEL_COUNT)[list(labels)]


def group(context: Context, name: str, place: int = -1) -> list[float]:
    return context.features[place, GROUPS[name]].tolist()


def random_channels(count: int = 60, seed: int = 0) -> tuple[pl.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    frame = messages(rng.integers(0, 20_000, count).tolist(), rng.integers(1, 4, count).tolist())
    return frame, rng.dirichlet(np.full(LABEL_COUNT, 0.3), count)


def test_the_previous_messages_are_told_by_class_nearest_first() -> None:
    context = context_of(messages([0, 10, 40]), certain(0, 1, 5))
    assert group(context, "previous_1") == certain(1)[0].tolist()
    assert group(context, "previous_2") == certain(0)[0].tolist()
    assert group(context, "previous_3") == [0] * LABEL_COUNT


def test_the_last_message_of_each_class_is_remembered_for_a_week() -> None:
    context = context_of(messages([0, 60, 80, 90]), certain(0, 2, 5, 5))
    assert group(context, "minutes_since_class") == pytest.approx([np.log1p(90), WEEK, np.log1p(30), WEEK, WEEK])
    late = context_of(messages([0, 6 * 1440, 8 * 1440]), certain(0, 2, 5))
    assert group(late, "minutes_since_class") == pytest.approx([WEEK, WEEK, np.log1p(2 * 1440), WEEK, WEEK])
    assert group(late, "previous_2") == [0] * LABEL_COUNT


def test_a_message_does_not_see_its_own_class() -> None:
    plain, other = (context_of(messages([0, 30]), certain(5, label)) for label in (5, 0))
    assert plain.features[1].tolist() == other.features[1].tolist()


def test_what_is_posted_later_changes_nothing() -> None:
    frame, chances = random_channels()
    is_later = (frame["date"] > START + timedelta(minutes=10_000)).to_numpy()
    before = context_of(frame, chances)
    poisoned = context_of(frame, np.where(is_later[:, None], 1e9, chances))
    assert before.features[~is_later].tolist() == poisoned.features[~is_later].tolist()
    cut_off = context_of(frame.filter(~is_later), chances[~is_later])
    assert before.features[~is_later].tolist() == cut_off.features.tolist()
    assert before.is_known[~is_later].tolist() == cut_off.is_known.tolist()


def test_of_messages_of_one_second_the_lower_id_comes_first() -> None:
    context = context_of(messages([5, 5]), certain(0, 1))
    assert context.is_known.tolist() == [False, True]
    assert group(context, "previous_1") == certain(0)[0].tolist()


def test_neither_the_order_of_rows_nor_other_channels_matter() -> None:
    frame, chances = random_channels()
    whole = context_of(frame, chances)
    shuffled = np.random.default_rng(1).permutation(frame.height)
    assert context_of(frame[shuffled], chances[shuffled]).features.tolist() == whole.features[shuffled].tolist()
    own = (frame["channel_id"] == 2).to_numpy()
    assert context_of(frame.filter(own), chances[own]).features.tolist() == whole.features[own].tolist()


def test_a_message_after_a_silent_week_has_no_context() -> None:
    context = context_of(messages([0, 8 * 1440, 8 * 1440 + 1]), certain(0, 5, 5))
    assert context.is_known.tolist() == [False, False, True]
    assert group(context, "previous_1", 1) == [0] * LABEL_COUNT


def test_no_messages_have_no_context() -> None:
    assert context_of(messages([]), np.zeros((0, LABEL_COUNT))).features.shape == (0, WIDTH)


def test_a_missing_column_and_a_wrong_type_are_named() -> None:
    with pytest.raises(SchemaError, match="message_id is missing"):
        context_of(messages([0]).drop("message_id"), certain(5))
    with pytest.raises(SchemaError, match="date is String"):
        context_of(messages([0]).with_columns(date=pl.lit("2024")), certain(5))


def ambiguous(*, is_telling: bool = True) -> tuple[np.ndarray, Context, np.ndarray, np.ndarray]:
    """First stage, context, labels and channels: the text leaves release or noise open; the message before it decides, or nothing."""
    rng = np.random.default_rng(0)
    labels = np.where(rng.random(400) < 0.5, 2, 5)
    first = np.full((400, LABEL_COUNT), 0.01)
    first[:, [2, 5]] = rng.dirichlet([20, 20], 400) * 0.96
    features = rng.random((400, WIDTH))
    if is_telling:
        features[:, GROUPS["previous_2"][1]] = labels == 2
    return first, Context(features, np.ones(400, dtype=bool)), labels, np.arange(400) // 10


def test_the_second_stage_learns_what_only_the_context_tells() -> None:
    first, context, labels, channels = ambiguous()
    figures = context_figures(first, context, labels, channels % 5, channels, draws=50)
    assert figures["without_context"]["weighted_f1"] < 0.7
    assert figures["with_context"]["weighted_f1"] > 0.95
    assert figures["difference"]["weighted_f1_low"] > 0.2
    importance = figures["importance"]
    assert max(importance, key=lambda name: importance[name]["release_recall"]) == "previous_2"


def test_a_context_that_tells_nothing_is_not_said_to_help() -> None:
    first, context, labels, channels = ambiguous(is_telling=False)
    figures = context_figures(first, context, labels, channels % 5, channels, draws=50)
    assert figures["difference"]["weighted_f1_low"] < 0


def test_between_the_other_classes_the_odds_stay() -> None:
    first, context, labels, _ = ambiguous()
    first[:, 0] = np.linspace(0.01, 0.2, len(labels))
    first /= first.sum(axis=1, keepdims=True)
    found = apply_context(fit_context(first, context, labels), first, context)
    assert found.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert found[:, 0] / found[:, 5] == pytest.approx(first[:, 0] / first[:, 5], rel=1e-4)


def test_messages_without_a_context_keep_the_first_stage_and_teach_nothing() -> None:
    first, context, labels, _ = ambiguous()
    half = Context(context.features, np.arange(len(labels)) % 2 == 0)
    model = fit_context(first, half, labels)
    assert apply_context(model, first, half)[1::2].tolist() == first[1::2].astype(np.float32).tolist()
    alone = fit_context(first[::2], half.rows(half.is_known), labels[::2])
    assert model.weights.tolist() == alone.weights.tolist()


def test_a_channel_in_two_folds_is_refused() -> None:
    first, context, labels, channels = ambiguous()
    with pytest.raises(LeakError, match="two folds"):
        context_figures(first, context, labels, np.arange(len(labels)) % 5, channels)


def test_a_stage_compared_with_itself_differs_by_nothing() -> None:
    first, _, labels, channels = ambiguous()
    assert set(paired_difference(first, first, labels, channels, draws=20).values()) == {0.0}


def archive_of(examples: pl.DataFrame, folder: Path) -> Path:
    """The authors' messages of all channels but one, an hour apart, as an archive with a service message and an old one."""
    frame = examples.filter(pl.col("source") == "authors", pl.col("channel_id") != 1).select("channel_id", "message_id", "text")
    frame = frame.with_columns(date=pl.lit(START) + pl.duration(hours=pl.col("message_id")), kind=pl.lit("Message"))
    extra = {"channel_id": [2, 2], "message_id": [900, 901], "text": ["", "old"], "date": [START, START - timedelta(days=9)]}
    others = pl.DataFrame(extra).with_columns(kind=pl.Series(["MessageService", "Message"]))
    dated = [part.with_columns(pl.col("date").cast(SCHEMA["date"])) for part in (frame, others)]
    pl.concat(dated, how="diagonal").write_parquet(folder / "archive.parquet")
    return folder / "archive.parquet"


def test_of_the_archive_the_asked_messages_and_their_week_are_read(label_folder: Path, tmp_path: Path) -> None:
    archive = archive_of(read_examples(label_folder), tmp_path)
    asked = pl.DataFrame({"channel_id": [2, 3], "message_id": [5, 2]})
    found = messages_before(archive, asked)
    assert found.filter(channel_id=2)["message_id"].to_list() == [0, 1, 2, 3, 4, 5]
    assert found.filter(channel_id=3)["message_id"].to_list() == [0, 1, 2]
    assert found["normalised"].null_count() == 0


def test_the_figures_come_from_labels_and_archive_in_one_call(label_folder: Path, tmp_path: Path) -> None:
    examples = read_examples(label_folder)
    tested = np.concatenate([split.test for split in channel_folds(examples, source="authors")])
    labels = examples["label"].to_numpy()[tested]
    figures = measure_context(examples, archive_of(examples, tmp_path), np.eye(LABEL_COUNT)[labels] * 0.9 + 0.1 / LABEL_COUNT)
    assert figures["with_context"]["n"] == len(tested)
    assert figures["archived"] == (examples["channel_id"].to_numpy()[tested] != 1).sum()
    assert 0 < figures["messages_with_context"] < figures["archived"]
    assert figures["without_context"]["weighted_f1"] == 1
