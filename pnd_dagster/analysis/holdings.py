"""What the platform holds: its data sources (paper, Table I) and the labels of its messages (Table II)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.analysis.paper_values import TABLE_I, TABLE_I_RANGES, TABLE_II
from pnd_dagster.analysis.results import Comparison, Result, beside_paper, compared_share
from pnd_dagster.analysis.sources import Sources, reading
from pnd_dagster.errors import SourceError
from pnd_dagster.messages.labelling import HUMAN, LANGUAGE_MODEL
from pnd_dagster.messages.labels import MessageLabel
from pnd_dagster.tables import (
    COINCODEX_DAILY,
    COINMARKETCAP_SNAPSHOTS,
    LUNARCRUSH_SNAPSHOTS,
    MESSAGE_LABELS,
    OHLCV_DAILY,
    ORDER_BOOK_METRICS,
    PUMP_EVENTS,
    TELEGRAM_CHANNELS,
    TELEGRAM_MESSAGES,
    TRADE_METRICS,
)


class _Source(NamedTuple):
    """A table, what it is about (counted), and its time."""

    table: sa.Table
    things: str
    thing: Any
    at: Any


_SOURCES = (
    _Source(TELEGRAM_CHANNELS, "channels", TELEGRAM_CHANNELS.c.channel_id, TELEGRAM_CHANNELS.c.discovered_at),
    _Source(TELEGRAM_MESSAGES, "channels", TELEGRAM_MESSAGES.c.channel_id, TELEGRAM_MESSAGES.c.occurred_at),
    _Source(PUMP_EVENTS, "symbols", PUMP_EVENTS.c.symbol, PUMP_EVENTS.c.released_at),
    _Source(LUNARCRUSH_SNAPSHOTS, "coins", LUNARCRUSH_SNAPSHOTS.c.coin_id, LUNARCRUSH_SNAPSHOTS.c.snapshot_at),
    _Source(COINMARKETCAP_SNAPSHOTS, "coins", COINMARKETCAP_SNAPSHOTS.c.coin_id, COINMARKETCAP_SNAPSHOTS.c.snapshot_at),
    _Source(COINCODEX_DAILY, "coins", COINCODEX_DAILY.c.coin_id, COINCODEX_DAILY.c.day),
    _Source(OHLCV_DAILY, "pairs", sa.tuple_(OHLCV_DAILY.c.exchange, OHLCV_DAILY.c.symbol), OHLCV_DAILY.c.day),
    _Source(ORDER_BOOK_METRICS, "instruments", ORDER_BOOK_METRICS.c.instrument_id, ORDER_BOOK_METRICS.c.bucket_end_at),
    _Source(TRADE_METRICS, "instruments", TRADE_METRICS.c.instrument_id, TRADE_METRICS.c.bucket_end_at),
)
_HOLDING = {"source": pl.String, "rows": pl.Int64, "things": pl.Int64, "of": pl.String, "first_day": pl.Date, "last_day": pl.Date}


def data_sources(sources: Sources) -> Result:
    """Table I: rows, coins and date range of every source, files included; the paper's beside."""
    parts = [_held(sources, source) for source in _SOURCES] + [_file(path) for path in sources.files if path and path.suffix == ".parquet"]
    table = pl.concat(parts)
    paper = [(name, *TABLE_I.get(name, (None, None, None, None)), TABLE_I_RANGES.get(name)) for name in table["source"]]
    columns = {
        "source": pl.String,
        "paper_rows": pl.Int64,
        "paper_coins": pl.Int64,
        "paper_first_day": pl.String,
        "paper_last_day": pl.String,
    }
    beside = table.join(pl.DataFrame(paper, schema=columns | {"paper_says": pl.String}, orient="row"), on="source", maintain_order="left")
    validated = sources.select(sa.select(sa.func.count().label("n")).where(TELEGRAM_CHANNELS.c.status == "validated"))["n"][0]
    empty = table.filter(pl.col("rows") == 0)["source"].to_list()
    notes = [f"{validated:,} channels are validated by a human; the paper's 43 are"]
    return Result({"sources": beside}, {}, notes + ([f"empty: {', '.join(empty)}"] if empty else []))


