"""What an analysis gives: tables, figures, remarks; and how they are written down."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pnd_dagster.analysis import intervals
from pnd_dagster.storage.files import write

_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#|!~$&])")


class Comparison(NamedTuple):
    """One number beside the paper's.

    Attributes:
        what: which number, with its unit.
        ours: our value; None where the data say nothing.
        low, high: its 95% interval, where it is an estimate.
        n: what it stands on.
        paper: the paper's value.
        where: table, figure or section of the paper.
    """

    what: str
    ours: float | None
    low: float | None
    high: float | None
    n: int | None
    paper: float | None
    where: str


def compared_share(what: str, count: int, n: int, paper: float | None, where: str) -> Comparison:
    """count / n with its interval (Wilson) beside the paper's; nothing for n = 0."""
    return Comparison(what, count / n if n else None, *intervals.of_share(count, n), n, paper, where)


_SCHEMA = {"what": pl.String, **dict.fromkeys(("ours", "low", "high"), pl.Float64), "n": pl.Int64, "paper": pl.Float64, "where": pl.String}


def beside_paper(rows: list[Comparison]) -> pl.DataFrame:
    """A row per number: what, ours, low, high, n, paper, where."""
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


class Result(NamedTuple):
    """What an analysis found.

    Attributes:
        tables: by name, the one to read first in front.
        figures: PNG images by name.
        notes: what a reader should know, a line each: on which data it stands, what is missing and how to get it.
    """

    tables: dict[str, pl.DataFrame]
    figures: dict[str, bytes]
    notes: list[str]


def as_markdown(frame: pl.DataFrame, rows: int = 25) -> str:
    """The first rows as a Markdown table; whatever stands in a cell is shown as text, and has no effect."""
    if not frame.width:
        return "(no columns)"
    head = f"| {' | '.join(escaped(name) for name in frame.columns)} |"
    rule = f"|{'|'.join('---:' if dtype.is_numeric() else '---' for dtype in frame.dtypes)}|"
    lines = [f"| {' | '.join(_cell(value) for value in row)} |" for row in frame.head(rows).iter_rows()]
    more = [f"\n{frame.height - rows:,} more rows are in the file."] if frame.height > rows else []
    return "\n".join([head, rule, *(lines or [f"| {' | '.join(['-'] * frame.width)} |"]), *more])


def escaped(text: str) -> str:
    """Text as Markdown shows it letter by letter: no markup, HTML, link, line break or control character of it has an effect."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return re.sub(r"(?i)\b(https?|ftp|mailto|www)([:.])", r"\1\\\2", _SPECIAL.sub(_entity, printable))


def _entity(match: re.Match[str]) -> str:
    return {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(match[1], f"\\{match[1]}")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if hasattr(value, "strftime"):
        is_time = hasattr(value, "hour")
        return value.strftime("%Y-%m-%d %H:%M" if is_time else "%Y-%m-%d")  # pyright: ignore[reportAttributeAccessIssue]
    return escaped(str(value)[:120])


def export(result: Result, folder: Path, stem: str) -> list[Path]:
    """Writes each table as Parquet and each figure as PNG, `STEM.NAME`, whole or not at all; says which files.

    Raises:
        SourceError: the folder cannot be written to.
    """
    return write(folder, ((f"{stem}.{name}", content) for name, content in (*result.tables.items(), *result.figures.items())))
