"""`pnd import`, `classify`, `extract-events`: messages in files and in the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from pnd_dagster.cli.console import print_json, print_table, progress, say, write_parquet
from pnd_dagster.errors import SourceError
from pnd_dagster.settings import settings

JsonFlag = Annotated[bool, typer.Option("--json", help="Print a JSON document on standard output.")]
UTC_DATETIME = pl.Datetime("us", "UTC")


def import_(
    paths: Annotated[list[Path], typer.Argument(help="Parquet or JSONL archives, Telegram Desktop exports (result.json or its folder).")],
    as_json: JsonFlag = False,
) -> None:
    """Import messages into the database. Doing it again, or after a half-done import, changes nothing that is there."""
    from pnd_dagster.storage import connect
    from pnd_dagster.telegram.importing import expected_rows, import_file

    totals = {path: expected_rows(path) for path in paths}
    engine = connect(settings())
    results: list[dict[str, Any]] = []
    with progress() as bar:
        for path in paths:
            task = bar.add_task(path.name, total=totals[path])
            imported = import_file(engine, path, settings(), on_progress=lambda rows, task=task: bar.advance(task, rows))
            results.append(
                {"file": str(path), "rows": imported.row_count} | imported.written._asdict() | {"refused": imported.dead_letter_count}
            )
    if as_json:
        print_json(results)
        return
    print_table(pl.DataFrame(results), "Imported messages")
    if any(result["refused"] for result in results):
        say("refused inputs are in raw.dead_letters, each with its reason")


def classify(
    messages: Annotated[Path, typer.Option(help="Parquet file with channel_id, message_id, text.")],
    output: Annotated[Path, typer.Option(help="Parquet file to write: the input with label, confidence, is_abstained, model_version.")],
    model: Annotated[
        Path | None, typer.Option(help="Folder of another model than PND_MODEL_DIR, the promoted one, or the one that ships.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Label the messages of a file with the six classes; needs no database."""
    from pnd_dagster.messages.classifier import chosen_model_dir, label_messages, load_classifier

    frame = read_messages(messages, {"channel_id": pl.Int64(), "message_id": pl.Int64(), "text": pl.String()})
    frame = frame.drop([name for name in ("label", "confidence", "is_abstained", "model_version") if name in frame.columns])
    classifier = load_classifier(model or chosen_model_dir(settings()))
    with progress() as bar:
        task = bar.add_task("labelling", total=frame.height)
        labelled = label_messages(frame, classifier, progress=lambda done, all_: bar.update(task, completed=done, total=all_))
    write_parquet(labelled, output)
    version = f"{classifier.name}-{classifier.version}"
    counts = labelled.group_by("label").len("messages").sort("label")
    if as_json:
        print_json({"messages": labelled.height, "model_version": version, "labels": dict(counts.iter_rows())})
    else:
        from pnd_dagster.messages.labels import MessageLabel

        names = {int(label): label.display_name for label in MessageLabel}
        print_table(counts.with_columns(pl.col("label").replace_strict(names, return_dtype=pl.String)), f"Labels by {version}")


def extract_events(
    messages: Annotated[Path, typer.Option(help="Parquet file with channel_id, message_id, date (UTC), text, in any order.")],
    output: Annotated[Path, typer.Option(help="Parquet file to write: one row per release, event_id shared by one event.")],
    announcements: Annotated[Path | None, typer.Option(help="Parquet file to write the announcements to.")] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the pictures that the column image_file names; coins revealed in them are releases too.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Find the pumps in the messages of a file: labels, announcements, releases, events; needs no database."""
    from pnd_dagster.events.extraction import extract_events as extract
    from pnd_dagster.events.image_releases import read_pictures
    from pnd_dagster.messages.classifier import chosen_model_dir, label_messages, load_classifier

    required = {"channel_id": pl.Int64(), "message_id": pl.Int64(), "date": UTC_DATETIME, "text": pl.String()}
    if images is not None:
        if not images.is_dir():
            raise SourceError(f"{images}: no such folder")
        required["image_file"] = pl.String()
    frame = read_messages(messages, required).select(list(required))
    with progress() as bar:
        task = bar.add_task("labelling", total=frame.height)
        labelled = label_messages(
            frame, load_classifier(chosen_model_dir(settings())), progress=lambda done, all_: bar.update(task, completed=done, total=all_)
        )
        pictures: dict[str, int] = {}
        if images is not None:
            bar.update(task, description="reading pictures", completed=0, total=None)
            labelled, pictures = read_pictures(
                labelled, images, on_progress=lambda done, all_: bar.update(task, completed=done, total=all_)
            )
        bar.update(task, description="extracting")
        extraction = extract(labelled, as_of=datetime.now(UTC))
    columns = ("channel_id", "message_id", "released_at", "exchange", "symbol", "quote", "confidence", "event_id")
    write_parquet(extraction.releases.select(columns), output)
    if announcements is not None:
        write_parquet(extraction.announcements, announcements)
    counts = {name: part.height for name, part in extraction._asdict().items()}
    if as_json:
        print_json({"messages": frame.height} | counts | ({"pictures": pictures} if images is not None else {}))
    else:
        print_table(pl.DataFrame({"found": list(counts), "rows": list(counts.values())}), f"Found in {frame.height} messages")
        if images is not None:
            say("pictures: " + (", ".join(f"{count} {status}" for status, count in sorted(pictures.items())) or "none had to be read"))


def read_messages(path: Path, required: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """A Parquet file of messages; the required columns have their types, others are carried through.

    Raises:
        SourceError: the file cannot be read, or a column is missing or of another type; names file and column.
    """
    if not path.is_file():
        raise SourceError(f"{path}: no such file")
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceError(f"{path}: no readable Parquet file: {str(error).splitlines()[0]}") from error
    if missing := [name for name in required if name not in frame.columns]:
        raise SourceError(f"{path}: missing columns {', '.join(missing)} (it has {', '.join(frame.columns)})")
    for name, dtype in required.items():
        try:
            frame = frame.with_columns(_cast(frame[name], dtype))
        except pl.exceptions.PolarsError as error:
            raise SourceError(
                f"{path}: column {name} holds {frame.schema[name]}, which is no {dtype}: {str(error).splitlines()[0]}"
            ) from error
        if name not in ("text", "image_file") and (nulls := frame[name].null_count()):
            raise SourceError(f"{path}: column {name} has {nulls} empty values, the first in row {frame[name].is_null().arg_max() or 0}")
    return frame


def _cast(values: pl.Series, dtype: pl.DataType) -> pl.Series:
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is None:
        return values.dt.replace_time_zone("UTC").cast(dtype)
    if isinstance(values.dtype, pl.String) and isinstance(dtype, pl.Datetime):
        return values.str.to_datetime(time_unit="us", time_zone="UTC")
    return values.cast(dtype)