def _held(sources: Sources, source: _Source) -> pl.DataFrame:
    frame = sources.select(
        sa.select(
            sa.func.count().label("rows"),
            sa.func.count(source.thing.distinct()).label("things"),
            sa.cast(sa.func.min(source.at), sa.Date).label("first_day"),
            sa.cast(sa.func.max(source.at), sa.Date).label("last_day"),
        ).select_from(source.table)
    )
    named = frame.with_columns(source=pl.lit(f"{source.table.schema}.{source.table.name}"), of=pl.lit(source.things))
    return named.select(pl.col(name).cast(dtype) for name, dtype in _HOLDING.items())


def _file(path: Path) -> pl.DataFrame:
    """A file's rows, coins and days, by the first column there is for each."""
    with reading(path):
        return _counted(path, pl.scan_parquet(path))


def _counted(path: Path, file: pl.LazyFrame) -> pl.DataFrame:
    names = file.collect_schema().names()
    if not names:
        raise SourceError(f"{path}: has no columns")
    thing = next((name for name in ("coin", "symbol", "event_id") if name in names), names[0])
    at = next((name for name in ("day", "timestamp", "timestamp_ms") if name in names), None)
    day = pl.lit(None) if at is None else pl.from_epoch(at, "ms") if at == "timestamp_ms" else pl.col(at)
    counted = file.select(
        rows=pl.len(), things=pl.col(thing).n_unique(), first_day=day.min().cast(pl.Date), last_day=day.max().cast(pl.Date)
    ).collect()
    named = counted.with_columns(source=pl.lit(path.name), of=pl.lit(f"{thing}s"))
    return named.select(pl.col(name).cast(dtype) for name, dtype in _HOLDING.items())


def label_distribution(sources: Sources) -> Result:
    """Table II: messages by label, a human's before a language model's before the classifier's newest; the paper's beside."""
    counts = sources.select(_label_counts())
    every = {(kind, label): count for kind, label, count in counts.select("labelled_by", "label", "messages").iter_rows()}
    total, all_paper = sum(every.values()), sum(TABLE_II.values())
    rows, comparisons = list[dict[str, object]](), list[Comparison]()
    for label in MessageLabel:
        kinds = {f"by_{kind}": every.get((kind, label.value), 0) for kind in ("human", "llm", "model")}
        messages, paper = sum(kinds.values()), TABLE_II[label.display_name]
        share = messages / total if total else None
        rows.append({"label": label.display_name, "messages": messages, "share": share, **kinds, "paper_messages": paper})
        comparisons.append(compared_share(f"share of {label.display_name}", messages, total, paper / all_paper, "Table II"))
    columns = {"label": pl.String, "messages": pl.Int64, "share": pl.Float64, **dict.fromkeys(("by_human", "by_llm", "by_model"), pl.Int64)}
    table = pl.DataFrame(rows, schema=columns | {"paper_messages": pl.Int64})
    notes = ["the paper's are 21,092 messages of pump channels that GPT-4o labelled, after cleaning; ours are all messages of all channels"]
    if total:
        notes.append("intervals are those of counting; the classifier's own errors (docs/quality.md) are larger")
    else:
        notes.append("core.message_labels is empty: `pnd import` messages, then `pnd run`")
    return Result({"labels": table, "paper": beside_paper(comparisons)}, {}, notes)


def _label_counts() -> sa.Select[Any]:
    """labelled_by, label, messages: of each revision the best labeller's newest label."""
    label = MESSAGE_LABELS.c
    kind = sa.case((label.labeller.startswith(HUMAN), "human"), (label.labeller.startswith(LANGUAGE_MODEL), "llm"), else_="model")
    rank = sa.case((kind == "human", 0), (kind == "llm", 1), else_=2)
    chosen = (
        sa.select(kind.label("labelled_by"), label.label)
        .distinct(label.channel_id, label.message_id, label.revision_id)
        .where(sa.or_(kind == "model", ~label.is_abstained))
        .order_by(label.channel_id, label.message_id, label.revision_id, rank, label.labelled_at.desc())
        .subquery()
    )
    return sa.select(chosen.c.labelled_by, chosen.c.label, sa.func.count().label("messages")).group_by(chosen.c.labelled_by, chosen.c.label)
