"""What the paper reports of its own backtest (Table III), to stand beside ours: other events, another exchange."""

from __future__ import annotations

import polars as pl

_ROWS = (
    (20, "both", 43, 0.5581, 0.7442),
    (20, "trades", 43, 0.4651, 0.5581),
    (20, "books", 43, 0.4419, 0.7209),
    (40, "both", 41, 0.4146, 0.6098),
    (40, "trades", 41, 0.2927, 0.3659),
    (40, "books", 41, 0.4146, 0.6098),
    (60, "both", 42, 0.1905, 0.2857),
    (60, "trades", 42, 0.0952, 0.1190),
    (60, "books", 42, 0.1667, 0.3095),
)

TABLE_III = pl.DataFrame(_ROWS, schema=["offset_seconds", "source", "paper_n", "paper_top5", "paper_top10"], orient="row").with_columns(
    pl.col("offset_seconds").cast(pl.Int64)
)
"""TOP5 and TOP10 among 51 coins on Poloniex, by offset and source; n as the shares imply it."""


def beside_paper(results: pl.DataFrame) -> pl.DataFrame:
    """TOP5 with its interval and TOP10 of each source, rule and offset, and the paper's of the same source and offset where it has one.

    Args:
        results: rows of a backtest.
    """
    return results.join(TABLE_III, on=["source", "offset_seconds"], how="left", maintain_order="left").select(
        "source",
        "rule",
        "offset_seconds",
        "n",
        "pool_size",
        *(pl.col(f"top{k}").round(3) for k in (1, 3, 5)),
        pl.format("{} to {}", pl.col("top5_low").round(2), pl.col("top5_high").round(2)).alias("top5 95%"),
        pl.col("top10").round(3),
        pl.col("mrr").round(3),
        pl.col("paper_top5").round(3),
        pl.col("paper_top10").round(3),
        "paper_n",
    )


def paper_columns() -> pl.DataFrame:
    """The paper's table as it is printed: a row per offset, its six columns, and n."""
    wide = TABLE_III.pivot(on="source", index=["offset_seconds", "paper_n"], values=["paper_top5", "paper_top10"])
    return wide.select(
        "offset_seconds",
        pl.col("paper_n").alias("n"),
        *(pl.col(f"paper_{top}_{source}").alias(f"{source} {top}") for source in ("both", "trades", "books") for top in ("top5", "top10")),
    )
