"""Labelled messages from the published label files and from our own, as one frame.

Files in one folder, all optional but the first: `author_labels.parquet` (human labels of the paper's first author's group),
`wild_labels.csv` (another reader's labels of other channels), `synthetic_labels_authors.csv` (written by a language model).
`reader_labels.csv` comes with this package: ids and labels of 6,907 messages, each read alone by a language model by the conventions of
the first; where `telegram_messages.parquet` is in the folder, their texts are found there, as are those of the wild labels.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from pnd_dagster.errors import SourceError
from pnd_dagster.messages.normalise import normalise_many

READER_LABELS = Path(__file__).with_name("reader_labels.csv")
_ARCHIVE = "telegram_messages.parquet"
EXAMPLE_SCHEMA = {"channel_id": pl.Int64, "message_id": pl.Int64, "text": pl.String, "label": pl.Int16, "is_sure": pl.Boolean}


def read_examples(data_dir: Path) -> pl.DataFrame:
    """All labelled messages under `data_dir`.

    Returns:
        source (`authors`, `wild`, `reader`, `synthetic`), channel_id and message_id (NULL for synthetic ones), text, label,
        is_sure (False where the reader doubted), normalised, and near_duplicate_key: equal for texts that differ only in case, digits
        and white space.

    Raises:
        SourceError: a file cannot be read, lacks a column, or holds a label that is none of the six.
    """
    frames = [_read("authors", data_dir / "author_labels.parquet", _authors)]
    if (data_dir / "wild_labels.csv").exists():
        frames.append(_read("wild", data_dir / "wild_labels.csv", _labels_of_archive))
    if (data_dir / _ARCHIVE).exists():
        frames.append(_read("reader", READER_LABELS, lambda path: _labels_of_archive(path, data_dir)))
    if (data_dir / "synthetic_labels_authors.csv").exists():
        frames.append(_read("synthetic", data_dir / "synthetic_labels_authors.csv", _synthetic))
    return with_keys(pl.concat(frames))


def with_keys(examples: pl.DataFrame) -> pl.DataFrame:
    """`examples` with the columns normalised and near_duplicate_key, from text."""
    normalised = pl.Series("normalised", normalise_many(examples["text"]), dtype=pl.String)
    key = pl.col("normalised").str.to_lowercase().str.replace_all(r"\d", "0").str.replace_all(r"\s+", " ").str.strip_chars()
    return examples.with_columns(normalised).with_columns(near_duplicate_key=key)


def _read(source: str, path: Path, reader: Callable[[Path], pl.DataFrame]) -> pl.DataFrame:
    try:
        frame = reader(path).select(*(pl.col(name).cast(dtype) for name, dtype in EXAMPLE_SCHEMA.items()))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"{path}: {str(error).splitlines()[0]}") from error
    if frame["label"].is_null().any() or not frame["label"].is_between(0, 5).all():
        raise SourceError(f"{path}: column label holds something other than 0 to 5")
    return frame.filter(pl.col("text").is_not_null()).select(pl.lit(source).alias("source"), *EXAMPLE_SCHEMA)


def _authors(path: Path) -> pl.DataFrame:
    # Some rows kept only the authors' own normalised text.
    return pl.read_parquet(path).with_columns(text=pl.coalesce("text", "text_normalized_by_authors"), is_sure=pl.lit(True))


def _labels_of_archive(path: Path, data_dir: Path | None = None) -> pl.DataFrame:
    labels = pl.read_csv(path).with_columns(is_sure=pl.col("confident") == 1)
    messages = pl.scan_parquet((data_dir or path.parent) / _ARCHIVE).select("channel_id", "message_id", "text")
    return labels.lazy().join(messages, on=["channel_id", "message_id"], how="left", maintain_order="left").collect()


def _synthetic(path: Path) -> pl.DataFrame:
    return pl.read_csv(path).select("label", text="message", channel_id=pl.lit(None), message_id=pl.lit(None), is_sure=pl.lit(True))
