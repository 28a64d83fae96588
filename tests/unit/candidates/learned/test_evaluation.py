from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from pnd_dagster.candidates.learned import models
from pnd_dagster.candidates.learned.evaluation import Evaluation, evaluate
from pnd_dagster.candidates.learned.models import MODELS
from pnd_dagster.candidates.learned.panels import DAY
from pnd_dagster.candidates.learned.protocols import Protocol, splits
from pnd_dagster.candidates.learned.samples import Plan, Samples, draw_samples
from pnd_dagster.candidates.learned.series import Form
from tests.unit.candidates.learned.made_up import START, made_up

OPTIMAL, SOCIAL = MODELS[1:3]
MADE = {"maximum": np.nanmax, "minimum": np.nanmin, "sum_values": np.nansum, "standard_deviation": np.nanstd, "median": np.nanmedian}


def quick(samples: Samples) -> pl.DataFrame:
    """Some of the features, without tsfresh's seconds."""
    columns = {
        f"{series}__{name}": measure(samples.windows[:, place], axis=1)
        for place, series in enumerate(samples.series)
        if series in ("close", "volume", "interactions")
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
    return measured(sign=8.0, pumps=60, pumpable=60, days=200)


def test_a_planted_sign_is_found_by_every_protocol(planted: Evaluation) -> None:
    assert min(by_protocol(planted, "roc_auc").values()) > 0.85
    assert set(by_protocol(planted, "roc_auc")) == set(Protocol)
    in_all = planted.kept.filter(pl.col("protocol") == "forward", pl.col("splits") == 4, pl.col("of") == 4)
    assert any("volume" in feature for feature in in_all["feature"])


def test_where_nothing_was_planted_nothing_is_found() -> None:
    found = measured("table X", Form.CHANGES, coins=100, pumpable=100, pumps=90)
    for row in found.figures.iter_rows(named=True):
        assert row["roc_auc"] == pytest.approx(0.5, abs=0.12), row["protocol"]
        assert row["roc_auc_low"] < 0.52, row["protocol"]
        assert row["roc_auc_high"] > 0.48, row["protocol"]


def test_what_shows_on_the_day_of_a_pump_only_is_not_found() -> None:
    panel, pumps = made_up(coins=60, pumpable=60, pumps=120, days=200)
    spiked = {name: panel.observed[name].copy() for name in ("volume", "quote_volume")}
    for pump in pumps:
        for values in spiked.values():
            values[pump.coin, (pump.at - START) // DAY] *= 20
    samples = draw_samples(panel._replace(observed=panel.observed | spiked), pumps, Plan(form=Form.LEVELS))
    found = evaluate(samples.rows, quick(samples), models=[OPTIMAL], variants=["table X"])
    for protocol, roc in by_protocol(found, "roc_auc").items():
        assert roc == pytest.approx(0.5, abs=0.08), f"{protocol}: not by the pump's own day, nor by earlier pumps of the same coin"


def test_random_splits_flatter_where_the_same_coins_are_pumped_again() -> None:
    found = measured("table X")
    roc = by_protocol(found, "roc_auc")
    assert roc["random"] > 0.6, "a coin's price tells which coin it is"
    assert roc["by coin"] == pytest.approx(0.5, abs=0.12), "which says nothing of other coins"
    assert roc["random"] > roc["by coin"] + 0.1


def test_a_habit_of_the_coins_is_found_as_well_as_a_sign() -> None:
    assert min(by_protocol(measured("table X", habit=3.0), "roc_auc").values()) > 0.85


def test_figures_stand_beside_the_base_rate_and_what_no_filter_gets(planted: Evaluation) -> None:
    row = planted.figures.row(0, named=True)
    assert row["base_rate"] == pytest.approx(1 / 3, abs=0.01)
    assert row["n"] == 3 * row["pumped"]
    none = 2 / 3 * 2 * (2 / 3) / (1 + 2 / 3)
    assert row["weighted_f1_of_none"] == pytest.approx(none, abs=0.01)
    assert row["weighted_f1_low"] < row["weighted_f1"] < row["weighted_f1_high"]
    assert planted.predictions.filter(pl.col("protocol") == "random").height == row["n"]


def test_nothing_of_the_tested_part_enters_the_choice_of_features() -> None:
    panel, pumps = made_up(pumps=24, coins=40)
    samples = draw_samples(panel, pumps, Plan(form=Form.LEVELS))
    features = quick(samples).select(r"^(close|volume)__(maximum|minimum|sum_values)$")
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
    features = quick(samples).select(r"^(close|volume)__(maximum|minimum)$")
    found = evaluate(samples.rows, features, models=[OPTIMAL], protocols=[Protocol.FORWARD], variants=["eliminated, grid"])
    assert found.figures["variant"].to_list() == ["eliminated, grid"]
    assert found.parameters["splits"].sum() == 4


def test_no_samples_give_no_figures() -> None:
    panel, _ = made_up(coins=3, days=40, pumps=0)
    samples = draw_samples(panel, [], Plan())
    found = evaluate(samples.rows, pl.DataFrame())
    assert found.figures.is_empty()
    assert found.kept.is_empty()


SOME = {f"close__{name}": np.random.default_rng(0).normal(size=90) for name in ("maximum", "minimum", "median", "sum_values", "variance")}
ROWS = pl.DataFrame(
    {
        "event": [place // 3 for place in range(90)],
        "coin": [f"C{place % 41}" for place in range(90)],
        "symbol": [f"C{place % 41}" for place in range(90)],
        "at": [START + place // 3 * DAY for place in range(90)],
        "is_pumped": [place % 3 == 0 for place in range(90)],
    }
)


def of_made(rows: pl.DataFrame, features: pl.DataFrame) -> Evaluation:
    return evaluate(rows, features, models=[OPTIMAL], variants=["eliminated"])


def test_features_that_are_everywhere_the_same_measure_nothing() -> None:
    for value in (1.0, float("nan")):
        assert of_made(ROWS, pl.DataFrame(dict.fromkeys(SOME, [value] * 90))).figures.is_empty()


def test_values_beyond_32_bits_are_read() -> None:
    found = evaluate(ROWS, pl.DataFrame(SOME) * 1e300, models=[OPTIMAL], variants=["table X"])
    assert found.figures["roc_auc"].is_not_null().to_list() == [True] * 3


def test_one_class_or_few_coins_measure_only_what_can_be_measured() -> None:
    features = pl.DataFrame(SOME)
    assert of_made(ROWS.with_columns(is_pumped=pl.lit(False)), features).figures.is_empty()
    two = ROWS.with_columns(symbol=pl.when("is_pumped").then(pl.format("P{}", pl.col("event") % 2)).otherwise("symbol"))
    assert of_made(two, features).figures["protocol"].to_list() == ["random"]
    assert of_made(ROWS.with_columns(symbol=pl.lit("A")), features).figures["protocol"].to_list() == ["random"]
