from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from pnd_dagster.candidates.learned import figures, models
from pnd_dagster.candidates.learned.evaluation import Evaluation, evaluate
from pnd_dagster.candidates.learned.models import MODELS
from pnd_dagster.candidates.learned.protocols import Protocol, splits
from pnd_dagster.candidates.learned.samples import Plan, Samples, draw_samples
from pnd_dagster.candidates.learned.series import Form
from tests.unit.candidates.learned.made_up import made_up

OPTIMAL, SOCIAL = MODELS[1:3]
MADE = {"maximum": np.nanmax, "minimum": np.nanmin, "sum_values": np.nansum, "standard_deviation": np.nanstd, "median": np.nanmedian}


def quick(samples: Samples) -> pl.DataFrame:
    """Some of the features, without tsfresh's seconds."""
    columns = {
        f"{series}__{name}": measure(samples.windows[:, place], axis=1)
        for place, series in enumerate(samples.series)
        if series in ("close", "volume", "market_cap", "interactions")
        for name, measure in MADE.items()
    }
    return pl.DataFrame(columns)


def measured(variant: str = "eliminated", form: Form = Form.LEVELS, **world: Any) -> Evaluation:
    panel, pumps = made_up(**({"pumps": 70} | world))  # pyright: ignore[reportArgumentType]
    samples = draw_samples(panel, pumps, Plan(form=form))
    features = quick(samples)
    model = SOCIAL if "habit" in world else OPTIMAL
    return evaluate(samples.rows, features, models=[model], variants=[variant])


def by_protocol(found: Evaluation, figure: str) -> dict[str, float]:
    return dict(found.figures.select("protocol", figure).iter_rows())


@pytest.fixture(scope="module")
def planted() -> Evaluation:
    return measured(sign=8.0, pumps=65)


def test_a_planted_sign_is_found_by_every_protocol(planted: Evaluation) -> None:
    assert min(by_protocol(planted, "roc_auc").values()) > 0.85
    assert set(by_protocol(planted, "roc_auc")) == set(Protocol)
    first = planted.kept.filter(pl.col("protocol") == "forward").row(0, named=True)
    assert "volume" in first["feature"]
    assert (first["splits"], first["of"]) == (4, 4)


def test_where_nothing_was_planted_nothing_is_found() -> None:
    found = measured("table X", Form.CHANGES, coins=100, pumpable=100, pumps=90)
    for row in found.figures.iter_rows(named=True):
        assert row["roc_auc"] == pytest.approx(0.5, abs=0.12), row["protocol"]
        assert row["roc_auc_low"] < 0.52, row["protocol"]
        assert row["roc_auc_high"] > 0.48, row["protocol"]


def test_random_splits_flatter_where_the_same_coins_are_pumped_again() -> None:
    found = measured("table X")
    roc = by_protocol(found, "roc_auc")
    assert roc["random"] > 0.6, "a coin's price tells which coin it is"
    assert roc["by coin"] == pytest.approx(0.5, abs=0.12), "which says nothing of other coins"
    assert roc["random"] > roc["by coin"] + 0.1


def test_a_habit_of_the_coins_is_found_as_well_as_a_sign() -> None:
    assert min(by_protocol(measured("table X", habit=3.0), "roc_auc").values()) > 0.9


def test_figures_stand_beside_the_base_rate_and_what_no_filter_gets(planted: Evaluation) -> None:
    row = planted.figures.row(0, named=True)
    assert row["base_rate"] == pytest.approx(1 / 3, abs=0.01)
    assert row["n"] == 3 * row["pumped"]
    none = 2 / 3 * 2 * (2 / 3) / (1 + 2 / 3)
    assert row["weighted_f1_of_none"] == pytest.approx(none, abs=0.01)
    assert row["weighted_f1_low"] < row["weighted_f1"] < row["weighted_f1_high"]
    assert planted.predictions.filter(pl.col("protocol") == "random").height == row["n"]


def test_nothing_of_the_tested_part_enters_the_choice_of_features() -> None:
    panel, pumps = made_up(pumps=40, coins=40)
    samples = draw_samples(panel, pumps, Plan(form=Form.LEVELS))
    features = quick(samples)
    whole = evaluate(samples.rows, features, models=[OPTIMAL], protocols=[Protocol.FORWARD], variants=["eliminated"])
    last = splits(samples.rows, Protocol.FORWARD)[-1]
    spoilt = features.with_columns(pl.when(pl.int_range(pl.len()).is_in(last.test.tolist())).then(pl.all() * 1e6).otherwise(pl.all()))
    again = evaluate(samples.rows, spoilt, models=[OPTIMAL], protocols=[Protocol.FORWARD], variants=["eliminated"])
    assert whole.kept.equals(again.kept)
    earlier = pl.col("fold") < 3
    assert whole.predictions.filter(earlier).equals(again.predictions.filter(earlier))
    assert not whole.predictions.equals(again.predictions)


def test_the_grid_says_what_it_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "GRID", {"max_depth": (3,), "min_child_weight": (1,)})
    panel, pumps = made_up(pumps=16, coins=30)
    samples = draw_samples(panel, pumps, Plan())
    features = quick(samples)
    found = evaluate(samples.rows, features, models=[OPTIMAL], protocols=[Protocol.FORWARD], variants=["eliminated, grid"])
    assert found.figures["variant"].to_list() == ["eliminated, grid"]
    assert found.parameters["splits"].sum() == 4


def test_no_samples_give_no_figures() -> None:
    panel, _ = made_up(coins=3, days=40, pumps=0)
    samples = draw_samples(panel, [], Plan())
    found = evaluate(samples.rows, pl.DataFrame())
    assert found.figures.is_empty()
    assert found.kept.is_empty()


def test_the_confusion_matrix_counts_each_sample_once() -> None:
    counts = figures.confusion_counts(np.array([0.9, 0.5, 0.1, 0.2, 0.7]), np.array([True, True, True, False, False]))
    assert counts.tolist() == [[1, 1], [1, 2]]


@pytest.mark.parametrize(
    "draw", [figures.confusion_matrices, figures.precision_recall_curves, figures.f1_by_threshold, figures.pr_auc_by_threshold]
)
def test_each_figure_is_an_image(planted: Evaluation, draw: object) -> None:
    assert draw(planted.predictions, "made up")[:4] == b"\x89PNG"  # pyright: ignore[reportCallIssue, reportUnknownVariableType]
