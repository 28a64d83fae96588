"""From untrusted input to a `MessageBatch`: shared by all file formats, whether they come as columns or as JSON objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pnd_dagster.storage.dead_letters import Refusal, clean_text, dead_letters
from pnd_dagster.telegram.batches import ROW_SCHEMA, MessageBatch, batch_of, empty_batch
from pnd_dagster.telegram.coercion import REQUIRED, check_rows

KEPT = " (left out, the message is kept)"


class Origin(NamedTuple):
    """Where and when a batch was read."""

    path: Path
    source: str
    ingested_at: datetime
    observed_at: datetime


def batch_of_columns(frame: pl.DataFrame, locations: Sequence[str], origin: Origin, *, refusals: Sequence[Refusal] = ()) -> MessageBatch:
    """The batch of a frame whose columns have names of `ROW_SCHEMA` and any type.

    Args:
        frame: rows as read.
        locations: where each row stands in the file, for dead letters.
        origin: the file.
        refusals: what was refused already.

    Raises:
        SourceError: a column has a type that can never be read.
    """
    if frame.is_empty():
        return empty_batch(dead_letters=dead_letters(origin.path.name, refusals, refused_at=origin.ingested_at))
    rows, problems = check_rows(frame, now=origin.ingested_at, where=str(origin.path))
    found = [
        Refusal(str(locations[row]), reason if is_fatal else reason + KEPT, frame.row(row, named=True))
        for row, reason, is_fatal in problems.iter_rows()
    ]
    return batch_of(
        rows.drop("row"),
        source=origin.source,
        ingested_at=origin.ingested_at,
        observed_at=origin.observed_at,
        refused=dead_letters(origin.path.name, [*refusals, *found], refused_at=origin.ingested_at),
        row_count=frame.height,
    )


def batch_of_records(
    records: Sequence[tuple[str, Mapping[str, Any]]], columns: Mapping[str, str], origin: Origin, *, refusals: Sequence[Refusal] = ()
) -> MessageBatch:
    """The batch of JSON objects.

    Args:
        records: where each object stands, and the object.
        columns: for names of `ROW_SCHEMA` the objects' own names; other members are ignored and appear nowhere.
        origin: the file.
        refusals: what was refused already, one per input row.
    """
    is_kept = [True] * len(records)
    misfits: list[Refusal] = []
    series: dict[str, pl.Series] = {}
    for ours, theirs in columns.items():
        accepted = _ACCEPTED.get(str(ROW_SCHEMA[ours]), _NUMBER_OR_TEXT)
        values = [record.get(theirs) for _, record in records]
        if not set(map(type, values)) <= accepted:
            for row, value in enumerate(values):
                if type(value) not in accepted:
                    location, record = records[row]
                    is_kept[row] = is_kept[row] and ours not in REQUIRED
                    reason = f"{ours} has the wrong type: {type(value).__name__}{'' if ours in REQUIRED else KEPT}"
                    misfits.append(Refusal(location, reason, {name: record.get(name) for name in columns.values()}))
                    values[row] = None
        series[ours] = _series(ours, values)
    locations = [location for (location, _), keep in zip(records, is_kept, strict=True) if keep]
    frame = pl.DataFrame(series).filter(pl.Series(is_kept, dtype=pl.Boolean))
    batch = batch_of_columns(frame, locations, origin, refusals=[*refusals, *misfits])
    return batch._replace(row_count=len(records) + len(refusals))


def new_channels(channels: pl.DataFrame, titles: dict[int, str | None]) -> pl.DataFrame:
    """The rows of `channels` that are new or have a new title since the last call with the same `titles`, which it brings up to date."""
    is_new = [
        channel_id not in titles or (title is not None and titles[channel_id] != title)
        for channel_id, title in channels.select("channel_id", "title").iter_rows()
    ]
    chosen = channels.filter(pl.Series(is_new, dtype=pl.Boolean))
    titles.update(chosen.select("channel_id", "title").iter_rows())
    return chosen


# What the values of a column may be in JSON. True and False are numbers to Python, but no ids and no counts.
_NUMBER_OR_TEXT = {type(None), int, float, str}
_ACCEPTED = {"Int64": _NUMBER_OR_TEXT, "Boolean": {type(None), bool, int, str}, "String": {type(None), str}}


def _series(name: str, values: list[Any]) -> pl.Series:
    """A column of Python values: numbers stay numbers when all are, else everything is text for the coercion to read."""
    kinds = set(map(type, values)) - {type(None)}
    if kinds == {bool}:
        return pl.Series(name, values, dtype=pl.Boolean)
    if kinds == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return pl.Series(name, values, dtype=pl.Int64)
    if not kinds <= {str}:
        values = [None if value is None else str(value) for value in values]
    try:
        return pl.Series(name, values, dtype=pl.String)
    except UnicodeEncodeError:
        # Lone surrogates, which JSON can write and nothing else can hold.
        return pl.Series(name, [None if value is None else clean_text(value) for value in values], dtype=pl.String)
