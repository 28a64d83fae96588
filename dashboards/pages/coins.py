"""Coins: how little it takes to move each one's price, and the warning signs of the general guides."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import polars as pl
from dash import Input, Output, html

from dashboards.board import Board
from dashboards.charts import EXCHANGE_COLOURS, OTHER, empty, figure, ranked
from dashboards.marts import CONDUCT_HINT, Marts
from dashboards.text import label, plain
from dashboards.widgets import chart, figures, number, options, percent, records, select, table, words

MOST_ROWS = 1_000
MOST_FLAGS = 2_000

# Of each exchange its newest day: what was watched yesterday says little of who was watched last year.
_COINS = """
    WITH newest AS (SELECT exchange, max(as_of_date) AS as_of_date FROM mart.fct_coin_vulnerability GROUP BY exchange),
    flagged AS (SELECT exchange, max(as_of_date) AS as_of_date FROM mart.fct_coin_flag GROUP BY exchange),
    flag AS (
        SELECT instrument_id, string_agg(flag, ', ' ORDER BY flag) AS flags, array_agg(flag) AS names
        FROM mart.fct_coin_flag JOIN flagged USING (exchange, as_of_date) GROUP BY instrument_id
    )
    SELECT coin.instrument_id, coin.exchange, coin.symbol, coin.as_of_date, coin.book_count, coin.score, coin.rank,
        coin.usd_to_move_10pct, coin.is_lower_bound, coin.relative_spread, coin.depth_usd, coin.value_24h_usd, coin.market_cap_usd,
        coin.prior_pumps, flag.flags
    FROM mart.fct_coin_vulnerability AS coin JOIN newest USING (exchange, as_of_date)
    LEFT JOIN flag USING (instrument_id)
    WHERE (CAST(:exchanges AS text[]) IS NULL OR coin.exchange = ANY (CAST(:exchanges AS text[])))
        AND (CAST(:flags AS text[]) IS NULL OR flag.names && CAST(:flags AS text[]))
    ORDER BY coin.score DESC NULLS LAST, coin.exchange, coin.symbol, coin.instrument_id
"""
_FLAGS = """
    WITH newest AS (SELECT exchange, max(as_of_date) AS as_of_date FROM mart.fct_coin_flag GROUP BY exchange)
    SELECT flag.instrument_id, flag.exchange, flag.symbol, flag.flag, flag.reason, flag.as_of_date
    FROM mart.fct_coin_flag AS flag JOIN newest USING (exchange, as_of_date)
    WHERE (CAST(:exchanges AS text[]) IS NULL OR flag.exchange = ANY (CAST(:exchanges AS text[])))
        AND (CAST(:flags AS text[]) IS NULL OR flag.flag = ANY (CAST(:flags AS text[])))
    ORDER BY flag.exchange, flag.symbol, flag.flag, flag.instrument_id
"""
_CHOICES = """
    SELECT 'exchange' AS of, exchange AS value FROM mart.fct_coin_vulnerability GROUP BY exchange
    UNION SELECT 'exchange', exchange FROM mart.fct_coin_flag GROUP BY exchange
    UNION SELECT 'flag', flag FROM mart.fct_coin_flag GROUP BY flag
    ORDER BY of, value
