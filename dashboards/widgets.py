"""The components that pages are laid out from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dash_ag_grid as dag
import plotly.graph_objects as go
import polars as pl
from dash import dcc, html
from dash.development.base_component import Component

from dashboards.text import iso

_BLANK = go.Figure(
    layout={"paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "xaxis": {"visible": False}, "yaxis": {"visible": False}}
)
Column = dict[str, Any]


def tile(title: str, *content: Component, note: str = "") -> Component:
    """A framed part of a page, with a line of explanation."""
    heading: list[Component] = [html.H3(title, className="figure-title")]
    if note:
        heading.append(html.P(note, className="pnd-note"))
    return html.Div([*heading, *content], className="pnd-tile")


def chart(component_id: str, title: str, *, note: str = "", height: int = 320) -> Component:
    """A tile with a chart, `height` pixels high; its `figure` is filled later."""
    config: Any = {"displaylogo": False, "displayModeBar": False}
    return tile(
        title, dcc.Graph(id=component_id, figure=_BLANK, config=config, responsive=True, style={"height": f"{height}px"}), note=note
    )


def table(
    component_id: str,
    title: str,
    columns: Sequence[Column],
    *,
    note: str = "",
    note_id: str = "",
    key: str = "",
    page_size: int = 10,
) -> Component:
    """A tile with a table; its `rowData` is filled later. Cells show text as it is. Where columns do not fit, it scrolls sideways.

    Args:
        component_id: id of the table.
        title: its heading.
        columns: its columns.
        note: a line of explanation.
        note_id: id of such a line that is filled later.
        key: field that tells rows apart, so that a new answer keeps the place a person scrolled to.
        page_size: rows of a page.
    """
    grid = dag.AgGrid(
        id=component_id,
        className="ag-theme-vizro",
        columnDefs=list(columns),
        rowData=[],
        defaultColDef={
            "sortable": True,
            "resizable": True,
            "cellDataType": False,
            "flex": 1,
            "minWidth": 108,
            "wrapHeaderText": True,
            "autoHeaderHeight": True,
        },
        dashGridOptions={
            "theme": {"function": "vizroTheme(themeQuartz, agGrid)"},
            "domLayout": "autoHeight",
            "pagination": True,
            "paginationPageSize": page_size,
            "paginationPageSizeSelector": False,
            "animateRows": False,
            "suppressCellFocus": True,
            "enableCellTextSelection": True,
            "localeText": {"noRowsToShow": "nothing yet"},
            "rowHeight": 34,
            "headerHeight": 40,
        },
        style={"height": None},
    )
    if key:
        grid.getRowId = f"'' + params.data.{key}"  # pyright: ignore[reportAttributeAccessIssue]
    late = [html.P(id=note_id, className="pnd-note")] if note_id else []
    return tile(title, *late, grid, note=note)


def words(field: str, name: str, **options: Any) -> Column:
    """A column of text."""
    return {
        "field": field,
        "headerName": name,
        "valueFormatter": {"function": "words(params.value)"},
        "tooltipField": field,
        "filter": True,
        "flex": 2,
        "minWidth": 125,
    } | options


def _right(field: str, name: str, function: str) -> Column:
    return {"field": field, "headerName": name, "valueFormatter": {"function": function}, "type": "rightAligned"}


def number(field: str, name: str, *, digits: int | None = 0, **options: Any) -> Column:
    """A column of numbers with so many decimals; None: four significant digits."""
    function = "significant(params.value)" if digits is None else f"number(params.value, {digits})"
    return _right(field, name, function) | options


def percent(field: str, name: str, *, digits: int = 1, **options: Any) -> Column:
    """A column of ratios, shown in percent."""
    return _right(field, name, f"percent(params.value, {digits})") | options


def lasting(field: str, name: str, **options: Any) -> Column:
    """A column of seconds, shown in a fitting unit."""
    return _right(field, name, "lasting(params.value)") | options


def flag(field: str, name: str, **options: Any) -> Column:
    """A column of yes and no."""
    return {
        "field": field,
        "headerName": name,
        "valueFormatter": {"function": "yesNo(params.value)"},
        "maxWidth": 130,
        "minWidth": 110,
    } | options


def times(field: str, name: str) -> list[Column]:
    """Two columns of one time: in UTC and in the browser's zone."""
    wide = {"minWidth": 180, "maxWidth": 200}
    return [
        {"field": field, "headerName": f"{name} (UTC)", "valueFormatter": {"function": "utc(params.value)"}} | wide,
        {
            "field": field,
            "colId": f"{field}_local",
            "headerName": f"{name} (local)",
            "valueFormatter": {"function": "local(params.value)"},
        }
        | wide,
    ]


def select(component_id: str, label: str, *, multi: bool = True, placeholder: str = "all", clearable: bool = True) -> Component:
    """A drop-down list for the panel on the left; its `options` are filled later."""
    chosen: Any = dcc.Dropdown(id=component_id, multi=multi, placeholder=placeholder, clearable=clearable, options=[])
    return html.Div(
        [html.Label(label, htmlFor=component_id), chosen],
        className="pnd-controls",
    )


def figures(values: dict[str, str]) -> list[Component]:
    """A row of single figures by name."""
    return [
        html.Div([html.Div(value, className="value"), html.Div(name, className="name")], className="pnd-figure")
        for name, value in values.items()
    ]


def total(frame: pl.DataFrame, column: str) -> str:
    """The sum of a column, in thousands; 0 of a frame without rows, whose columns have no type."""
    return f"{int(frame[column].sum() or 0):,}"


def records(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows for a table: times as ISO text, lists joined, unusable numbers empty."""
    columns: list[pl.Expr] = []
    for name, dtype in frame.schema.items():
        column = pl.col(name)
        if isinstance(dtype, pl.Datetime):
            column = column.map_elements(iso, return_dtype=pl.String)
        elif isinstance(dtype, pl.Decimal):
            column = column.cast(pl.Float64)
        elif isinstance(dtype, pl.List):
            column = column.cast(pl.List(pl.String)).list.join(", ")
        elif dtype == pl.Date:
            column = column.cast(pl.String)
        elif dtype.is_float():
            column = pl.when(column.is_finite()).then(column)
        columns.append(column.alias(name))
    return frame.select(columns).to_dicts()


def options(values: Sequence[tuple[Any, str]]) -> list[dict[str, Any]]:
    """Choices of a drop-down list from pairs of value and label; labels are shown as text."""
    return [{"value": value, "label": label} for value, label in values]
