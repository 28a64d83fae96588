from __future__ import annotations

import json
from collections import Counter
from typing import Any

import plotly.graph_objects as go
import plotly.io as pio
import polars as pl
import pytest
from dash.development.base_component import Component

from dashboards import network
from dashboards.board import Board
from dashboards.marts import Marts
from dashboards.pages import BOARDS, channels, coins, event, events, models, outcomes, radar
from tests.unit.dashboards.made_up_marts import HOSTILE

PAGES = [make() for make in BOARDS]


def texts(value: Any) -> list[str]:
    """Every text that a component would show as text."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, (list, tuple)):
        return [text for part in value for text in texts(part)]
    if isinstance(value, Component):
        return texts(getattr(value, "children", None))
    return []


def drawn(figure: go.Figure) -> dict[str, Any]:
    return json.loads(pio.to_json(figure))


@pytest.mark.parametrize("board", PAGES, ids=lambda board: board.name)
def test_a_page_with_data_has_no_notice_and_fills_all_its_parts(board: Board, full: Marts) -> None:
    shown = board.fill(full)
    assert "notice" not in shown
    assert set(shown) == set(board.outputs)
    for name, value in shown.items():
        assert value, f"{name} is empty"
        if isinstance(value, go.Figure):
            assert value.data, f"{name} draws nothing"


@pytest.mark.parametrize("board", PAGES, ids=lambda board: board.name)
def test_a_page_of_empty_marts_says_what_to_run(board: Board, empty: Marts) -> None:
    assert "`pnd " in board.fill(empty)["notice"]


@pytest.mark.parametrize("board", PAGES, ids=lambda board: board.name)
def test_a_page_of_single_rows_that_know_little_more_than_their_keys_is_filled(board: Board, sparse: Marts) -> None:
    notice, shown = board.filled(sparse, {})
    assert "could not be filled" not in (notice or "")
    assert set(shown) == set(board.outputs)
    for value in shown.values():
        if isinstance(value, go.Figure):
            drawn(value)
        else:
            json.dumps(value, default=lambda part: part.to_plotly_json(), allow_nan=False)


@pytest.mark.parametrize("board", PAGES, ids=lambda board: board.name)
def test_a_page_without_marts_says_what_to_run(board: Board, missing: Marts) -> None:
    notice, shown = board.filled(missing, {})
    assert notice is not None
    assert "job `warehouse`" in notice
    assert not shown


@pytest.mark.parametrize("board", PAGES, ids=lambda board: board.name)
def test_every_chart_names_its_axes_and_numbers_have_a_unit(board: Board, full: Marts) -> None:
    for name, value in board.fill(full).items():
        if isinstance(value, go.Figure) and name != "labels" and value.layout.xaxis.visible is not False:
            assert value.layout.xaxis.title.text, f"{name} does not name its x axis"


def test_events_are_filtered_by_exchange_coin_channel_and_month(full: Marts) -> None:
    everything = events.fill(full)["table"]
    first = everything[5]
    month = f"{first['released_at'][:7]}-01"
    assert {row["exchange"] for row in events.fill(full, exchanges=["kucoin", "unknown"])["table"]} == {"kucoin", "unknown"}
    assert {row["symbol"] for row in events.fill(full, symbols=[first["symbol"]])["table"]} == {first["symbol"]}
    assert all(row["released_at"][:7] == month[:7] for row in events.fill(full, first=month, last=month)["table"])
    only = events.fill(full, channels=["-999"])["table"]
    assert 0 < len(only) < len(everything)
    assert all(HOSTILE in row["channel_titles"] for row in only)


def test_a_filter_value_is_bound_and_never_part_of_the_query(full: Marts) -> None:
    everything = len(events.fill(full)["table"])
    assert events.fill(full, exchanges=["'; DROP TABLE mart.fct_pump_event; --"])["table"] == []
    assert len(events.fill(full)["table"]) == everything


def test_a_filter_without_events_leaves_an_empty_page_without_a_notice(full: Marts) -> None:
    shown = events.fill(full, symbols=["NOBODY"])
    assert "notice" not in shown
    assert shown["months"].layout.annotations[0].text == "no data yet"
    assert shown["exchanges_options"]


def test_titles_with_markup_are_shown_as_text_in_charts(full: Marts) -> None:
    figure = drawn(events.fill(full, channels=["-999"])["by_channel"])
    assert "<img" not in json.dumps(figure)
    assert "&lt;img" in json.dumps(figure)


def test_titles_with_markup_are_plain_strings_in_pages_and_never_markdown(full: Marts) -> None:
    for shown in (radar.fill(full)["pumps"], event.fill(full, search="?event=event-0")["head"]):
        assert any("<img src=x" in text for text in texts(shown))
        assert "Markdown" not in json.dumps(shown, default=lambda part: part.to_plotly_json())


def test_the_event_of_the_address_is_shown_with_its_messages(full: Marts) -> None:
    shown = event.fill(full, search="?event=event-7")
    said = texts(shown["messages"])
    assert len(shown["messages"]) == 2
    assert any("The coin is $MU" in text for text in said)
    assert len(shown["scores"].data) == 6
    assert {trace.name for trace in shown["market"].data} == {"price", "value traded"}


@pytest.mark.parametrize("search", ["?event=nobody", "?event=%27%3B--", "?event=%00x"])
def test_an_unknown_event_is_said_and_leaves_no_old_curves(full: Marts, search: str) -> None:
    shown = event.fill(full, search=search)
    assert "no such event" in shown["notice"]
    assert all(not shown[name].data for name in ("market", "days", "scores", "ranks"))


def test_without_an_address_the_newest_event_is_shown(full: Marts) -> None:
    assert texts(event.fill(full)["head"]) == texts(event.fill(full, search="?event=event-0")["head"])


def test_the_list_of_events_holds_the_one_that_is_shown(full: Marts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event, "MOST_CHOICES", 3)
    shown = event.fill(full, search="?event=event-200")
    assert shown["choice"] == shown["shown"] == "event-200"
    assert [choice["value"] for choice in shown["choices"]] == ["event-0", "event-1", "event-2", "event-200"]


def test_the_countdown_and_the_local_times_carry_utc_for_the_browser(full: Marts) -> None:
    cards = json.dumps(radar.fill(full)["pumps"], default=lambda part: part.to_plotly_json())
    assert cards.count('"data-countdown"') == 3
    assert '"data-server-now"' in cards
    assert 'Z"' in cards.split('"data-countdown": ')[1][:25]


def test_the_backtest_shows_the_usual_rule_first_and_others_when_asked(full: Marts) -> None:
    assert {row["rule"] for row in models.fill(full)["backtests"]} == {"default"}
    assert {row["rule"] for row in models.fill(full, rules=["prototype"])["backtests"]} == {"prototype"}


def test_the_paper_stands_beside_our_backtest_and_made_up_markets_are_called_so(full: Marts) -> None:
    names = [trace.name for trace in models.fill(full)["backtest"].data]
    assert "the paper, trades" in names
    assert any("(made up)" in name and "n=120" in name for name in names)


def test_outcomes_say_of_each_figure_how_many_events_and_what_data_it_stands_on(full: Marts) -> None:
    shown = outcomes.fill(full)
    assert {row["made_of"]: row["n"] for row in shown["data"]} == {"single trades": 75, "buckets of 5 s": 75, "daily candles": 75}
    assert {row["bought"] for row in shown["data"]} == {75, 0}
    assert any(text.startswith("median an hour after buying 30 s late (n=150, 95% ") for text in texts(shown["figures"]))
    assert {trace.name for trace in shown["late"].data} == {"10 min after buying (n=150)", "an hour after buying (n=150)"}
    assert sum(sum(trace.y) for trace in shown["gains"].data) == 225
    candles = [row for row in shown["exchange"] if row["made_of"] == "daily candles"]
    assert candles
    assert all(row["to_peak"] is None and row["bought"] == 0 and row["after_10min"] is None for row in candles)


def test_outcomes_are_narrowed_to_an_exchange_a_channel_and_what_they_are_made_of(full: Marts) -> None:
    shown = outcomes.fill(full, exchanges=["kucoin"], resolutions=["trade"])
    assert {(row["name"], row["made_of"]) for row in shown["exchange"]} == {("kucoin", "single trades")}
    only = outcomes.fill(full, channels=["-999"])["table"]
    assert 0 < len(only) < 75


def test_coins_say_why_they_are_flagged_and_that_a_cost_is_a_lower_bound(full: Marts) -> None:
    shown = coins.fill(full, exchanges=["kucoin"], flags=["thin trading"])
    assert {row["exchange"] for row in shown["table"]} == {"kucoin"}
    assert all("thin trading" in row["flags"] for row in shown["table"])
    assert {row["reason"] for row in shown["reasons"]} == {"made up: thin trading"}
    first = coins.fill(full)["table"][0]
    assert first["symbol"].startswith(HOSTILE)
    assert first["is_lower_bound"] is True


def test_pumps_that_nobody_announced_stand_on_the_radar(full: Marts) -> None:
    seen = radar.fill(full)["detected"]
    assert [row["was_announced"] for row in seen[:4]] == [True, False, False, True]
    assert seen[0]["detected_at"] > seen[1]["detected_at"]


def test_the_radar_tells_how_often_a_coin_was_pumped_on_that_exchange_before(full: Marts) -> None:
    events = full.read("SELECT symbol FROM mart.fct_pump_event WHERE exchange = 'kucoin' AND released_at < now() - interval '2 hours'")
    times = Counter(events["symbol"])
    ranking = radar.fill(full)["ranking"]
    assert [row["prior_pumps"] for row in ranking] == [times[row["symbol"]] for row in ranking]
    assert any(row["prior_pumps"] for row in ranking)


def test_past_watches_tell_where_the_released_coin_stood(full: Marts) -> None:
    shown = models.fill(full)
    assert len(shown["watches"]) == 39
    assert {row["state"] for row in shown["watches"]} == {"released", "over", "cancelled", "failed"}
    assert all(row["rank_20s"] is None for row in shown["watches"] if row["state"] == "over")
    assert all("(n=15)" in name for name in shown["watched"].data[0].x)


def test_the_network_draws_the_strongest_channels_and_escapes_their_titles(full: Marts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "MOST_CHANNELS", 5)
    made = channels.fill(full)["network"]
    assert len(made.data[-1].x) == 5
    link = {"from_channel_id": 1, "to_channel_id": 2, "from_title": HOSTILE, "to_title": None, "from_group_id": 1, "to_group_id": None}
    alone = network.network(pl.DataFrame([link | {"kind": "copy", "count": 3}]))
    assert [trace.name for trace in alone.data] == ["copy (1)", None]
    assert "<img" not in json.dumps(drawn(alone))
    assert network.network(pl.DataFrame()).layout.annotations[0].text.startswith("no links")


def test_links_between_channels_can_be_narrowed_to_a_kind(full: Marts) -> None:
    assert {row["kind"] for row in channels.fill(full, kind="copy")["links"]} == {"copy"}
