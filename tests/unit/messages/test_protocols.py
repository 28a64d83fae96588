"""Each protocol tests what its models have not seen, and a run that was stopped goes on where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pnd_dagster.messages import protocols
from pnd_dagster.messages.dataset import read_examples
from pnd_dagster.messages.protocols import PROTOCOLS, figures_of, run_protocol, splits_of
from pnd_dagster.messages.splits import LeakError, Split


@pytest.fixture(scope="module")
def examples(label_folder: Path) -> pl.DataFrame:
    return read_examples(label_folder)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[pl.DataFrame]:
    """What models were fitted on."""
    seen: list[pl.DataFrame] = []
    real = protocols.fit

    def fit(examples: pl.DataFrame, *rest: Any) -> Any:
        seen.append(examples)
        return real(examples, *rest)

    monkeypatch.setattr(protocols, "fit", fit)
    return seen


def test_channel_folds_are_fitted_once_and_their_predictions_are_used_again(
    examples: pl.DataFrame, tmp_path: Path, fits: list[pl.DataFrame]
) -> None:
    said: list[str] = []
    first = run_protocol("channel_disjoint", examples, None, tmp_path, on_progress=lambda done, all_, what: said.append(what))
    assert first is not None
    assert len(fits) == 5
    assert said[0] == "channel_disjoint 1/5: linear model"
    splits = splits_of("channel_disjoint", examples)
    assert first["n"] == sum(len(split.test) for split in splits)
    assert first["channels"] == 12
    assert first["weighted_f1"] > 0.8
    assert list(first["parts"]) == ["linear"]
    assert first["encoder_skipped"] == 1
    for seen, split in zip(fits, splits, strict=True):
        tested = examples[split.test]
        assert not set(seen["channel_id"].drop_nulls()) & set(tested["channel_id"])
        assert not set(seen["near_duplicate_key"]) & set(tested["near_duplicate_key"])
        assert "synthetic" in seen["source"]
    assert run_protocol("channel_disjoint", examples, None, tmp_path) == first
    assert len(fits) == 5


def test_other_data_are_measured_anew(examples: pl.DataFrame, tmp_path: Path, fits: list[pl.DataFrame]) -> None:
    run_protocol("wild", examples, None, tmp_path)
    run_protocol("wild", examples, None, tmp_path)
    assert len(fits) == 1
    run_protocol("wild", examples.head(-1), None, tmp_path)
    assert len(fits) == 2


def test_processes_that_share_the_folds_have_figures_when_all_are_done(
    examples: pl.DataFrame, tmp_path: Path, fits: list[pl.DataFrame]
) -> None:
    assert run_protocol("random_folds", examples, None, tmp_path, folds=[0, 2, 4]) is None
    assert len(fits) == 3
    found = run_protocol("random_folds", examples, None, tmp_path, folds=[1, 3, 9])
    assert found is not None
    assert len(fits) == 5
    assert all(set(seen["source"]) == {"authors"} for seen in fits)


def test_a_part_of_a_file_is_not_taken_for_predictions(examples: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(path: Path, **values: Any) -> None:
        path.write_bytes(b"PK")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(np, "savez_compressed", full_disk)
        with pytest.raises(OSError, match="No space left"):
            run_protocol("wild", examples, None, tmp_path)
    assert run_protocol("wild", examples, None, tmp_path) is not None


def test_the_wild_labels_and_their_channels_train_nothing_when_they_are_tested(
    examples: pl.DataFrame, tmp_path: Path, fits: list[pl.DataFrame]
) -> None:
    found = run_protocol("wild", examples, None, tmp_path)
    assert found is not None
    assert found["n"] <= 24
    assert "wild" not in fits[0]["source"]
    assert not {9, 10} & set(fits[0]["channel_id"].drop_nulls())


def test_a_split_that_leaks_is_refused_before_anything_is_fitted(
    examples: pl.DataFrame, tmp_path: Path, fits: list[pl.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocols, "channel_folds", lambda frame, source: [Split(np.arange(100), np.arange(100, 200))])
    with pytest.raises(LeakError):
        run_protocol("channel_disjoint", examples, None, tmp_path)
    assert not fits
    assert not list(tmp_path.iterdir())


def test_near_duplicates_are_purged_where_only_equal_texts_are_not(examples: pl.DataFrame) -> None:
    assert set(PROTOCOLS) == {"channel_disjoint", "random_folds", "random_folds_exact", "paper", "wild"}
    strict, exact = (sum(len(split.test) for split in splits_of(name, examples)) for name in ("random_folds", "random_folds_exact"))
    assert strict < exact <= 216
    assert len(splits_of("paper", examples)) == 1


def test_figures_say_how_right_the_kept_and_the_abstained_are() -> None:
    tested = pl.DataFrame({"label": [0, 1, 2, 5], "channel_id": [1, 1, 2, None]})
    shipped = np.array([[0.9, 0.1, 0, 0, 0, 0], [0.1, 0.9, 0, 0, 0, 0], [0.4, 0.2, 0.3, 0.1, 0, 0], [0, 0, 0, 0.1, 0, 0.9]])
    found = figures_of({"shipped": shipped, "linear": shipped, "skipped": np.array([0, 0, 0, 1]), "abstain_below": np.full(4, 0.5)}, tested)
    assert found["abstained"] == {"share": 0.25, "accuracy_of_kept": 1.0, "accuracy_of_abstained": 0.0}
    assert found["encoder_skipped"] == 0.25
    assert found["channels"] == 3
    everything = figures_of({"shipped": shipped, "skipped": np.zeros(4), "abstain_below": np.zeros(4)}, tested)
    assert everything["abstained"]["accuracy_of_abstained"] is None
