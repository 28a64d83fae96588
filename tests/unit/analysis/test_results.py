"""What an analysis writes down: hostile text has no effect, numbers are readable, files whole."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from pnd_dagster.analysis import drawing, intervals
from pnd_dagster.analysis.results import Comparison, Result, as_markdown, beside_paper, compared_share, escaped, export
from pnd_dagster.errors import SourceError

PNG = b"\x89PNG"


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "[click](javascript:alert(1))",
        "![x](https://evil.example/p.png)",
        "a | b | c",
        "line\nbreak\r\x07",
        "`code` **bold** ~~gone~~ $x$ # head",
        "&lt;b&gt;",
        "\u202etxt\u200b",
    ],
)
def test_text_in_a_cell_has_no_effect(hostile: str) -> None:
    shown = as_markdown(pl.DataFrame({"title": [hostile]}))
    assert len(shown.splitlines()) == 3
    row = shown.splitlines()[2]
    assert "<" not in row
    bare = re.sub(r"\\.", "", row)
    assert bare.count("|") == 2
    assert not set(bare) & set("`*~$[]!<>#")
    assert all(letter.isprintable() for letter in row)


def test_a_link_is_shown_as_text() -> None:
    assert escaped("see https://evil.example and www.evil.example") == "see https\\://evil.example and www\\.evil.example"


def test_numbers_times_and_holes_are_readable() -> None:
    frame = pl.DataFrame(
        {
            "n": [1_234_567],
            "small": [0.123456],
            "large": [2_700_000.4],
            "nothing": pl.Series([None], dtype=pl.Float64),
            "day": [date(2024, 3, 1)],
            "at": [datetime(2024, 3, 1, 17, 5, tzinfo=UTC)],
            "is": [True],
        }
    )
    assert as_markdown(frame).splitlines()[2] == "| 1,234,567 | 0.1235 | 2,700,000 | - | 2024-03-01 | 2024-03-01 17:05 | True |"


def test_rows_that_are_left_out_and_empty_tables_are_said() -> None:
    assert "3 more rows" in as_markdown(pl.DataFrame({"n": range(5)}), rows=2)
    assert as_markdown(pl.DataFrame(schema={"a": pl.Int64, "b": pl.Int64})).splitlines()[2] == "| - | - |"
    assert as_markdown(pl.DataFrame()) == "(no columns)"


def test_shares_come_with_their_interval_and_none_of_nothing() -> None:
    frame = beside_paper(
        [compared_share("x", 24, 43, 0.5, "Table"), compared_share("y", 0, 0, None, "-"), Comparison("z", 1, None, None, 2, 3, "-")]
    )
    assert frame.row(0)[1:4] == pytest.approx((24 / 43, 0.411, 0.696), abs=0.001)
    assert frame.row(1) == ("y", None, None, None, 0, None, "-")
    assert frame.row(2)[1] == 1.0


def test_files_are_named_after_the_figure_and_replace_older_ones(tmp_path: Path) -> None:
    result = Result({"days": pl.DataFrame({"n": [1, 2]})}, {"picture": PNG}, [])
    folder = tmp_path / "deep" / "analysis"
    assert export(result, folder, "figure-3") == export(result, folder, "figure-3")
    assert sorted(path.name for path in folder.iterdir()) == ["figure-3.days.parquet", "figure-3.picture.png"]
    assert pl.read_parquet(folder / "figure-3.days.parquet")["n"].to_list() == [1, 2]
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="cannot be written"):
        export(result, tmp_path / "file", "figure-3")


def test_intervals_hold_the_estimate_and_shrink_with_n() -> None:
    values = pl.Series(range(100)).cast(pl.Float64).to_numpy()
    for interval, middle in ((intervals.of_mean(values), 49.5), (intervals.of_median(values), 49.5)):
        assert interval[0] is not None
        assert interval[1] is not None
        assert interval[0] < middle < interval[1]
    assert intervals.of_mean(values[:1]) == (None, None)
    assert intervals.of_share(0, 0) == (None, None)
    low, high = intervals.of_ratio_of_means(3 * values, values)
    assert (low, high) == (pytest.approx(3), pytest.approx(3))
    assert intervals.of_ratio_of_means(values, 0 * values) == (None, None)


HOSTILE_NAMES = ["$x^2_", "<b>\n", "émoji \U0001f680 \\frac{"]


def test_every_drawing_takes_hostile_names() -> None:
    values = pl.DataFrame({"x": [1, 2, 3], "y": [1.0, 20.0, None], "c": HOSTILE_NAMES, "low": [0.5, None, None], "high": [1.5, None, None]})
    band = values.select(x="x", c="c", mean="y", median="y", lower="y", upper="y")
    words = {"title": "$ _ \\frac{", "y_label": "y"}
    pictures = [
        drawing.stacked_bars(values, x="x", y="y", color="c", **words),
        drawing.bars(values, x="x", y="y", color="c", x_label="x", is_log=True, ends=("low", "high"), **words),
        drawing.bands(band, x="x", color="c", x_label="x", **words),
        drawing.boxes(values, group="c", columns=(("y", "y"),), title="t"),
        drawing.before_and_after(values, x="low", y="high", color="c", title="t", x_label="x", y_label="y"),
    ]
    assert all(picture.startswith(PNG) for picture in pictures)


def test_an_interval_beside_its_estimate_is_drawn() -> None:
    beside = pl.DataFrame({"x": [1], "y": [1.0], "c": ["a"], "low": [1.1], "high": [1.2]})
    assert drawing.bars(beside, x="x", y="y", color="c", x_label="x", ends=("low", "high"), title="t", y_label="y").startswith(PNG)


def test_the_rarest_of_many_parts_are_one() -> None:
    many = pl.DataFrame({"x": ["2024-01"] * 20, "y": range(1, 21), "c": [f"venue {n}" for n in range(20)]})
    assert drawing.stacked_bars(many, x="x", y="y", color="c", title="t", y_label="y").startswith(PNG)
