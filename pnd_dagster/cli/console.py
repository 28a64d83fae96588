"""What the commands share to talk to a person or a program."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

OUT = Console()
ERR = Console(stderr=True)


def fail(message: str) -> None:
    """One line on standard error."""
    ERR.print(f"[bold red]error:[/] {escape(' '.join(message.split()))}", soft_wrap=True, highlight=False)


def say(message: str) -> None:
    """One line for a person, on standard error so that standard output stays clean for programs."""
    ERR.print(message, soft_wrap=True, highlight=False)


def print_json(value: Any) -> None:
    """A JSON document on standard output."""
    print(json.dumps(value, default=str))  # noqa: T201 - rich would wrap it


def print_table(frame: pl.DataFrame, title: str) -> None:
    """A frame as a table; the text in it is shown as it is, markup and control characters have no effect."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for name, dtype in frame.schema.items():
        is_time = isinstance(dtype, pl.Datetime)
        table.add_column(name, justify="right" if dtype.is_numeric() else "left", overflow="fold", no_wrap=is_time)
    for row in frame.iter_rows():
        table.add_row(*(_cell(value) for value in row))
    OUT.print(table)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}"
    if hasattr(value, "strftime"):
        return value.strftime("%Y-%m-%d %H:%M")  # pyright: ignore[reportAttributeAccessIssue]
    return escape("".join(letter for letter in str(value) if letter.isprintable()))


@contextmanager
def progress() -> Generator[Progress]:
    """A progress bar on standard error; silent where that is no terminal."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=ERR, disable=not ERR.is_terminal) as bar:
        yield bar


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Writes beside the target, then renames: a reader never sees half a file.

    Raises:
        SourceError: the folder cannot be written to.
    """
    from pnd_dagster.errors import SourceError

    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        frame.write_parquet(temporary)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise SourceError(f"{path}: cannot be written: {error.strerror or error}") from error
