"""Pictures of stored messages are read once per version of the reader, and what was found is kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.images import store
from pnd_dagster.images.reading import ImageReading
from pnd_dagster.images.store import read_new_images, reading_rows, unread
from pnd_dagster.settings import Settings
from pnd_dagster.storage import read_frame, upsert
from pnd_dagster.tables import IMAGE_READINGS, TELEGRAM_MESSAGES

START = datetime(2024, 3, 1, tzinfo=UTC)


def store_messages(engine: sa.Engine, *media_files: str | None, is_deleted: bool = False) -> None:
    rows = [
        {
            "channel_id": 5,
            "message_id": number,
            "revision_id": number + 100 * is_deleted,
            "occurred_at": START + timedelta(hours=number),
            "ingested_at": START,
            "is_deleted": is_deleted,
            "kind": "message",
            "text": "",
            "media_file": name,
            "source": "archive",
        }
        for number, name in enumerate(media_files)
    ]
    upsert(engine, TELEGRAM_MESSAGES, pl.DataFrame(rows))


def stored(engine: sa.Engine) -> list[tuple[str, str, str | None]]:
    reading = IMAGE_READINGS.c
    return read_frame(engine, sa.select(reading.media_file, reading.status, reading.symbol).order_by(reading.media_file)).rows()


def test_pictures_are_read_once_and_those_that_come_later_are_read_later(
    engine: sa.Engine, settings: Settings, logo: bytes, known_symbols: frozenset[str], save_reveal: Callable[..., Path]
) -> None:
    media = settings.media_dir
    media.mkdir(parents=True)
    save_reveal("NEBL").rename(media / "1.jpg")
    (media / "2.png").write_bytes(logo)
    (media / "4.jpg").write_text("no picture")
    (media.parent / "secret.jpg").write_bytes(logo)
    store_messages(engine, None, "1.jpg", "2.png", "3.jpg", "4.jpg", "../secret.jpg", "1.jpg")
    steps: list[tuple[int, int]] = []
    first = read_new_images(engine, settings, known_symbols, on_progress=lambda done, all_: steps.append((done, all_)))
    assert first.counts == {"reveal": 1, "none": 1, "refused": 1}
    assert first.written.inserted == 3
    assert steps == [(3, 3)]
    assert stored(engine) == [("1.jpg", "reveal", "NEBL"), ("2.png", "none", None), ("4.jpg", "refused", None)]
    (media / "3.jpg").write_bytes(b"")
    assert read_new_images(engine, settings, known_symbols).counts == {"refused": 1}
    assert read_new_images(engine, settings, known_symbols).counts == {}


def test_the_latest_pictures_come_first_and_a_limit_leaves_the_rest_for_later(
    engine: sa.Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.media_dir.mkdir(parents=True)
    names = [f"{number}.jpg" for number in range(5)]
    for name in names:
        (settings.media_dir / name).touch()
    store_messages(engine, *names)
    monkeypatch.setattr(store, "read_images", lambda files, known: (ImageReading(file, "0", "none") for file in files))
    read_new_images(engine, settings, frozenset(), limit=2)
    assert [name for name, _, _ in stored(engine)] == ["3.jpg", "4.jpg"]
    read_new_images(engine, settings, frozenset(), window=(START, START + timedelta(hours=1)))
    assert [name for name, _, _ in stored(engine)] == ["0.jpg", "3.jpg", "4.jpg"]
    monkeypatch.setattr(store, "reader_version", lambda: "a later version")
    assert read_frame(engine, unread())["media_file"].to_list() == ["4.jpg", "3.jpg", "2.jpg", "1.jpg", "0.jpg"]


def test_pictures_of_deleted_messages_are_left_alone(engine: sa.Engine) -> None:
    store_messages(engine, "1.jpg", is_deleted=True)
    assert read_frame(engine, unread()).is_empty()


def test_what_is_kept_of_a_picture_is_bounded_and_fits_the_table(engine: sa.Engine) -> None:
    file = Path("x.jpg")
    hostile = ImageReading(file, "0" * 64, "doubtful", "NEBL", 0.4, ("a\x00b{}\",'", *["w" * 900] * 300), "line\x00")
    upsert(engine, IMAGE_READINGS, reading_rows([hostile], {file: "x.jpg"}))
    row = read_frame(engine, sa.select(IMAGE_READINGS)).row(0, named=True)
    assert len(row["texts"]) == 100
    assert max(map(len, row["texts"])) == 200
    assert row["texts"][0] == "a\ufffdb{}\",'"
