"""Models: how good the labels are, and where the ranking puts the pumped coin in the backtest, the paper's figures beside it."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import polars as pl
from dash import Input, Output, html

from dashboards.board import Board
from dashboards.charts import COLOURS, LABEL_COLOURS, OTHER, empty, figure, stacked
from dashboards.estimates import share_of
from dashboards.marts import BUILD_HINT, Marts
from dashboards.text import label, plain
from dashboards.widgets import chart, flag, lasting, number, options, percent, records, select, table, times, words

USUAL_RULE = "default"
MOST_CURVES = 8
MOST_WATCHES = 200
# The paper's classes by id, in the words of the colours.
_CLASSES = dict(enumerate(LABEL_COLOURS))

_QUALITY = """
    SELECT labeller_a, labeller_b, is_human_pair, message_count, agreement_ratio, kappa, kappa_low, kappa_high
    FROM mart.fct_label_quality ORDER BY is_human_pair DESC, kappa DESC NULLS LAST, labeller_a, labeller_b
"""
_LABELS = """
    SELECT labeller || ' ' || labeller_version AS labeller, label_id, sum(label_count) AS labels, sum(abstained_count) AS abstained
    FROM mart.fct_labeller_label GROUP BY 1, 2 ORDER BY 1, 2
"""
_BACKTEST = """
    SELECT data, is_synthetic, pool, source, rule, offset_seconds, n, pool_size, top1, top3, top5, top5_low, top5_high, top10, mrr,
        mean_percentile, paper_n, paper_top5, paper_top10
    FROM mart.fct_ranking_backtest
    WHERE (CAST(:data AS text[]) IS NULL OR data = ANY (CAST(:data AS text[])))
        AND (CAST(:sources AS text[]) IS NULL OR source = ANY (CAST(:sources AS text[])))
    ORDER BY data, pool, source, rule, offset_seconds
"""
# Where each past watch had the coin that was then released; a watch without a released coin has no result.
_WATCHES = """
    SELECT watch.watch_id, watch.started_at, watch.scheduled_at, watch.exchanges, watch.state, watch.symbol, watch.tick_count,
        watch.lag_p50_seconds, watch.detail, watch.event_id, result.*
    FROM mart.fct_watch AS watch
    LEFT JOIN (
        SELECT watch_id AS of, max(rank) FILTER (WHERE offset_seconds = 300) AS rank_300s,
            max(rank) FILTER (WHERE offset_seconds = 60) AS rank_60s, max(rank) FILTER (WHERE offset_seconds = 40) AS rank_40s,
            max(rank) FILTER (WHERE offset_seconds = 20) AS rank_20s, max(candidates) AS candidates
        FROM mart.fct_watch_result GROUP BY watch_id
    ) AS result ON result.of = watch.watch_id
    WHERE watch.state <> 'running' OR result.of IS NOT NULL ORDER BY watch.started_at DESC LIMIT :most
"""
_STANDING = """
    SELECT offset_seconds, CAST(count(*) AS integer) AS n, CAST(count(*) FILTER (WHERE rank <= 5) AS integer) AS first5,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY rank) AS median_rank
    FROM mart.fct_watch_result GROUP BY offset_seconds ORDER BY offset_seconds
