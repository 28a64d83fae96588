"""Channels: what they post, which pumps they keep, who copies whom."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import polars as pl
from dash import Input, Output, html

from dashboards.board import Board
from dashboards.charts import COLOURS, LABEL_COLOURS, OTHER, empty, figure, ranked, stacked
from dashboards.marts import BUILD_HINT, Marts
from dashboards.network import LINK_COLOURS, MOST_CHANNELS, network
from dashboards.text import label, plain
from dashboards.widgets import chart, figures, flag, lasting, number, options, percent, records, select, table, times, total, words

BARS = 15
PARTNERS = 20
MOST_LINKS = 500
_LINKS_NOTE = (
    "By chance: occasions that two so active channels would share anyway. Lag: median time from the first to the other. "
    f"The {MOST_LINKS} strongest at most."
)

_CHANNELS = """
    SELECT channel_id, display_title, status, is_vanished, participants, message_count, first_message_on, last_message_on,
        pump_message_ratio, announcement_count, released_announcement_ratio, expired_announcement_count, cancelled_announcement_count,
        event_count, first_release_count, shared_event_count, median_lag_seconds, last_event_at, group_id, group_size,
        copied_count, was_copied_count, promised_median_ratio, realised_median_ratio, outcome_count, late_buyer_median_ratio
    FROM mart.dim_channel
    WHERE CAST(:channels AS bigint[]) IS NULL OR channel_id = ANY (CAST(:channels AS bigint[]))
    ORDER BY event_count DESC, message_count DESC, channel_id
"""
_CHOICES = "SELECT channel_id, display_title FROM mart.dim_channel WHERE message_count > 0 ORDER BY event_count DESC, channel_id LIMIT 2000"
_ACTIVITY = """
    SELECT CAST(date_trunc('month', day) AS date) AS month, sum(announcement_count) AS announcement, sum(countdown_count) AS countdown,
        sum(release_count) AS release, sum(result_count) AS results, sum(delay_count) AS "delay or cancellation",
        sum(noise_count) AS noise, sum(unlabelled_count) AS unlabelled
    FROM mart.fct_message_daily
    WHERE CAST(:channels AS bigint[]) IS NULL OR channel_id = ANY (CAST(:channels AS bigint[]))
    GROUP BY 1 ORDER BY 1
"""
_LINKS = """
    SELECT link.from_channel_id, link.to_channel_id, coalesce(a.display_title, CAST(link.from_channel_id AS text)) AS from_title,
        coalesce(b.display_title, CAST(link.to_channel_id AS text)) AS to_title, link.kind, link.count, link.first_count,
        link.expected_count, link.p_value, link.is_linked, link.median_lag_seconds, link.last_at,
        a.group_id AS from_group_id, b.group_id AS to_group_id
    FROM mart.fct_channel_link AS link
    LEFT JOIN mart.dim_channel AS a ON a.channel_id = link.from_channel_id
    LEFT JOIN mart.dim_channel AS b ON b.channel_id = link.to_channel_id
    WHERE (CAST(:channels AS bigint[]) IS NULL
            OR link.from_channel_id = ANY (CAST(:channels AS bigint[])) OR link.to_channel_id = ANY (CAST(:channels AS bigint[])))
        AND (CAST(:kind AS text) IS NULL OR link.kind = :kind)
    ORDER BY link.is_linked DESC, link.count DESC, link.from_channel_id, link.to_channel_id LIMIT :most
"""
_SIGNS = """
    SELECT sign, CAST(sum(signed_count) AS bigint) AS messages, CAST(sum(message_count) AS bigint) AS n
    FROM mart.fct_channel_warning_sign
    WHERE CAST(:channels AS bigint[]) IS NULL OR channel_id = ANY (CAST(:channels AS bigint[]))
    GROUP BY sign ORDER BY 2 DESC, 1
