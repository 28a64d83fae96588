"""A message's context holds what its channel posted in the week before, nothing else; the second stage uses it where it tells something."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from pnd_dagster.errors import SchemaError
from pnd_dagster.messages.context import Context, apply_context, context_figures, context_of, feature_groups, fit_context, paired_difference
from pnd_dagster.messages.labels import LABEL_COUNT
from pnd_dagster.messages.splits import LeakError

START = datetime(2024, 3, 1, 12, tzinfo=UTC)
GROUPS = feature_groups()


def messages(minutes: list[float], channels: list[int] | None = None, announced: dict[int, float] | None = None) -> pl.DataFrame:
    """Messages at `minutes` after the start, with ids 1, 2, ...; `announced` maps places to the minute they announce."""
    count = len(minutes)
    times = {place: START + timedelta(minutes=minute) for place, minute in (announced or {}).items()}
    return pl.DataFrame(
        {
            "channel_id": channels or [7] * count,
            "message_id": list(range(1, count + 1)),
            "date": [START + timedelta(minutes=minute) for minute in minutes],
            "announced_at": [times.get(place) for place in range(count)],
            "has_photo": [False] * count,
            "is_forward": [False] * count,
            "is_empty": [False] * count,
        },
        schema_overrides={"date": pl.Datetime("us", "UTC"), "announced_at": pl.Datetime("us", "UTC")},
    )


def certain(*labels: int) -> np.ndarray:
    return np.eye(LABEL_COUNT)[list(labels)]


def group(context: Context, name: str, place: int = -1) -> list[float]:
    return context.features[place, GROUPS[name]].tolist()


def random_channels(count: int = 60, seed: int = 0) -> tuple[pl.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    minutes = rng.integers(0, 20_000, count).tolist()
    announced = {place: minutes[place] + 90 for place in range(0, count, 7)}
    frame = messages(minutes, rng.integers(1, 4, count).tolist(), announced)
    return frame.with_columns(has_photo=pl.Series(rng.random(count) < 0.3)), rng.dirichlet(np.ones(LABEL_COUNT), count)


def test_the_previous_messages_are_told_by_class_and_by_how_long_ago() -> None:
    context = context_of(messages([0, 10, 40]), certain(0, 1, 5))
    assert group(context, "previous_classes")[: 2 * LABEL_COUNT] == certain(1, 0).ravel().tolist()
    assert group(context, "previous_minutes")[:2] == pytest.approx(np.log1p([30, 40]))
    assert group(context, "previous_classes")[2 * LABEL_COUNT :] == [0] * (3 * LABEL_COUNT)


def test_shares_and_numbers_cover_a_day_and_a_week() -> None:
    context = context_of(messages([0, 3 * 1440, 4 * 1440 - 60, 4 * 1440]), certain(0, 1, 5, 2))
    assert group(context, "day_shares") == pytest.approx([0, 0.5, 0, 0, 0, 0.5, np.log1p(2)])
    assert group(context, "week_shares") == pytest.approx([1 / 3, 1 / 3, 0, 0, 0, 1 / 3, np.log1p(3)])


def test_the_last_message_of_each_class_is_remembered_for_a_week() -> None:
    context = context_of(messages([0, 60, 80, 90]), certain(0, 2, 5, 5))
    week = np.log1p(7 * 1440)
    assert group(context, "minutes_since_class") == pytest.approx([np.log1p(90), week, np.log1p(30), week, week])


def test_an_announced_time_counts_down_and_then_recedes() -> None:
    context = context_of(messages([0, 30, 59, 120], announced={0: 60}), certain(0, 5, 5, 5))
    week = np.log1p(7 * 1440)
    assert group(context, "announced_time", 1) == pytest.approx([1, 0, np.log1p(30), week, 0])
    assert group(context, "announced_time", 2) == pytest.approx([1, 0, np.log1p(1), week, 1])
    assert group(context, "announced_time", 3) == pytest.approx([0, 1, week, np.log1p(60), 0])


def test_a_message_does_not_see_its_own_class_nor_its_own_announcement() -> None:
    plain = context_of(messages([0, 30]), certain(5, 5))
    other = context_of(messages([0, 30], announced={1: 60}), certain(5, 0))
    assert plain.features[1].tolist() == other.features[1].tolist()


def test_what_is_posted_later_changes_nothing() -> None:
    frame, chances = random_channels()
    cut = START + timedelta(minutes=10_000)
    is_later = (frame["date"] > cut).to_numpy()
    before = context_of(frame, chances)
    poisoned = np.where(is_later[:, None], 1e9, chances)
    changed = frame.with_columns(announced_at=pl.when(pl.col("date") > cut).then(cut).otherwise("announced_at"), has_photo=pl.lit(True))
    changed = changed.with_columns(has_photo=pl.when(pl.col("date") > cut).then(True).otherwise(frame["has_photo"]))
    after = context_of(changed, poisoned)
    assert before.features[~is_later].tolist() == after.features[~is_later].tolist()
    cut_off = context_of(frame.filter(~is_later), chances[~is_later])
    assert before.features[~is_later].tolist() == cut_off.features.tolist()


def test_of_messages_of_one_second_the_lower_id_comes_first() -> None:
    context = context_of(messages([5, 5]), certain(0, 1))
    assert context.is_known.tolist() == [False, True]
    assert group(context, "previous_classes", 1)[:LABEL_COUNT] == certain(0)[0].tolist()


def test_neither_the_order_of_rows_nor_other_channels_matter() -> None:
    frame, chances = random_channels()
    whole = context_of(frame, chances)
    shuffled = np.random.default_rng(1).permutation(frame.height)
    assert context_of(frame[shuffled], chances[shuffled]).features == pytest.approx(whole.features[shuffled])
    own = (frame["channel_id"] == 2).to_numpy()
    assert context_of(frame.filter(own), chances[own]).features == pytest.approx(whole.features[own])


def test_a_message_after_a_silent_week_has_no_context() -> None:
    context = context_of(messages([0, 8 * 1440, 8 * 1440 + 1], announced={0: 60}), certain(0, 5, 5))
    assert context.is_known.tolist() == [False, False, True]
    assert not np.any(group(context, "previous_classes", 1))
    assert group(context, "announced_time", 1)[:2] == [0, 0]


def test_no_messages_have_no_context() -> None:
    context = context_of(messages([]), np.zeros((0, LABEL_COUNT)))
    assert context.features.shape == (0, sum(map(len, GROUPS.values())))


def test_a_missing_column_is_named() -> None:
    with pytest.raises(SchemaError, match="announced_at is missing"):
        context_of(messages([0]).drop("announced_at"), certain(5))


def ambiguous(count: int = 400, seed: int = 0, *, is_telling: bool = True) -> tuple[np.ndarray, Context, np.ndarray, np.ndarray]:
    """First stage, context, labels and channels: the text leaves release or noise open, a countdown before it (or nothing) decides."""
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(count) < 0.5, 2, 5)
    first = np.full((count, LABEL_COUNT), 0.01)
    first[:, [2, 5]] = rng.dirichlet([20, 20], count) * 0.96
    features = rng.normal(size=(count, sum(map(len, GROUPS.values()))))
    if is_telling:
        features[:, GROUPS["previous_classes"][1]] = labels == 2
    return first, Context(features, np.ones(count, dtype=bool)), labels, np.arange(count) // 10


def test_the_second_stage_learns_what_only_the_context_tells() -> None:
    first, context, labels, channels = ambiguous()
    figures = context_figures(first, context, labels, channels % 5, channels, draws=50)
    assert figures["without_context"]["weighted_f1"] < 0.7
    assert figures["with_context"]["weighted_f1"] > 0.97
    assert figures["difference"]["weighted_f1_low"] > 0.2
    importance = figures["importance"]
    assert max(importance, key=lambda name: importance[name]["weighted_f1"]) == "previous_classes"


def test_a_context_that_tells_nothing_is_not_said_to_help() -> None:
    first, context, labels, channels = ambiguous(is_telling=False)
    figures = context_figures(first, context, labels, channels % 5, channels, draws=50)
    assert figures["difference"]["weighted_f1_low"] < 0


def test_messages_without_a_context_keep_the_first_stage_and_teach_nothing() -> None:
    first, context, labels, _ = ambiguous()
    half = Context(context.features, np.arange(len(labels)) % 2 == 0)
    model = fit_context(first, half, labels)
    found = apply_context(model, first, half)
    assert found[1::2].tolist() == first[1::2].astype(np.float32).tolist()
    assert found.sum(axis=1) == pytest.approx(1, abs=1e-5)
    alone = fit_context(first[::2], Context(context.features[::2], half.is_known[::2]), labels[::2])
    assert model.weights == pytest.approx(alone.weights)


def test_a_channel_in_two_folds_is_refused() -> None:
    first, context, labels, channels = ambiguous()
    with pytest.raises(LeakError, match="two folds"):
        context_figures(first, context, labels, np.arange(len(labels)) % 5, channels)


def test_a_stage_compared_with_itself_differs_by_nothing() -> None:
    first, _, labels, channels = ambiguous()
    assert set(paired_difference(first, first, labels, channels, draws=20).values()) == {0.0}