"""


def board() -> Board:
    """The page."""
    coins = [
        words("symbol", "Coin", pinned="left", maxWidth=150),
        words("exchange", "Exchange"),
        number("score", "Score (0 to 1)", digits=2),
        number("rank", "Place on the exchange", digits=None),
        {
            "field": "usd_to_move_10pct",
            "headerName": "To move it 10% (USDT)",
            "valueFormatter": {"function": "atLeast(params.value, params.data.is_lower_bound)"},
            "type": "rightAligned",
            "minWidth": 120,
        },
        percent("relative_spread", "Spread", digits=2),
        number("depth_usd", "Depth, best 20 levels (USDT)", minWidth=120),
        number("value_24h_usd", "Traded in a day (USDT)", minWidth=110),
        number("market_cap_usd", "Market cap (USD)", minWidth=125),
        number("prior_pumps", "Earlier pumps"),
        words("flags", "Warning signs", minWidth=180),
        number("book_count", "Hours seen (n)"),
        words("as_of_date", "Day (UTC)", minWidth=110),
    ]
    flags = [
        words("symbol", "Coin", maxWidth=160),
        words("exchange", "Exchange", maxWidth=140),
        words("flag", "Warning sign", maxWidth=190),
        words("reason", "Why", flex=5, minWidth=320, wrapText=True, autoHeight=True),
        words("as_of_date", "Day (UTC)", minWidth=110, maxWidth=130),
    ]
    score = (
        "Score: mean of the coin's places on its exchange by spread, depth and cost of 10%; 1 is the most easily moved. "
        "≥: the 20 levels end before 10%. Hours seen: hours with an order book on that day."
    )
    return Board(
        name="coins",
        title="Coins",
        controls=[select("coins-exchanges", "Exchange"), select("coins-flags", "Warning sign")],
        body=[
            html.Div(id="coins-figures", className="pnd-figures"),
            html.Div(
                [
                    chart(
                        "coins-cost",
                        "What it takes to move a coin by 10%",
                        height=380,
                        note="Each dot is a coin; newest day of each exchange.",
                    ),
                    chart(
                        "coins-signs", "Coins by warning sign", height=380, note="Signs of the general guides: reasons to look, no proof."
                    ),
                ],
                className="pnd-tiles",
            ),
            table("coins-table", "Most easily moved coins", coins, note=score, key="instrument_id"),
            table(
                "coins-reasons", "Warning signs in words", flags, note=f"The first {MOST_FLAGS:,} at most; choose a sign to see its coins."
            ),
        ],
        inputs={name: Input(f"coins-{name}", "value") for name in ("exchanges", "flags")},
        outputs={
            "figures": Output("coins-figures", "children"),
            **{name: Output(f"coins-{name}", "figure") for name in ("cost", "signs")},
            **{name: Output(f"coins-{name}", "rowData") for name in ("table", "reasons")},
            **{f"{name}_options": Output(f"coins-{name}", "options") for name in ("exchanges", "flags")},
        },
        fill=fill,
    )


def fill(marts: Marts, exchanges: list[str] | None = None, flags: list[str] | None = None) -> dict[str, Any]:
    """Coins of the exchanges, with any of the warning signs, that were chosen; None: all."""
    choices = marts.read(_CHOICES)
    coins = marts.read(_COINS, exchanges=exchanges or None, flags=flags or None)
    signs = marts.read(_FLAGS, exchanges=exchanges or None, flags=flags or None)
    counts = signs.group_by("flag").agg(pl.len().alias("coins")).sort("coins", "flag", descending=[True, False])
    shown: dict[str, Any] = {}
    if choices.is_empty():
        shown["notice"] = f"No coin was judged yet: books are needed (`pnd collect`). {CONDUCT_HINT}"
    cost = coins["usd_to_move_10pct"].drop_nulls().drop_nans()
    return shown | {
        "exchanges_options": options([(value, label(value)) for of, value in choices.iter_rows() if of == "exchange"]),
        "flags_options": options([(value, label(value)) for of, value in choices.iter_rows() if of == "flag"]),
        "figures": figures(
            {
                "coins with books": f"{coins.height:,}",
                f"median to move one by 10%, USDT (n={cost.len():,})": f"{cost.median():,.0f}" if cost.len() else "–",
                "pumped before": f"{(coins['prior_pumps'] > 0).sum():,}",
                "coins with a warning sign": f"{signs['instrument_id'].n_unique():,}",
            }
        ),
        "cost": _cost(coins),
        "signs": ranked(counts, name="flag", value="coins", axis="coins"),
        "table": records(coins.head(MOST_ROWS)),
        "reasons": records(signs.head(MOST_FLAGS)),
    }


def _cost(coins: pl.DataFrame) -> go.Figure:
    known = coins.filter(pl.col("usd_to_move_10pct").is_finite(), pl.col("usd_to_move_10pct") > 0, pl.col("value_24h_usd") > 0)
    if known.is_empty():
        return empty("no books with trades on that day")
    made = figure("value traded that day (USDT)", "to move it by 10% (USDT)")
    for (exchange,), part in known.group_by("exchange", maintain_order=True):
        made.add_scatter(
            x=part["value_24h_usd"].to_list(),
            y=part["usd_to_move_10pct"].to_list(),
            name=plain(f"{exchange} (n={part.height:,})"),
            mode="markers",
            marker={"size": 7, "opacity": 0.7, "color": EXCHANGE_COLOURS.get(str(exchange), OTHER)},
            text=[plain(symbol) for symbol in part["symbol"]],
            hovertemplate="%{text}: %{y:,.0f} USDT for 10%, %{x:,.0f} USDT traded<extra></extra>",
        )
    made.update_xaxes(type="log", dtick=1)
    made.update_yaxes(type="log", dtick=1)
    made.update_layout(showlegend=True)
    return made