"""


def board() -> Board:
    """The page."""
    channels = [
        words("display_title", "Channel", flex=2, minWidth=200, pinned="left"),
        words("status", "Status", maxWidth=110),
        number("message_count", "Messages"),
        percent("pump_message_ratio", "Pump messages"),
        number("announcement_count", "Announced"),
        percent("released_announcement_ratio", "Kept"),
        number("expired_announcement_count", "Nothing came"),
        number("event_count", "Pumps"),
        number("first_release_count", "First"),
        lasting("median_lag_seconds", "Lag behind the first"),
        percent("promised_median_ratio", "Promised gain", digits=0),
        percent("realised_median_ratio", "Peak gain", digits=0),
        percent("late_buyer_median_ratio", "Late buyer", digits=0),
        number("participants", "Members"),
        flag("is_vanished", "Vanished"),
        *times("last_event_at", "Last pump"),
    ]
    links = [
        words("from_title", "From", minWidth=190),
        words("to_title", "To", minWidth=190),
        words("kind", "How", maxWidth=130),
        number("count", "Occasions", maxWidth=110),
        number("first_count", "From was first", maxWidth=120),
        number("expected_count", "By chance", digits=1, maxWidth=110),
        lasting("median_lag_seconds", "Lag", maxWidth=110),
        flag("is_linked", "Beyond chance"),
        *times("last_at", "Last"),
    ]
    return Board(
        name="channels",
        title="Channels",
        controls=[select("channels-channels", "Channel"), select("channels-kind", "Link", multi=False, placeholder="all kinds")],
        body=[
            html.Div(id="channels-figures", className="pnd-figures"),
            chart("channels-activity", "Messages per month and label", height=340),
            html.Div(
                [
                    chart("channels-success", f"What became of announced pumps (first {BARS} channels)", height=420),
                    chart(
                        "channels-signs",
                        "Warning signs in messages",
                        height=420,
                        note="Share of messages with text that show them; one may show several.",
                    ),
                ],
                className="pnd-tiles",
            ),
            table(
                "channels-table",
                "Channels",
                channels,
                key="channel_id",
                note="Kept: announced pumps that were released, of those that are over. Late buyer: worth an hour later, bought 30 s late.",
            ),
            html.Div(
                [
                    chart(
                        "channels-network",
                        "Who hangs together",
                        height=480,
                        note=f"Links beyond chance of the {MOST_CHANNELS} most linked channels; a colour is a group of organisers. "
                        "Point at a dot for its name.",
                    ),
                    chart(
                        "channels-copies",
                        f"Who comes after whom (first {PARTNERS} links)",
                        height=480,
                        note="Occasions beyond chance; colours as beside.",
                    ),
                ],
                className="pnd-tiles",
            ),
            table("channels-links", "Copies, forwards and shared events", links, note=_LINKS_NOTE),
        ],
        inputs={"channels": Input("channels-channels", "value"), "kind": Input("channels-kind", "value")},
        outputs={
            "figures": Output("channels-figures", "children"),
            "choices": Output("channels-channels", "options"),
            "kinds": Output("channels-kind", "options"),
            **{name: Output(f"channels-{name}", "figure") for name in ("activity", "success", "signs", "network", "copies")},
            "table": Output("channels-table", "rowData"),
            "links": Output("channels-links", "rowData"),
        },
        fill=fill,
    )


def fill(marts: Marts, channels: list[str] | None = None, kind: str | None = None) -> dict[str, Any]:
    """The channels that were chosen (ids as text; None: all) and their links of a kind (None: all)."""
    chosen = [int(channel) for channel in channels or []] or None
    choices = marts.read(_CHOICES)
    known = marts.read(_CHANNELS, channels=chosen)
    links = marts.read(_LINKS, channels=chosen, kind=kind, most=MOST_LINKS)
    beyond = links.filter(pl.col("is_linked")) if links.height else links
    shown: dict[str, Any] = {}
    if choices.is_empty():
        shown["notice"] = f"There are no messages yet. `pnd import` reads an archive, `pnd listen` the channels live. {BUILD_HINT}"
    return shown | {
        "choices": options([(str(key), f"{label(title)}") for key, title in choices.iter_rows()]),
        "kinds": options([(name, name) for name in LINK_COLOURS]),
        "figures": figures(
            {
                "channels": f"{known.height:,}",
                "messages": total(known, "message_count"),
                "announced pumps": total(known, "announcement_count"),
                "organiser groups": f"{known['group_id'].drop_nulls().n_unique():,}" if known["group_id"].count() else "–",
            }
        ),
        "activity": _activity(marts.read(_ACTIVITY, channels=chosen)),
        "success": _success(known),
        "signs": _signs(marts.read(_SIGNS, channels=chosen)),
        "network": network(beyond),
        "copies": _copies(beyond),
        "table": records(known),
        "links": records(links.drop("from_group_id", "to_group_id")),
    }


def _activity(months: pl.DataFrame) -> go.Figure:
    if months.is_empty():
        return empty()
    long = months.unpivot(index="month", variable_name="label", value_name="messages").with_columns(pl.col("messages").cast(pl.Int64))
    return stacked(
        long.filter(pl.col("messages") > 0), x="month", y="messages", by="label", axes=("month (UTC)", "messages"), colours=LABEL_COLOURS
    )


def _success(known: pl.DataFrame) -> go.Figure:
    top = known.filter(pl.col("announcement_count") > 0).sort("announcement_count", "channel_id", descending=[True, False]).head(BARS)
    if top.is_empty():
        return empty("no pump was announced yet")
    rest = pl.col("announcement_count") - pl.col("cancelled_announcement_count") - pl.col("expired_announcement_count")
    parts = top.with_columns(rest.alias("rest"))
    keys, names = [str(key) for key in top["channel_id"]], [plain(title) for title in top["display_title"]]
    made = figure("announced pumps", barmode="stack")
    for column, name, colour in (
        ("rest", "released, or still open", COLOURS[2]),
        ("cancelled_announcement_count", "cancelled", COLOURS[1]),
        ("expired_announcement_count", "nothing came", COLOURS[6]),
    ):
        made.add_bar(x=parts[column].to_list(), y=keys, orientation="h", name=name, marker_color=colour, marker_line_width=0)
    made.update_yaxes(type="category", tickmode="array", tickvals=keys, ticktext=names, autorange="reversed")
    return made


def _signs(signs: pl.DataFrame) -> go.Figure:
    known = signs.filter(pl.col("n") > 0) if signs.height else signs
    if known.is_empty():
        return empty("no messages were read for warning signs yet")
    shares = known.with_columns((100 * pl.col("messages") / pl.col("n")).alias("share"), pl.col("sign").str.replace_all("_", " ")).sort(
        "share", "sign", descending=[True, False]
    )
    return ranked(shares, name="sign", value="share", axis=f"% (n={known['n'].max():,})")


def _copies(links: pl.DataFrame) -> go.Figure:
    if links.is_empty():
        return empty("no links between channels were found, or they were not computed yet")
    top = links.head(PARTNERS)
    names = [f"{label(a, 20)} → {label(b, 20)}" for a, b in top.select("from_title", "to_title").iter_rows()]
    pairs = top.with_columns(pl.Series("pair", names), pl.format("{}:{}:{}", "from_channel_id", "to_channel_id", "kind").alias("key"))
    colours = [LINK_COLOURS.get(kind, OTHER) for kind in pairs["kind"]]
    return ranked(pairs, name="pair", value="count", axis="occasions", ids="key", colours=colours, width=64)
