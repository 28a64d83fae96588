"""The command line as a user meets it: results in files, exit codes, one-line errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from pnd_dagster.settings import Settings

PND = Path(sys.executable).with_name("pnd")
Pnd = Callable[..., subprocess.CompletedProcess[str]]
MESSAGES = pl.DataFrame(
    {
        "channel_id": [9, 9, 9, 9],
        "message_id": [1, 2, 3, 4],
        "date": [datetime(2024, 5, 3, hour, minute, tzinfo=UTC) for hour, minute in ((9, 0), (16, 55), (17, 0), (17, 30))],
        "text": [
            "Our next pump is scheduled for today, Friday 3 May at 17:00 GMT. Exchange: Hotbit. Pair: USDT. Be ready!",
            "5 minutes left until the pump on Hotbit! The next post will be the coin",
            "The coin is: ZYNE\nhttps://www.hotbit.io/exchange?symbol=ZYNE_USDT",
            "",
        ],
        "mood": ["a", "b", "c", "d"],
    }
)


@pytest.fixture
def messages(tmp_path: Path) -> Path:
    path = tmp_path / "messages.parquet"
    MESSAGES.write_parquet(path)
    return path


def test_classify_adds_label_confidence_and_model_version_and_carries_other_columns(pnd: Pnd, messages: Path, tmp_path: Path) -> None:
    output = tmp_path / "labelled.parquet"
    done = pnd("classify", "--messages", messages, "--output", output, "--json")
    assert done.returncode == 0, done.stderr
    labelled = pl.read_parquet(output)
    assert labelled.columns == [*MESSAGES.columns, "label", "confidence", "is_abstained", "model_version"]
    assert labelled["label"].to_list() == [0, 1, 2, 5]
    assert labelled["mood"].to_list() == ["a", "b", "c", "d"]
    assert json.loads(done.stdout)["messages"] == 4


def test_extract_events_finds_the_pump_whatever_the_order_of_the_rows(pnd: Pnd, messages: Path, tmp_path: Path) -> None:
    output, announcements = tmp_path / "events.parquet", tmp_path / "announcements.parquet"
    MESSAGES.reverse().write_parquet(messages)
    done = pnd("extract-events", "--messages", messages, "--output", output, "--announcements", announcements)
    assert done.returncode == 0, done.stderr
    release = pl.read_parquet(output).row(0, named=True)
    assert (release["symbol"], release["exchange"], release["quote"]) == ("ZYNE", "hotbit", "USDT")
    assert release["released_at"] == datetime(2024, 5, 3, 17, 0, tzinfo=UTC)
    announced = pl.read_parquet(announcements).row(0, named=True)
    assert announced["scheduled_at"] == datetime(2024, 5, 3, 17, 0, tzinfo=UTC)
    assert announced["status"] == "released"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frame: frame.drop("text"), "missing columns text"),
        (lambda frame: frame.with_columns(channel_id=pl.lit("many")), "column channel_id holds String"),
        (lambda frame: frame.with_columns(date=pl.lit(None, pl.Datetime("us", "UTC"))), "column date has 4 empty values"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_line_by_its_column(
    pnd: Pnd, messages: Path, tmp_path: Path, change, words: str
) -> None:
    change(MESSAGES).write_parquet(messages)
    done = pnd("extract-events", "--messages", messages, "--output", tmp_path / "out.parquet")
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("content", [b"", b"not parquet at all", b"PAR1broken"])
def test_a_file_that_is_no_parquet_is_refused_by_name(pnd: Pnd, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "in.parquet").write_bytes(content)
    done = pnd("classify", "--messages", tmp_path / "in.parquet", "--output", tmp_path / "out.parquet")
    assert done.returncode == 1
    assert "in.parquet" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_importing_twice_changes_nothing(pnd: Pnd, messages: Path, settings: Settings) -> None:
    first = pnd("import", messages, "--json", settings=settings)
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)[0] | {"file": ""} == {
        "file": "",
        "rows": 4,
        "inserted": 4,
        "updated": 0,
        "unchanged": 0,
        "deleted": 0,
        "refused": 0,
    }
    again = json.loads(pnd("import", messages, "--json", settings=settings).stdout)[0]
    assert (again["inserted"], again["unchanged"]) == (0, 4)


def test_a_human_decision_is_kept_and_an_unknown_channel_is_refused(pnd: Pnd, messages: Path, settings: Settings) -> None:
    pnd("import", messages, settings=settings)
    assert pnd("channels", "validate", "9", "--reason", "pumps", settings=settings).returncode == 0
    pnd("import", messages, settings=settings)
    listed = json.loads(pnd("channels", "list", "--json", settings=settings).stdout)
    assert [(row["channel_id"], row["status"]) for row in listed] == [(9, "validated")]
    refused = pnd("channels", "reject", "9", "77", settings=settings)
    assert refused.returncode == 1
    assert "unknown channels 77" in refused.stderr
    assert json.loads(pnd("channels", "list", "--json", settings=settings).stdout)[0]["status"] == "validated"


def test_a_saved_list_of_links_becomes_candidates(pnd: Pnd, settings: Settings, tmp_path: Path) -> None:
    links = tmp_path / "links.txt"
    links.write_text("https://t.me/some_pump_channel\n@another_channel\nnot a link at all\n")
    done = pnd("channels", "discover", "--links", links, settings=settings)
    assert "2 new candidates" in done.stderr
    assert "1 lines refused" in done.stderr


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"PND_DATABASE_URL": "mysql://x"}, "PND_DATABASE_URL"),
        ({"PND_DATABASE_URL": "postgresql://me:secret@127.0.0.1:1/pnd"}, "127.0.0.1:1"),
        ({"PND_DATABASE_PORT": "twelve"}, "PND_DATABASE_PORT"),
        ({"PND_UI_PORT": "80"}, "PND_UI_PORT"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(pnd: Pnd, tmp_path: Path, variables: dict[str, str], words: str) -> None:
    done = pnd("channels", "list", PND_HOME=str(tmp_path), **variables)
    assert done.returncode == 1
    assert words in done.stderr
    assert "secret" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_settings_are_read_from_a_dotenv_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PND_UI_PORT=eighty\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PND_")}
    done = subprocess.run([PND, "db", "url"], capture_output=True, text=True, env=environment, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert "PND_UI_PORT" in done.stderr


def test_every_setting_is_in_the_example_file() -> None:
    described = (Path(__file__).parents[2] / ".env.example").read_text()
    assert [name for name in Settings.model_fields if f"PND_{name.upper()}=" not in described] == []


def test_login_without_keys_says_where_to_get_them(pnd: Pnd, tmp_path: Path) -> None:
    done = pnd("login", PND_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "PND_TELEGRAM_API_ID" in done.stderr


def test_doctor_finds_a_healthy_installation_healthy_and_a_broken_one_broken(pnd: Pnd, settings: Settings, tmp_path: Path) -> None:
    healthy = pnd("doctor", "--json", settings=settings)
    states = {finding["subject"]: finding["state"] for finding in json.loads(healthy.stdout)}
    assert healthy.returncode == 0
    assert states["database"] == states["classifier"] == "ok"
    broken = pnd("doctor", "--json", PND_HOME=str(tmp_path), PND_DATABASE_URL="postgresql://x@127.0.0.1:1/pnd")
    assert broken.returncode == 1
    assert {finding["subject"] for finding in json.loads(broken.stdout) if finding["state"] == "broken"} == {"database"}
