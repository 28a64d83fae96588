"""Parquet and JSON lines archives: both column forms, and everything that can be wrong with them."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from pnd_dagster import tables
from pnd_dagster.errors import SourceError
from pnd_dagster.storage import read_frame
from pnd_dagster.telegram import archives
from pnd_dagster.telegram.archives import count_rows, read_archive
from pnd_dagster.telegram.batches import join_batches
from pnd_dagster.telegram.importing import import_file

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
POSTED = datetime(2024, 4, 1, 17, tzinfo=UTC)


def message(**changes: object) -> dict:
    return {"channel_id": 7, "message_id": 1, "date": POSTED, "text": "Pump today 17:00 GMT", **changes}


def parquet(folder: Path, *messages: dict, **options: object) -> Path:
    path = folder / "archive.parquet"
    pl.DataFrame(list(messages), strict=False, **options).write_parquet(path)
    return path


def json_lines(folder: Path, *lines: object) -> Path:
    path = folder / "archive.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line, default=str)) + "\n" for line in lines))
    return path


def read(path: Path, **options):
    return join_batches(list(read_archive(path, now=NOW, **options)))


def reasons(batch) -> list[tuple[str, str]]:
    return batch.dead_letters.select("location", "reason").rows()


def test_the_full_form_is_read_with_all_its_columns(tmp_path):
    batch = read(
        parquet(
            tmp_path,
            message(
                channel_title="Rocket Room",
                kind="Message",
                edit_date=POSTED + timedelta(minutes=1),
                views=10,
                forwards=2,
                replies=1,
                reply_to_msg_id=5,
                fwd_channel_id=8,
                fwd_channel_post=9,
                media_type="MessageMediaPhoto",
                image_file="7_1.jpg",
                pinned=True,
                posted_by_user=False,
                grouped_id=3,
                source="somewhere",
            ),
            message(message_id=2, kind="MessageService", action="MessageActionChannelCreate", text=""),
        )
    )
    first, second = batch.messages.rows(named=True)
    assert {name: first[name] for name in first if name != "revision_id"} == {
        "channel_id": 7,
        "message_id": 1,
        "occurred_at": POSTED,
        "edited_at": POSTED + timedelta(minutes=1),
        "ingested_at": NOW,
        "is_deleted": False,
        "kind": "message",
        "text": "Pump today 17:00 GMT",
        "media_type": "MessageMediaPhoto",
        "media_file": "7_1.jpg",
        "reply_to_message_id": 5,
        "forwarded_from_channel_id": 8,
        "forwarded_from_message_id": 9,
        "grouped_id": 3,
        "is_pinned": True,
        "is_from_member": False,
        "service_action": None,
        "source": "archive",
    }
    assert (second["kind"], second["service_action"]) == ("service", "MessageActionChannelCreate")
    assert batch.stats.select("views", "forwards", "replies").rows() == [(10, 2, 1)]
    assert batch.channels["title"].to_list() == ["Rocket Room"]
    assert batch.dead_letters.is_empty()


def test_the_short_form_is_read_and_a_message_with_an_image_is_a_photo(tmp_path):
    short = {"id": 4, "date": "2024-04-01 17:00:00+00:00", "channel_id": 7, "message": None, "views": 3.0, "image": "7_message_4.jpg"}
    batch = read(parquet(tmp_path, short, {**short, "id": 5, "message": "BUY", "image": None, "views": None}))
    assert batch.messages.select("message_id", "occurred_at", "text", "media_type", "media_file").rows() == [
        (4, POSTED, "", "MessageMediaPhoto", "7_message_4.jpg"),
        (5, POSTED, "BUY", None, None),
    ]
    assert batch.stats.select("message_id", "views").rows() == [(4, 3)]


def test_json_lines_give_the_same_rows_as_parquet(tmp_path):
    messages = [message(message_id=number, text=f"🚀 {number}", views=number, pinned=number % 2 == 0) for number in range(1, 30)]
    from_parquet, from_json = read(parquet(tmp_path, *messages)), read(json_lines(tmp_path, *messages))
    assert from_parquet.messages.equals(from_json.messages)
    assert from_parquet.stats.drop("observed_at").equals(from_json.stats.drop("observed_at"))


def test_an_archive_is_read_in_batches_and_each_channel_is_named_once(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "BATCH_ROWS", 10)
    messages = [message(message_id=number, channel_title="Rocket Room") for number in range(1, 36)]
    for path in (parquet(tmp_path, *messages), json_lines(tmp_path, *messages)):
        batches = list(read_archive(path, now=NOW))
        assert [batch.row_count for batch in batches] == [10, 10, 10, 5]
        assert count_rows(path) == 35
        assert [batch.channels.height for batch in batches] == [1, 0, 0, 0]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 and then nothing of the kind PAR1", os.urandom(300)])
def test_a_broken_parquet_file_is_a_clear_error_that_names_it(tmp_path, content):
    path = tmp_path / "broken.parquet"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"broken\.parquet: broken Parquet file"):
        read(path)


def test_a_parquet_file_cut_in_half_or_damaged_inside_is_a_clear_error(tmp_path):
    path = parquet(tmp_path, *(message(message_id=number, text=os.urandom(50).hex()) for number in range(1, 2000)))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(SourceError, match="broken Parquet file"):
        read(path)
    path.write_bytes(content[:200] + b"\x00" * 40_000 + content[40_200:])
    with pytest.raises(SourceError, match="broken Parquet file after row 0"):
        read(path)


def test_missing_columns_are_named_all_at_once(tmp_path):
    with pytest.raises(
        SourceError, match=r"archive\.parquet: missing columns message_id or id, text or message \(it has channel_id, date\)"
    ):
        read(parquet(tmp_path, {"channel_id": 1, "date": POSTED}))
    with pytest.raises(SourceError, match=r"archive\.jsonl: missing column occurred_at or date"):
        read(json_lines(tmp_path, {"channel_id": 1, "message_id": 2, "text": "x"}))


@pytest.mark.parametrize(
    ("column", "value", "held"), [("channel_id", [[1]], "List"), ("date", [{"a": 1}], "Struct"), ("text", [5], "Int64")]
)
def test_a_column_that_can_never_be_read_is_named_with_its_type(tmp_path, column, value, held):
    path = tmp_path / "odd.parquet"
    pl.DataFrame({**{name: [one] for name, one in message().items()}, column: value}).write_parquet(path)
    with pytest.raises(SourceError, match=rf"odd\.parquet: column .* holds {held}.*, which cannot be read"):
        read(path)


def test_a_missing_file_a_folder_and_a_text_file_are_clear_errors(tmp_path):
    (tmp_path / "notes.txt").write_text("dear diary\nnothing happened\n")
    for path, reason in ((tmp_path / "none", "no such file"), (tmp_path, "not a file"), (tmp_path / "notes.txt", "not JSON lines: row 1")):
        with pytest.raises(SourceError, match=reason):
            read(path)


def test_empty_archives_hold_no_messages(tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    assert read(tmp_path / "empty.jsonl").row_count == 0
    empty = parquet(tmp_path, message()).with_name("empty.parquet")
    pl.DataFrame([message()]).clear().write_parquet(empty)
    assert read(empty).messages.is_empty()


BAD = [
    ({"channel_id": None}, "channel_id is missing"),
    ({"channel_id": -5}, "channel_id is not positive: -5"),
    ({"message_id": 0}, "message_id is not positive: 0"),
    ({"message_id": None}, "message_id is missing"),
    ({"date": None}, "occurred_at is missing"),
    ({"date": datetime(1999, 1, 1, tzinfo=UTC)}, "occurred_at is before 2013: 1999"),
    ({"date": NOW + timedelta(days=2)}, "occurred_at is in the future: 2024-05-03"),
    ({"kind": "Postcard"}, "kind is neither of"),
    ({"text": "x" * 1_000_001}, "text is longer than 1000000 bytes"),
]


@pytest.mark.parametrize(("change", "reason"), BAD)
@pytest.mark.parametrize("write", [parquet, json_lines])
def test_a_bad_row_is_a_dead_letter_with_its_place_and_reason_and_the_rest_goes_on(tmp_path, write, change, reason):
    batch = read(
        write(tmp_path, message(kind="Message"), message(message_id=2, kind="Message") | change, message(message_id=3, kind="Message"))
    )
    assert batch.messages["message_id"].to_list() == [1, 3]
    ((location, told),) = reasons(batch)
    assert location == "row 2"
    assert told.startswith(reason)
    assert batch.row_count == 3


def test_values_of_a_wrong_type_are_refused_where_they_matter_and_left_out_where_they_do_not(tmp_path):
    batch = read(
        json_lines(
            tmp_path,
            message(),
            message(message_id=2, channel_id="seven"),
            message(message_id=3, text={"a": 1}),
            message(message_id=4, date="yesterday"),
            message(message_id=5, views="many", edit_date="soon", pinned=[1]),
            message(message_id=6.5),
            message(message_id=10**30),
        )
    )
    assert batch.messages["message_id"].to_list() == [1, 5]
    told = dict(reasons(batch))
    assert told["row 2"] == "channel_id is not a whole number: seven"
    assert told["row 3"] == "text has the wrong type: dict"
    assert told["row 4"] == "occurred_at is not a time: yesterday"
    assert sorted(reason for location, reason in reasons(batch) if location == "row 5") == [
        "edited_at is not a time: soon (left out, the message is kept)",
        "is_pinned has the wrong type: list (left out, the message is kept)",
        "views is not a whole number: many (left out, the message is kept)",
    ]
    assert "row 6" in told
    assert "row 7" in told


def test_lines_that_are_no_json_objects_are_dead_letters_with_their_number(tmp_path):
    broken = '{"channel_id": 7, "message_id": 2, "date"'
    batch = read(json_lines(tmp_path, message(), broken, "", [1, 2], "[" * 100_000, message(message_id=9)))
    assert batch.messages["message_id"].to_list() == [1, 9]
    assert [location for location, _ in reasons(batch)] == ["row 2", "row 4", "row 5"]
    assert reasons(batch)[1][1] == "is not a JSON object but a list"
    assert batch.row_count == 5


def test_an_endless_line_is_refused_without_being_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_LINE_BYTES", 1000)
    batch = read(json_lines(tmp_path, message(), message(message_id=2, text="x" * 5000), message(message_id=3)))
    assert batch.messages["message_id"].to_list() == [1, 3]
    assert reasons(batch) == [("row 2", "longer than 1000 bytes")]


def test_columns_that_appear_late_in_json_lines_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "BATCH_ROWS", 2)
    batch = read(json_lines(tmp_path, message(), message(message_id=2), message(message_id=3, views=8)))
    assert batch.stats["views"].to_list() == [8]


def test_long_texts_are_kept_in_full_and_nul_bytes_and_lone_surrogates_are_replaced(tmp_path):
    long = "🚀 pump " * 15_000
    lines = json_lines(tmp_path, message(text=long), message(message_id=2, text="a\x00b \ud83d c"))
    batch = read(lines)
    assert batch.messages["text"].to_list() == [long, "a\ufffdb \ufffd c"]
    assert read(parquet(tmp_path, message(text=long), message(message_id=2, text="a\x00b"))).messages["text"].to_list() == [
        long,
        "a\ufffdb",
    ]


def test_broken_utf8_in_parquet_is_repaired(tmp_path):
    path = tmp_path / "broken_text.parquet"
    offsets, data = pa.py_buffer(b"\x00\x00\x00\x00\x04\x00\x00\x00\x06\x00\x00\x00"), pa.py_buffer(b"hi\xed\xa0ok")
    texts = pa.Array.from_buffers(pa.string(), 2, [None, offsets, data])
    columns = {"channel_id": [7, 7], "message_id": [1, 2], "date": [POSTED, POSTED], "text": texts}
    pq.write_table(pa.table(columns), path)
    assert read(path).messages["text"].to_list() == ["hi\ufffd\ufffd", "ok"]


@pytest.mark.parametrize(
    "date",
    [
        "2024-04-01T17:00:00Z",
        "2024-04-01 17:00",
        "2024-04-01T19:00:00+0200",
        "2024-04-01 17:00:00 UTC",
        "1711990800",
        1711990800000,
        1711990800,
    ],
)
def test_times_are_understood_in_the_forms_that_archives_use(tmp_path, date):
    assert read(json_lines(tmp_path, message(date=date))).messages["occurred_at"].to_list() == [POSTED]


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a\\b.jpg", "c:evil.jpg", "x" * 600])
def test_an_image_name_that_leaves_the_media_folder_is_left_out(tmp_path, name):
    batch = read(parquet(tmp_path, message(image_file=name)))
    assert batch.messages["media_file"].to_list() == [None]
    assert reasons(batch)[0][1].startswith("media_file leaves the media folder")


def test_marked_channel_ids_are_stripped_of_their_mark(tmp_path):
    assert read(parquet(tmp_path, message(channel_id=-1001234567890))).messages["channel_id"].to_list() == [1234567890]


def test_dead_letters_hold_known_columns_only(tmp_path):
    batch = read(json_lines(tmp_path, message(message_id=-1, from_id="user99", author="Jane Doe")))
    assert batch.dead_letters.height == 1
    assert "Jane" not in batch.dead_letters["payload"][0]
    assert "99" not in batch.dead_letters["payload"][0]


def stored(engine) -> pl.DataFrame:
    table = tables.TELEGRAM_MESSAGES
    return read_frame(engine, table.select()).sort("channel_id", "message_id", "revision_id")


def test_duplicate_and_shuffled_rows_are_stored_once_and_a_second_import_changes_nothing(engine, settings, tmp_path):
    messages = [message(message_id=number) for number in range(1, 40)]
    shuffled = parquet(tmp_path, *messages[::-1], *messages[5:20], message(message_id=-3))
    first = import_file(engine, shuffled, settings)
    before = stored(engine)
    again = import_file(engine, shuffled, settings)
    assert before["message_id"].to_list() == list(range(1, 40))
    assert (first.written.inserted, first.dead_letter_count) == (39, 1)
    assert (again.written.inserted, again.written.updated) == (0, 0)
    assert stored(engine).equals(before)
    assert read_frame(engine, sa.select(tables.DEAD_LETTERS.c.location)).to_series().to_list() == ["row 55"]


def test_an_import_that_broke_off_is_completed_by_the_next_one(engine, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "BATCH_ROWS", 10)
    path = parquet(tmp_path, *(message(message_id=number) for number in range(1, 36)))

    def break_off(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_file(engine, path, settings, on_progress=break_off)
    assert stored(engine).height == 10
    assert import_file(engine, path, settings).written.inserted == 25
    assert stored(engine)["message_id"].to_list() == list(range(1, 36))


@pytest.mark.shared
def test_the_real_archive_is_read_without_loss(shared_data):
    path = shared_data / "telegram_messages.parquet"
    messages = refused = 0
    channels: set[int] = set()
    for batch in read_archive(path):
        messages += batch.messages.height
        refused += batch.dead_letters.height
        channels.update(batch.channels["channel_id"])
    assert (messages, refused, len(channels)) == (count_rows(path), 0, 312)
