"""Kappa is Cohen's, its interval is by channel, and the table holds every pair of labellers that share a message."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from pnd_dagster.messages.agreement import (
    agreement_preview,
    cohens_kappa,
    confusion_of_largest_pair,
    label_agreement,
    write_label_agreement,
)
from pnd_dagster.storage import count_rows, read_frame, upsert
from pnd_dagster.tables import LABEL_AGREEMENT, MESSAGE_LABELS

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def write_labels(engine: sa.Engine, labeller: str, labels: Iterable[tuple[int, int, int]], version: str = "1") -> None:
    """Labels as (channel, message, label)."""
    rows = [
        {
            "channel_id": channel,
            "message_id": message,
            "revision_id": 0,
            "labeller": labeller,
            "labeller_version": version,
            "label": label,
            "is_abstained": False,
            "labelled_at": NOW,
        }
        for channel, message, label in labels
    ]
    upsert(engine, MESSAGE_LABELS, pl.DataFrame(rows))


def confusion(pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    counts = np.zeros((6, 6), dtype=np.int64)
    for a, b in pairs:
        counts[a, b] += 1
    return counts


def test_kappa_of_the_textbook_example_is_0_4() -> None:
    counts = np.zeros((6, 6), dtype=np.int64)
    counts[:2, :2] = [[20, 5], [10, 15]]
    assert float(cohens_kappa(counts)) == pytest.approx(0.4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=60))
def test_kappa_is_what_scikit_learn_says(pairs: list[tuple[int, int]]) -> None:
    kappa = float(cohens_kappa(confusion(pairs)))
    if len({label for pair in pairs for label in pair}) == 1:
        assert np.isnan(kappa)
    else:
        a, b = zip(*pairs, strict=True)
        assert kappa == pytest.approx(cohen_kappa_score(a, b), abs=1e-9)


def test_kappas_of_many_matrices_are_those_of_each() -> None:
    matrices = np.random.default_rng(0).integers(0, 9, (5, 6, 6))
    np.testing.assert_allclose(cohens_kappa(matrices), [cohens_kappa(matrix) for matrix in matrices])


def test_each_pair_that_shares_messages_has_a_row_and_versions_count_apart(engine: sa.Engine) -> None:
    write_labels(engine, "human:ann", [(1, n, n % 3) for n in range(10)])
    write_labels(engine, "model", [(1, n, 0) for n in range(5)])
    write_labels(engine, "model", [(1, n, 1) for n in range(5, 8)], version="2")
    write_labels(engine, "human:bob", [(9, 1, 5)])
    agreement = label_agreement(engine)
    assert agreement.select("labeller_a", "labeller_b", "message_count").rows() == [
        ("human:ann@1", "model@1", 5),
        ("human:ann@1", "model@2", 3),
    ]
    assert agreement["agreement_ratio"].to_list() == pytest.approx([2 / 5, 1 / 3])


def test_the_confusion_has_the_first_labeller_in_its_rows(engine: sa.Engine) -> None:
    write_labels(engine, "human:ann", [(1, 1, 0), (1, 2, 0), (1, 3, 5)])
    write_labels(engine, "model", [(1, 1, 1), (1, 2, 0), (1, 3, 5)])
    (matrix,) = map(json.loads, label_agreement(engine)["confusion"])
    assert matrix[0][:2] == [1, 1]
    assert matrix[1][0] == 0
    assert matrix[5][5] == 1


def test_other_revisions_of_a_message_are_other_texts(engine: sa.Engine) -> None:
    write_labels(engine, "human:ann", [(1, 1, 0)])
    row = {"channel_id": 1, "message_id": 1, "revision_id": 7, "labeller": "model", "labeller_version": "1", "label": 0}
    upsert(engine, MESSAGE_LABELS, pl.DataFrame([row | {"is_abstained": False, "labelled_at": NOW}]))
    assert label_agreement(engine).is_empty()


def test_kappa_is_null_where_both_always_say_the_same(engine: sa.Engine) -> None:
    for labeller in ("human:ann", "model"):
        write_labels(engine, labeller, [(channel, n, 5) for channel in (1, 2) for n in range(3)])
    (row,) = label_agreement(engine).iter_rows(named=True)
    assert row["agreement_ratio"] == 1
    assert (row["kappa"], row["kappa_low"], row["kappa_high"]) == (None, None, None)


def test_the_interval_is_by_channel_seeded_and_absent_for_one_channel(engine: sa.Engine) -> None:
    sampler = np.random.default_rng(3)
    labels = [(channel, n, int(sampler.integers(6))) for channel in range(8) for n in range(20)]
    # In half of the channels they agree on all, in the others on nothing: between channels lies all the uncertainty.
    write_labels(engine, "a", labels)
    write_labels(engine, "b", [(channel, n, label if channel % 2 else (label + 1) % 6) for channel, n, label in labels])
    (row,) = label_agreement(engine).iter_rows(named=True)
    assert row["kappa_low"] < 0.2 < row["kappa"] < 0.6 < row["kappa_high"]
    assert label_agreement(engine).equals(label_agreement(engine))
    assert not label_agreement(engine, seed=1).equals(label_agreement(engine))
    write_labels(engine, "c", [label for label in labels if label[0] == 1])
    one_channel = label_agreement(engine).filter(labeller_b="c@1", labeller_a="b@1")
    assert one_channel["kappa"].to_list() == [1.0]
    assert one_channel.select("kappa_low", "kappa_high").row(0) == (None, None)


def test_writing_twice_changes_nothing_and_a_vanished_pair_goes(engine: sa.Engine) -> None:
    write_labels(engine, "human:ann", [(1, 1, 0), (2, 2, 1)])
    write_labels(engine, "model", [(1, 1, 0), (2, 2, 5)])
    assert write_label_agreement(engine).written[:2] == (1, 0)
    assert write_label_agreement(engine).written == (0, 0, 1, 0)
    with engine.begin() as connection:
        connection.execute(sa.delete(MESSAGE_LABELS).where(MESSAGE_LABELS.c.labeller == "model"))
    assert write_label_agreement(engine).written.deleted == 1
    assert count_rows(engine, LABEL_AGREEMENT) == 0


def test_without_a_shared_message_there_is_an_empty_table_preview_and_plot(engine: sa.Engine) -> None:
    agreement, written = write_label_agreement(engine)
    assert written == (0, 0, 0, 0)
    assert agreement_preview(agreement).is_empty()
    assert confusion_of_largest_pair(agreement).is_empty()


def test_the_pair_that_is_shown_first_and_plotted_has_a_human(engine: sa.Engine) -> None:
    many = [(1, n, n % 6) for n in range(50)]
    write_labels(engine, "model", many)
    write_labels(engine, "model", many, version="2")
    write_labels(engine, "human:ann", many[:12])
    write_label_agreement(engine)
    agreement = read_frame(engine, sa.select(LABEL_AGREEMENT))
    assert agreement_preview(agreement)["messages"].to_list() == [12, 12, 50]
    plotted = confusion_of_largest_pair(agreement)
    assert plotted.height == 36
    assert plotted["labeller_a"].unique().to_list() == ["human:ann@1"]
    assert plotted.filter(pl.col("label_a") == pl.col("label_b"))["message_count"].to_list() == [2] * 6
    assert plotted["label_a"].unique(maintain_order=True).to_list()[:2] == ["Pump Announcement", "Countdown"]
