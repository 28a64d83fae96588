from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest

from dashboards.charts import EXCHANGE_COLOURS, ranked, stacked
from dashboards.text import iso, label, plain
from dashboards.widgets import records, total


def test_a_label_of_a_chart_escapes_tags_and_entities() -> None:
    assert plain('<a href="x">&lt;b') == '&lt;a href="x"&gt;&amp;lt;b'


def test_a_label_is_cut_before_it_is_escaped() -> None:
    assert plain("<" * 40, 5) == "&lt;&lt;&lt;&lt;…"


@pytest.mark.parametrize("text", ["a\u202eb", "a\nb", "a\x00b", "a\u200fb"])
def test_a_label_has_no_control_characters(text: str) -> None:
    assert label(text) == "a b"


def test_a_time_is_sent_to_the_browser_in_utc_whatever_its_zone() -> None:
    assert iso(datetime(2026, 3, 29, 2, 30, tzinfo=timezone(timedelta(hours=2)))) == "2026-03-29T00:30:00Z"


def test_rows_of_a_table_hold_only_what_json_can() -> None:
    frame = pl.DataFrame(
        {
            "at": [datetime(2026, 1, 1, tzinfo=UTC), None],
            "ratio": [float("nan"), 0.5],
            "titles": [["=1+1", "<b>"], []],
            "day": [datetime(2026, 1, 2, tzinfo=UTC).date(), None],
        }
    )
    assert records(frame) == [
        {"at": "2026-01-01T00:00:00Z", "ratio": None, "titles": "=1+1, <b>", "day": "2026-01-02"},
        {"at": None, "ratio": 0.5, "titles": "", "day": None},
    ]


def test_the_total_of_a_frame_without_rows_is_0() -> None:
    assert total(pl.DataFrame({"n": []}), "n") == "0"


def test_two_channels_of_one_title_stay_two_bars() -> None:
    frame = pl.DataFrame({"id": [1, 2], "title": ["same", "same"], "events": [5, 3]})
    assert list(ranked(frame, name="title", value="events", axis="events", ids="id").data[0].y) == ["1", "2"]


def test_exchanges_without_a_colour_of_their_own_are_one_stack() -> None:
    frame = pl.DataFrame({"month": ["2026-01-01"] * 3, "exchange": ["kucoin", "x", "y"], "n": [1, 2, 3]})
    made = stacked(frame, x="month", y="n", by="exchange", axes=("month", "events"), colours=EXCHANGE_COLOURS)
    assert {trace.name: list(trace.y) for trace in made.data} == {"kucoin": [1], "other": [5]}
