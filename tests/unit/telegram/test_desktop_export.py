"""Telegram Desktop's result.json, of one chat and of a whole account."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pnd_dagster.errors import SourceError
from pnd_dagster.telegram import desktop_export, json_stream
from pnd_dagster.telegram.batches import join_batches
from pnd_dagster.telegram.desktop_export import is_desktop_export, read_desktop_export
from pnd_dagster.telegram.importing import import_file

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
POSTED = datetime(2021, 5, 1, 12, tzinfo=UTC)
UNIX = int(POSTED.timestamp())


def message(number: int = 1, **changes: object) -> dict:
    return {
        "id": number,
        "type": "message",
        "date": "2021-05-01T14:00:00",
        "date_unixtime": str(UNIX),
        "from": "Jane Doe",
        "from_id": "channel1234",
        "text": "Next pump on Friday",
        "text_entities": [{"type": "plain", "text": "Next pump on Friday"}],
        **changes,
    }


def chat(*messages: object, **changes: object) -> dict:
    return {"name": "Rocket Room", "type": "public_channel", "id": 1234, "messages": list(messages), **changes}


def export(folder: Path, content: object) -> Path:
    (folder / "result.json").write_text(content if isinstance(content, str) else json.dumps(content, indent=1, ensure_ascii=False))
    return folder


def read(path: Path, **options):
    return join_batches(list(read_desktop_export(path, now=NOW, **options)))


def test_messages_of_one_chat_are_read_from_the_folder_and_from_the_file(tmp_path):
    folder = export(tmp_path, chat(message(), message(2, reply_to_message_id=1, forwarded_from="Moon", forwarded_from_id="channel99")))
    batch = read(folder)
    assert batch.messages.equals(read(folder / "result.json").messages)
    assert batch.messages.select("channel_id", "message_id", "occurred_at", "text", "kind", "source").rows() == [
        (1234, 1, POSTED, "Next pump on Friday", "message", "desktop export"),
        (1234, 2, POSTED, "Next pump on Friday", "message", "desktop export"),
    ]
    assert batch.messages.select("reply_to_message_id", "forwarded_from_channel_id").row(1) == (1, 99)
    assert batch.channels.select("channel_id", "title").rows() == [(1234, "Rocket Room")]
    assert batch.dead_letters.is_empty()


def test_a_text_in_parts_is_joined(tmp_path):
    parts = ["Buy ", {"type": "cashtag", "text": "$MOON"}, " at ", {"type": "text_link", "text": "here", "href": "https://t.co/x"}]
    assert read(export(tmp_path, chat(message(text=parts)))).messages["text"].to_list() == ["Buy $MOON at here"]


def test_edits_carry_their_time_and_unedited_messages_of_old_exports_have_none(tmp_path):
    batch = read(
        export(
            tmp_path, chat(message(edited="2021-05-01T14:05:00", edited_unixtime=str(UNIX + 300)), message(2, edited="1970-01-01T01:00:00"))
        )
    )
    assert batch.messages["edited_at"].to_list() == [datetime(2021, 5, 1, 12, 5, tzinfo=UTC), None]


def test_service_messages_are_told_in_telethons_words(tmp_path):
    service = {"type": "service", "actor": "Jane Doe", "actor_id": "user55", "action": "pin_message", "text": ""}
    batch = read(export(tmp_path, chat(message(**service), message(2, **{**service, "action": "something_new"}))))
    assert batch.messages.select("kind", "service_action", "is_from_member").rows() == [
        ("service", "MessageActionPinMessage", True),
        ("service", "something_new", True),
    ]


def test_no_name_and_no_id_of_a_person_is_kept(tmp_path):
    personal = message(from_id="user777", forwarded_from="John Roe", forwarded_from_id="user778", author="Jane D.")
    batch = read(export(tmp_path, chat(personal, message(-2, from_id="user777"))))
    everything = "".join(frame.write_json() for frame in batch[:4])
    for trace in ("Jane", "John", "777", "778"):
        assert trace not in everything
    assert batch.messages["forwarded_from_channel_id"].to_list() == [None]
    assert batch.dead_letters.height == 1


def test_photos_are_copied_into_the_media_folder_and_named_there(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "photo_1.jpg").write_bytes(b"jpeg")
    (tmp_path / "photos" / "huge.jpg").write_bytes(b"x" * 2000)
    (tmp_path / "outside.jpg").write_bytes(b"x")
    inner = tmp_path / "export"
    inner.mkdir()
    (tmp_path / "photos").rename(inner / "photos")
    (inner / "photos" / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    folder = export(
        inner,
        chat(
            message(1, photo="photos/photo_1.jpg", text="look"),
            message(2, photo="photos/huge.jpg"),
            message(3, photo="../outside.jpg"),
            message(4, photo="photos/link.jpg"),
            message(5, photo="(File not included. Change data exporting settings to download.)"),
            message(6, file="video_files/a.mp4", media_type="video_file", mime_type="video/mp4"),
        ),
    )
    media = tmp_path / "media"
    batch = read(folder, media_dir=media, media_max_bytes=1000)
    assert batch.messages["media_file"].to_list() == ["1234/photo_1.jpg", None, None, None, None, None]
    assert batch.messages["media_type"].to_list() == ["MessageMediaPhoto"] * 5 + ["MessageMediaDocument"]
    assert (media / "1234/photo_1.jpg").read_bytes() == b"jpeg"
    assert [path.name for path in media.rglob("*.jpg")] == ["photo_1.jpg"]
    assert batch.dead_letters["reason"].str.split(":").list.first().to_list() == [
        "photo is larger than 1000 bytes",
        "photo leaves the export's folder",
        "photo is not in the export",
    ]


def test_of_a_whole_account_only_channels_are_read_and_the_rest_is_told_without_its_content(tmp_path):
    account = {
        "about": "Here is the data you requested",
        "personal_information": {"user_id": 1, "phone_number": "+00 000"},
        "contacts": {"list": [{"first_name": "Jane"}]},
        "chats": {
            "about": "chats",
            "list": [
                {"name": "Jane Doe", "type": "personal_chat", "id": 5, "messages": [message(text="a secret")]},
                chat(message()),
                chat(message(3), name="Moon Club", type="private_supergroup", id=77),
            ],
        },
        "left_chats": {"about": "left", "list": [chat(message(4), id=78)]},
    }
    batch = read(export(tmp_path, account))
    assert batch.messages.select("channel_id", "message_id").rows() == [(1234, 1), (77, 3), (78, 4)]
    assert batch.dead_letters.select("location", "reason").rows() == [
        ("chats 1", "a chat of type personal_chat is not imported, only channels and supergroups are")
    ]
    assert "secret" not in batch.dead_letters.write_json()


def test_exports_of_before_2022_have_marked_ids_and_local_times(tmp_path):
    old = message()
    del old["date_unixtime"]
    folder = export(tmp_path, chat(old, id=(1 << 33) + 1234))
    assert read(folder, local_zone=ZoneInfo("Europe/Berlin")).messages.select("channel_id", "occurred_at").rows() == [(1234, POSTED)]


def test_bad_messages_are_dead_letters_and_the_rest_goes_on(tmp_path):
    messages = (
        message(),
        message(2, id="two"),
        message(3, date_unixtime="99999999999"),
        "not an object",
        message(-999_999_995),
        message(6),
    )
    batch = read(export(tmp_path, chat(*messages)))
    assert batch.messages["message_id"].to_list() == [1, 6]
    told = dict(batch.dead_letters.select("location", "reason").rows())
    assert told["chat 1234 message two"].startswith("message_id is not a whole number")
    assert told["chat 1234 message 3"].startswith("occurred_at is in the future")
    assert told["chat 1234 message number 4"] == "is not an object"
    assert told["chat 1234 message -999999995"].startswith("message_id is not positive")
    assert batch.row_count == 6


def test_lone_surrogates_and_nul_bytes_are_replaced(tmp_path):
    content = json.dumps(chat(message(text="a\x00b \ud83d c")), ensure_ascii=True)
    assert read(export(tmp_path, content)).messages["text"].to_list() == ["a\ufffdb \ufffd c"]


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_the_file_may_be_cut_anywhere_between_two_reads(tmp_path, monkeypatch, chunk):
    folder = export(tmp_path, chat(*(message(number, views=1.5, text=f'числo {number} \\ " 🚀') for number in range(1, 20))))
    whole = read(folder)
    monkeypatch.setattr(json_stream, "CHUNK_CHARACTERS", chunk)
    assert read(folder).messages.equals(whole.messages)


def test_messages_come_in_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(desktop_export, "BATCH_MESSAGES", 4)
    folder = export(tmp_path, chat(*(message(number) for number in range(1, 11))))
    assert [batch.row_count for batch in read_desktop_export(folder, now=NOW)] == [4, 4, 2]


def test_a_half_written_export_gives_what_it_holds_and_then_a_clear_error(tmp_path):
    text = json.dumps(chat(*(message(number) for number in range(1, 11))), indent=1)
    folder = export(tmp_path, text[: int(len(text) * 0.7)])
    reading = read_desktop_export(folder, now=NOW)
    assert 3 < next(reading).messages.height < 10
    with pytest.raises(SourceError, match=r"result\.json: broken JSON at character \d+: ends within a value"):
        next(reading)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "an export is a JSON object"),
        ("[]", "an export is a JSON object"),
        ("{}", "no messages in it"),
        ('{"name": "x", "messages": 5}', "messages are not a list"),
        ('{"name": "x" "id": 1}', "expected ','"),
        ('{"messages"', "expected ':', found the end"),
        ('{"a": ' + "[" * 100_000, "nested too deeply|ends within a value"),
    ],
)
def test_a_file_that_is_no_export_is_a_clear_error(tmp_path, content, reason):
    with pytest.raises(SourceError, match=reason):
        read(export(tmp_path, content))


def test_a_folder_without_an_export_is_a_clear_error(tmp_path):
    with pytest.raises(SourceError, match=r"holds no result\.json"):
        read(tmp_path)


def test_exports_are_told_from_json_lines(tmp_path):
    assert is_desktop_export(export(tmp_path, chat(message())))
    assert is_desktop_export(tmp_path / "result.json")
    one_line = tmp_path / "one_line.json"
    one_line.write_text(json.dumps(chat(message())))
    lines = tmp_path / "lines.json"
    lines.write_text('{"channel_id": 1, "message_id": 2}\n' * 2)
    assert is_desktop_export(one_line)
    assert not is_desktop_export(lines)
    assert not is_desktop_export(tmp_path / "archive.parquet")


def test_an_export_imported_twice_is_stored_once(engine, settings, tmp_path):
    folder = export(tmp_path, chat(message(), message(2, edited_unixtime=str(UNIX + 60))))
    assert import_file(engine, folder, settings).written.inserted == 2
    again = import_file(engine, folder, settings).written
    assert (again.inserted, again.updated) == (0, 0)