"""
_CHOICES = "SELECT DISTINCT data, source, rule FROM mart.fct_ranking_backtest"


def board() -> Board:
    """The page."""
    quality = [
        words("labeller_a", "Labeller", flex=2),
        words("labeller_b", "Against", flex=2),
        flag("is_human_pair", "A human"),
        number("message_count", "Messages (n)"),
        percent("agreement_ratio", "Agreement"),
        number("kappa", "Kappa", digits=3),
        number("kappa_low", "95% from", digits=3),
        number("kappa_high", "to", digits=3),
    ]
    backtest = [
        words("data", "Data"),
        flag("is_synthetic", "Made up"),
        words("pool", "Against"),
        words("source", "Source", maxWidth=100),
        words("rule", "Rule"),
        number("offset_seconds", "Before (s)", maxWidth=100),
        number("n", "Events (n)", maxWidth=100),
        number("pool_size", "Coins", maxWidth=90),
        percent("top1", "TOP1", maxWidth=100),
        percent("top5", "TOP5", maxWidth=100),
        percent("top5_low", "95% from", maxWidth=100),
        percent("top5_high", "to", maxWidth=100),
        percent("paper_top5", "Paper TOP5", maxWidth=110),
        percent("top10", "TOP10", maxWidth=100),
        percent("paper_top10", "Paper TOP10", maxWidth=110),
        number("mrr", "MRR", digits=3, maxWidth=90),
    ]
    watches = [
        *times("started_at", "Started"),
        words("exchanges", "Exchanges"),
        words("symbol", "Released coin", cellRenderer="EventLink"),
        words("state", "Ended", maxWidth=120),
        *(number(f"rank_{before}s", f"Rank {before} s before", digits=None) for before in (300, 60, 40, 20)),
        number("candidates", "Coins ranked (n)"),
        number("tick_count", "Ticks"),
        lasting("lag_p50_seconds", "Median delay"),
        words("detail", "Why", minWidth=220),
    ]
    return Board(
        name="models",
        title="Models",
        controls=[
            select("models-data", "Data of the backtest"),
            select("models-sources", "Source"),
            select("models-rules", "Rule", placeholder=f"{USUAL_RULE}, if there"),
        ],
        body=[
            html.Div(
                [
                    chart(
                        "models-backtest",
                        "Ranking: is the pumped coin among the first five?",
                        height=380,
                        note="Bars are 95% intervals by event. The paper's events, exchange and coins are others: Table III.",
                    ),
                    chart(
                        "models-kappa",
                        "Labels: agreement beyond chance",
                        height=380,
                        note="Cohen's kappa, 95% interval over channels; 1 is perfect.",
                    ),
                ],
                className="pnd-tiles",
            ),
            table(
                "models-backtests",
                "Ranking backtest",
                backtest,
                note="TOP5: share of events whose coin is among the first five. MRR: mean of 1 / rank. Made-up markets prove no skill.",
            ),
            html.Div(
                [
                    chart(
                        "models-watched",
                        "Live watches: was the coin among the first five?",
                        height=340,
                        note="Bars are 95% intervals; a coin without a rank is not among them. Watches of pnd demo are of made-up markets.",
                    ),
                    chart("models-labels", "Labels by labeller", height=340),
                ],
                className="pnd-tiles",
            ),
            table(
                "models-watches",
                "How past watches ended",
                watches,
                note=f"The newest {MOST_WATCHES}. Rank 1 is the most suspected. Delay: from the end of 5 s of trading to its ranking.",
                key="watch_id",
            ),
            table("models-quality", "Agreement of labellers", quality),
        ],
        inputs={name: Input(f"models-{name}", "value") for name in ("data", "sources", "rules")},
        outputs={
            **{name: Output(f"models-{name}", "figure") for name in ("backtest", "kappa", "watched", "labels")},
            **{f"{name}_options": Output(f"models-{name}", "options") for name in ("data", "sources", "rules")},
            "backtests": Output("models-backtests", "rowData"),
            "watches": Output("models-watches", "rowData"),
            "quality": Output("models-quality", "rowData"),
        },
        fill=fill,
    )


def fill(marts: Marts, data: list[str] | None = None, sources: list[str] | None = None, rules: list[str] | None = None) -> dict[str, Any]:
    """Quality of labels and of the ranking, for the data, sources and rules that were chosen; None: all, of rules the usual one."""
    choices = marts.read(_CHOICES)
    known = set(choices["rule"]) if choices.height else set()
    wanted = rules or ([USUAL_RULE] if USUAL_RULE in known else sorted(known))
    tests = marts.read(_BACKTEST, data=data or None, sources=sources or None)
    tests = tests.filter(pl.col("rule").is_in(wanted)) if tests.height else tests
    quality = marts.read(_QUALITY)
    shown: dict[str, Any] = {}
    if choices.is_empty() and quality.is_empty():
        shown["notice"] = f"There are neither compared labels nor a backtest yet. `pnd backtest` ranks past pumps. {BUILD_HINT}"
    return shown | {
        **{
            f"{name}_options": options([(value, label(value)) for value in sorted(set(choices[column]))] if choices.height else [])
            for name, column in (("data", "data"), ("sources", "source"), ("rules", "rule"))
        },
        "backtest": _curves(tests),
        "kappa": _kappa(quality),
        "labels": _labels(marts.read(_LABELS)),
        "watched": _watched(marts.read(_STANDING)),
        "watches": records(marts.read(_WATCHES, most=MOST_WATCHES).drop("of")),
        "backtests": records(tests),
        "quality": records(quality),
    }


def _curves(tests: pl.DataFrame) -> go.Figure:
    if tests.is_empty():
        return empty("no backtest yet: `pnd backtest`")
    made = figure("seconds before the announced start", "TOP5 (%)")
    curves = tests.group_by("data", "pool", "source", "rule", "is_synthetic", maintain_order=True)
    for index, ((data, pool, source, rule, is_synthetic), curve) in enumerate(curves):
        if index == MOST_CURVES:
            break
        top5 = 100 * curve["top5"]
        made.add_scatter(
            x=curve["offset_seconds"].to_list(),
            y=top5.to_list(),
            error_y={
                "type": "data",
                "symmetric": False,
                "array": (100 * curve["top5_high"] - top5).to_list(),
                "arrayminus": (top5 - 100 * curve["top5_low"]).to_list(),
                "thickness": 1,
                "width": 3,
            },
            name=plain(f"{data}{' (made up)' if is_synthetic else ''}, {source}, {rule}, against {pool} (n={curve['n'].max()})", 80),
            mode="lines+markers",
            line={"color": COLOURS[index]},
        )
    paper = tests.drop_nulls("paper_top5").unique(["source", "offset_seconds"]).sort("source", "offset_seconds")
    for (source,), curve in paper.group_by("source", maintain_order=True):
        made.add_scatter(
            x=curve["offset_seconds"].to_list(),
            y=(100 * curve["paper_top5"]).to_list(),
            name=f"the paper, {source}",
            mode="lines+markers",
            marker={"symbol": {"both": "diamond", "trades": "square"}.get(str(source), "x"), "size": 9},
            line={"color": OTHER, "dash": "dash"},
        )
    made.update_xaxes(autorange="reversed")
    made.update_yaxes(range=[0, 105])
    made.update_layout(legend={"orientation": "h", "y": -0.2, "yanchor": "top"})
    return made


def _watched(standing: pl.DataFrame) -> go.Figure:
    if standing.is_empty():
        return empty("no watch has seen a coin released yet")
    shares = [share_of(first5, n) for first5, n in standing.select("first5", "n").iter_rows()]
    made = figure("seconds before the release", "TOP5 (%)", showlegend=False)
    made.add_bar(
        x=[f"{before} s (n={n:,})" for before, n in standing.select("offset_seconds", "n").iter_rows()],
        y=[100 * (share or 0) for share, _, _ in shares],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [100 * ((high or 0) - (share or 0)) for share, _, high in shares],
            "arrayminus": [100 * ((share or 0) - (low or 0)) for share, low, _ in shares],
            "thickness": 1.5,
            "width": 4,
            "color": OTHER,
        },
        marker_color=COLOURS[0],
        marker_line_width=0,
        customdata=["–" if rank is None else f"{rank:g}" for rank in standing["median_rank"]],
        hovertemplate="%{y:.1f} %, median rank %{customdata}<extra></extra>",
    )
    made.update_xaxes(autorange="reversed", type="category")
    made.update_yaxes(range=[0, 105])
    return made


def _kappa(quality: pl.DataFrame) -> go.Figure:
    known = quality.drop_nulls("kappa").head(12) if quality.height else quality
    if known.is_empty():
        return empty("no two labellers have labelled the same messages yet")
    names = [f"{plain(a, 30)}<br>{plain(b, 30)}" for a, b in known.select("labeller_a", "labeller_b").iter_rows()]
    keys = list(range(known.height))
    made = figure("kappa", showlegend=False)
    made.add_scatter(
        x=known["kappa"].to_list(),
        y=keys,
        mode="markers",
        marker={"size": 10, "color": [COLOURS[1] if human else COLOURS[0] for human in known["is_human_pair"]]},
        error_x={
            "type": "data",
            "symmetric": False,
            "color": OTHER,
            "array": (known["kappa_high"] - known["kappa"]).fill_null(0).to_list(),
            "arrayminus": (known["kappa"] - known["kappa_low"]).fill_null(0).to_list(),
            "width": 4,
        },
        customdata=[f"{name.replace('<br>', ' / ')}, n={n:,}" for name, n in zip(names, known["message_count"], strict=True)],
        hovertemplate="%{customdata}: %{x:.3f}<extra></extra>",
    )
    made.update_yaxes(tickmode="array", tickvals=keys, ticktext=names, autorange="reversed")
    made.update_xaxes(range=[min(0.0, float(known["kappa_low"].fill_null(0).min() or 0)), 1.02])  # pyright: ignore[reportArgumentType]
    return made


def _labels(labels: pl.DataFrame) -> go.Figure:
    if labels.is_empty():
        return empty("no labels yet")
    named = labels.select(
        pl.col("labeller").map_elements(plain, return_dtype=pl.String),
        pl.col("label_id").replace_strict(_CLASSES, default="other", return_dtype=pl.String).alias("class"),
        pl.col("labels").cast(pl.Int64),
    )
    return stacked(named, x="labeller", y="labels", by="class", axes=("", "messages"), colours=LABEL_COLOURS)
