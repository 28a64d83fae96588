"""Tables and figures as Parquet and PNG files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from pnd_dagster.errors import SourceError


def writable(folder: Path) -> Path:
    """Makes the folder where it is not there, and makes sure that files can be written: better before minutes of training than after.

    Raises:
        SourceError: they cannot.
    """
    trial = folder / f".trial.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def write(folder: Path, contents: Iterable[tuple[str, pl.DataFrame | bytes]]) -> list[Path]:
    """Writes tables as Parquet and figures as PNG, each whole or not at all. Returns what was written.

    Args:
        folder: made where it is not there.
        contents: file names without ending, each with its table or image.

    Raises:
        SourceError: the folder cannot be written to.
    """
    written: list[Path] = []
    temporary = writable(folder) / f".temporary.{os.getpid()}"
    try:
        for name, content in contents:
            if isinstance(content, bytes):
                path = folder / f"{name}.png"
                temporary.write_bytes(content)
            else:
                path = folder / f"{name}.parquet"
                content.write_parquet(temporary)
            temporary.replace(path)
            written.append(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _unwritable(folder, error) from error
    return written


def _unwritable(folder: Path, error: OSError) -> SourceError:
    return SourceError(f"{folder}: cannot be written: {error.strerror or error}")
