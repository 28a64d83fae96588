"""The graph of channels as a picture: who pumps together, who copies whom."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LINKS = 2_000
"""The strongest links are drawn."""
MOST_NAMED = 60
_KINDS = {"forward": ("C2", "forwards"), "copy": ("C1", "copies"), "shared event": ("C0", "released the same pumps")}
_COLORS = ("C3", "C4", "C5", "C6", "C8", "C9")  # C0 to C2 are lines, C7 is grey
Places = dict[int, tuple[float, float]]


def network(links: pl.DataFrame, groups: pl.DataFrame) -> bytes:
    """A PNG of the linked channels: a ring of dots per organiser group, sized by events; channels without a group form the grey ring.

    Where channels are few they are named by the end of their id: titles are strangers' text.

    Args:
        links: columns of out.channel_links; only those that chance does not explain are drawn.
        groups: columns of out.channel_groups.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    linked = links.filter("is_linked").sort("count", "from_channel_id", "to_channel_id", descending=[True, False, False])
    drawn = linked.head(MOST_LINKS)
    channels = pl.concat((drawn["from_channel_id"], drawn["to_channel_id"])).unique().to_frame("channel_id")
    rows = channels.join(groups, on="channel_id", how="left").sort("group_id", "channel_id", nulls_last=True)
    figure = Figure(figsize=(11, 8), dpi=90, layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.set_title(f"Channels that hang together: {drawn.height:,} of {linked.height:,} links beyond chance", fontsize=10)
    if rows.is_empty():
        axes.text(0.5, 0.5, "no links yet", ha="center", transform=axes.transAxes)
        return _png(figure)
    places = _rings(rows)
    for kind, (color, label) in _KINDS.items():
        ends = drawn.filter(pl.col("kind") == kind).select("from_channel_id", "to_channel_id").iter_rows()
        lines = [(places[one], places[other]) for one, other in ends]
        axes.add_collection(LineCollection(lines, colors=color, alpha=0.3, linewidths=0.7, label=label, zorder=1))
    numbers = {group: number for number, group in enumerate(rows["group_id"].drop_nulls().unique(maintain_order=True))}
    colors = ["grey" if group is None else _COLORS[numbers[group] % len(_COLORS)] for group in rows["group_id"]]
    sizes = (12 + 4 * rows["event_count"].fill_null(0).cast(pl.Float64).sqrt()).to_list()
    spots = [places[channel] for channel in rows["channel_id"]]
    axes.scatter([x for x, _ in spots], [y for _, y in spots], s=sizes, c=colors, zorder=2)
    if len(places) <= MOST_NAMED:
        for channel, spot in places.items():
            axes.annotate(f"..{abs(channel) % 10_000:04}", spot, textcoords="offset points", xytext=(5, 3), fontsize=6)
    axes.legend(fontsize=8, frameon=False, loc="lower left")
    return _png(figure)


def _rings(rows: pl.DataFrame) -> Places:
    """A place for each channel: those of a group on a ring, the rings around a circle, the larger the wider."""
    rings = [part["channel_id"].to_list() for _, part in rows.group_by("group_id", maintain_order=True)]
    radii = [0.35 + 0.1 * len(ring) for ring in rings]
    around = sum(2 * radius + 0.6 for radius in radii) / (2 * math.pi) if len(rings) > 1 else 0.0
    places: Places = {}
    turn = 0.0
    for ring, radius in zip(rings, radii, strict=True):
        width = (2 * radius + 0.6) / around if around else 0.0
        middle, turn = turn + width / 2, turn + width
        x, y = around * 1.3 * math.cos(middle), around * 1.3 * math.sin(middle)
        for number, channel in enumerate(ring):
            angle = 2 * math.pi * number / len(ring)
            places[channel] = (x + radius * math.cos(angle), y + radius * math.sin(angle))
    return places


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
