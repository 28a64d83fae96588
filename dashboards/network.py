"""The network of channels as a figure: laid out here, drawn in the browser."""

from __future__ import annotations

import networkx as nx
import plotly.graph_objects as go
import polars as pl

from dashboards.charts import COLOURS, OTHER, empty, figure
from dashboards.text import plain

MOST_CHANNELS = 60
MOST_NAMED = 12
LINK_COLOURS = {"copy": COLOURS[0], "forward": COLOURS[3], "shared event": COLOURS[1]}
_STEPS = 40


def network(links: pl.DataFrame) -> go.Figure:
    """Channels as dots, the larger the more they hang together, in the colours of their organiser groups; links as lines by kind.

    Of more than `MOST_CHANNELS` those with the most occasions are drawn; the first `MOST_NAMED` of them are named.

    Args:
        links: from_channel_id, to_channel_id, from_title, to_title, from_group_id, to_group_id, kind, count; the strongest first.
    """
    if links.is_empty():
        return empty("no links between channels were found, or they were not computed yet")
    ends = pl.concat(
        links.select(
            pl.col(f"{end}_channel_id").alias("id"),
            pl.col(f"{end}_title").alias("title"),
            pl.col(f"{end}_group_id").alias("group_id"),
            "count",
        )
        for end in ("from", "to")
    )
    nodes = ends.group_by("id").agg(pl.col("title", "group_id").first(), pl.col("count").sum())
    drawn = nodes.sort("count", "id", descending=[True, False]).head(MOST_CHANNELS)
    kept = links.filter(pl.col("from_channel_id").is_in(drawn["id"].to_list()) & pl.col("to_channel_id").is_in(drawn["id"].to_list()))
    graph = nx.Graph()
    graph.add_nodes_from(drawn["id"])
    graph.add_weighted_edges_from(kept.select("from_channel_id", "to_channel_id", pl.col("count").cast(pl.Float64).log1p()).iter_rows())
    places = nx.spring_layout(graph, k=1.6 / len(drawn) ** 0.5, iterations=_STEPS, seed=7)
    made = figure(hovermode="closest")
    for kind, colour in LINK_COLOURS.items():
        pairs = kept.filter(pl.col("kind") == kind).select("from_channel_id", "to_channel_id").rows()
        if pairs:
            made.add_scatter(
                x=[x for one, other in pairs for x in (places[one][0], places[other][0], None)],
                y=[y for one, other in pairs for y in (places[one][1], places[other][1], None)],
                name=f"{kind} ({len(pairs):,})",
                mode="lines",
                line={"color": colour, "width": 1.5},
                opacity=0.8,
                hoverinfo="skip",
            )
    groups = drawn["group_id"].drop_nulls().unique(maintain_order=True).to_list()
    names = [plain(title) for title in drawn["title"]]
    most = max(drawn["count"].max(), 1)  # pyright: ignore[reportArgumentType, reportCallIssue, reportUnknownVariableType]
    made.add_scatter(
        x=[places[key][0] for key in drawn["id"]],
        y=[places[key][1] for key in drawn["id"]],
        mode="markers+text",
        text=[name if index < MOST_NAMED else "" for index, name in enumerate([plain(title, 18) for title in drawn["title"]])],
        textposition="top center",
        textfont={"size": 10},
        marker={
            "size": [8 + 16 * (count / most) ** 0.5 for count in drawn["count"]],
            "color": [OTHER if key is None else COLOURS[(groups.index(key) + 4) % len(COLOURS)] for key in drawn["group_id"]],
            "line": {"width": 1, "color": "rgba(127,127,127,0.6)"},
        },
        customdata=[f"{name}: {count:,} occasions" for name, count in zip(names, drawn["count"], strict=True)],
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
    )
    made.update_layout(showlegend=True)
    made.update_xaxes(visible=False, range=[-1.25, 1.25])
    made.update_yaxes(visible=False, range=[-1.25, 1.25])
    return made
