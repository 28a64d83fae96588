"""`pnd read-image`: the coins that pictures reveal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from pnd_dagster.cli.console import print_json, print_table, progress, say
from pnd_dagster.errors import SourceError

# What is read, and what a user would wonder about if it were passed over in silence: that is refused with a reason.
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".svg", ".heic", ".avif"})


def read_image(
    images: Annotated[Path, typer.Option(help="Folder of pictures, with the folders in it.")],
    output: Annotated[Path, typer.Option(help="CSV file to write: image_file, symbol, confidence, status, reason.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document on standard output.")] = False,
) -> None:
    """Read the coin that each picture reveals (the one in red among decoys). The symbol is empty where there is none; needs no network."""
    from pnd_dagster.events.symbols import load_known_symbols
    from pnd_dagster.images.reading import read_images
    from pnd_dagster.storage.dead_letters import clean_text

    if not images.is_dir():
        raise SourceError(f"{images}: no such folder")
    if not output.absolute().parent.is_dir():
        raise SourceError(f"{output}: the folder to write to does not exist")
    files = sorted(file for file in images.rglob("*") if file.suffix.lower() in _SUFFIXES and file.is_file())
    if not files:
        raise SourceError(f"{images}: no pictures in it ({', '.join(sorted(_SUFFIXES))})")
    rows: list[tuple[str, str | None, float | None, str, str | None]] = []
    with progress() as bar:
        task = bar.add_task("reading pictures", total=len(files))
        for reading in read_images(files, load_known_symbols()):
            name = clean_text(reading.file.relative_to(images).as_posix())
            rows.append((name, reading.symbol, reading.confidence, reading.status, reading.reason))
            bar.advance(task)
    schema = {"image_file": pl.String, "symbol": pl.String, "confidence": pl.Float64, "status": pl.String, "reason": pl.String}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    _write_csv(frame, output)
    counts = frame.group_by("status").len("pictures").sort("status")
    if as_json:
        print_json({"pictures": frame.height} | {"statuses": dict(counts.iter_rows())})
    else:
        print_table(counts, f"Read {frame.height} pictures")
        if not (refused := frame.filter(pl.col("status") == "refused")).is_empty():
            say(f"{refused.height} refused, the first: {refused['image_file'][0]}: {refused['reason'][0]}")


def _write_csv(frame: pl.DataFrame, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        frame.write_csv(temporary)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise SourceError(f"{path}: cannot be written: {error.strerror or error}") from error
