"""`pnd review` by lines and in a real terminal: each key does what the help says, and a label is stored the moment it is given."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
import typer
from typer.testing import CliRunner, Result

from pnd_dagster.cli import review as review_module
from pnd_dagster.cli.review import harmless, review
from pnd_dagster.errors import SettingError, SourceError
from pnd_dagster.messages.classifier import load_classifier
from pnd_dagster.messages.labels import MessageLabel
from pnd_dagster.settings import Settings, environment
from pnd_dagster.storage import read_frame, upsert
from pnd_dagster.tables import MESSAGE_LABELS, TELEGRAM_CHANNELS, TELEGRAM_MESSAGES

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
L = MessageLabel
TEXTS = ["first text", "second [bold red]text[/]\x1b[31m \u202eabc", "third text", "fourth text"]

Review = Callable[..., Result]


@pytest.fixture
def messages(engine: sa.Engine, settings: Settings) -> None:
    """Four messages that the classifier calls countdowns, the least certain first."""
    keys = [{"channel_id": 1, "message_id": n, "revision_id": 0} for n in range(4)]
    message = {"occurred_at": NOON, "ingested_at": NOON, "is_deleted": False, "kind": "message", "source": "archive"}
    upsert(engine, TELEGRAM_MESSAGES, pl.DataFrame([key | message | {"text": text} for key, text in zip(keys, TEXTS, strict=True)]))
    classifier = load_classifier()
    label = {"labeller": classifier.name, "labeller_version": classifier.version, "label": 1, "is_abstained": False, "labelled_at": NOON}
    upsert(engine, MESSAGE_LABELS, pl.DataFrame([key | label | {"confidence": 0.5 + n / 10} for n, key in enumerate(keys)]))
    channel = {"channel_id": 1, "title": "Pump \x1b]0;title\x07\n[link=http://x]club[/link]", "found_via": "archive", "status": "candidate"}
    upsert(engine, TELEGRAM_CHANNELS, pl.DataFrame([channel | {"is_vanished": False, "discovered_at": NOON - timedelta(days=1)}]))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Review:
    monkeypatch.setattr(review_module, "settings", lambda: settings)
    app = typer.Typer()
    app.command()(review)

    def run(lines: str, *arguments: str) -> Result:
        return CliRunner().invoke(app, ["--alias", "ann", *arguments], input=lines)

    return run


def human_labels(engine: sa.Engine) -> dict[int, int]:
    of = MESSAGE_LABELS.c
    return dict(read_frame(engine, sa.select(of.message_id, of.label).where(of.labeller == "human:ann")).sort("message_id").rows())


@pytest.mark.usefixtures("messages")
def test_digits_label_enter_agrees_and_s_skips(engine: sa.Engine, run: Review) -> None:
    result = run("0\n\ns\n5\n\n")
    assert result.exit_code == 0, result.output
    assert human_labels(engine) == {0: 0, 1: 1, 3: 5}
    assert "3 labelled by ann, 1 of them as" in result.output


@pytest.mark.usefixtures("messages")
def test_undo_takes_the_last_label_back_and_shows_its_message_again(engine: sa.Engine, run: Review) -> None:
    result = run("u\n0\n2\nu\nu\n3\nq\n")
    assert "nothing to undo" in result.output
    assert human_labels(engine) == {0: 3}
    assert result.output.count("first text") == 2


@pytest.mark.usefixtures("messages")
def test_the_very_last_label_can_be_undone_as_well(engine: sa.Engine, run: Review) -> None:
    run("0\nu\n4\nx\n", "--limit", "1")
    assert human_labels(engine) == {0: 4}


@pytest.mark.usefixtures("messages")
def test_the_end_of_input_ends_the_session_and_the_next_one_goes_on(engine: sa.Engine, run: Review) -> None:
    assert run("0\n").exit_code == 0
    result = run("1\n")
    assert "first text" not in result.output
    assert human_labels(engine) == {0: 0, 1: 1}


@pytest.mark.usefixtures("messages")
def test_a_label_may_be_marked_as_unsure(engine: sa.Engine, run: Review) -> None:
    run("-2\n-\n-\n3\nq\n")
    of = MESSAGE_LABELS.c
    rows = read_frame(engine, sa.select(of.label, of.confidence, of.is_abstained).where(of.labeller == "human:ann").order_by(of.message_id))
    assert rows.rows() == [(2, 0.5, True), (3, None, False)]


@pytest.mark.usefixtures("messages")
def test_unknown_keys_and_whole_words_label_nothing(engine: sa.Engine, run: Review) -> None:
    result = run("7\n01\nquit\n\x1b[A\nq\n")
    assert result.output.count("unknown key") == 4
    assert human_labels(engine) == {}


@pytest.mark.usefixtures("messages")
def test_help_and_context_are_shown_on_demand(run: Review) -> None:
    output = run("?\nc\ns\nc\nq\n").output
    assert "names the coin to buy now" in output
    assert "no earlier message" in output
    assert output.count("first text") == 2


@pytest.mark.usefixtures("messages")
def test_hostile_text_and_title_are_shown_as_text(run: Review) -> None:
    output = run("s\nq\n").output
    assert "second [bold red]text[/]\\u001b[31m \\u202eabc" in output
    assert "Pump \\u001b]0;title\\u0007 [link=http://x]club[/link]" in output
    assert not {"\x1b", "\x07", "\u202e"} & set(output)


@pytest.mark.usefixtures("messages")
def test_blind_hides_what_the_model_says_and_enter_does_not_agree(engine: sa.Engine, run: Review) -> None:
    seen, blind = run("q\n").output, run("\nq\n", "--blind").output
    assert "classifier: 1 Countdown, confidence 0.50" in seen
    assert "Countdown" not in blind
    assert "hidden" in blind
    assert human_labels(engine) == {}


@pytest.mark.usefixtures("messages")
def test_label_channel_and_order_choose(run: Review) -> None:
    assert "nothing to review" in run("", "--label", "5").output
    assert "nothing to review" in run("", "--channel", "7").output
    assert "first text" in run("q\n", "--order", "uncertain", "--label", "1", "--channel", "1").output
    assert run("", "--order", "sideways").exit_code == 2
    assert run("", "--label", "6").exit_code == 2


def test_a_database_without_labels_says_what_to_do(run: Review) -> None:
    error = run("").exception
    assert isinstance(error, SourceError)
    assert "pnd run" in str(error)


def test_an_alias_is_a_plain_name(run: Review) -> None:
    for alias in ("", "a b", "x" * 41, "ann\n", "-x", "ä"):
        error = run("", "--alias", alias).exception
        assert isinstance(error, SettingError), alias
        assert "--alias" in str(error)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcode 漢字 🚀", "plain ünïcode 漢字 🚀"),
        ("a\x00b\x9bc\u2066d\ue000", "a\\u0000b\\u009bc\\u2066d\\ue000"),
        ("tab\there\u00a0and\u3000there", "tab here and there"),
        ("one\n\n \n two\r\nthree\u2028four", "one\ntwo\nthree\nfour"),
        ("👨\u200d💻", "👨💻"),
        ("\U000e0041", "\\ue0041"),
        ("\ud800", "\\ud800"),
    ],
)
def test_no_invisible_character_reaches_the_terminal(text: str, shown: str) -> None:
    assert harmless(text) == shown


class Terminal:
    """`pnd review` in a pseudo-terminal."""

    def __init__(self, variables: dict[str, str]) -> None:
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        # A test run in the background has Ctrl-C switched off.
        allow = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
        code = f"{allow}; import typer; from pnd_dagster.cli.review import review; typer.run(review)"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PND_")} | variables | {"TERM": "dumb"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "--alias", "ann"], stdin=self.slave, stdout=self.slave, stderr=self.slave, env=environ, cwd="/"
        )
        self.output = ""

    def wait_for(self, text: str) -> None:
        """Reads until `text` is shown after what was waited for before."""
        deadline = time.monotonic() + 120  # a busy machine starts Python slowly
        while text not in self.output:
            assert time.monotonic() < deadline, f"{text!r} was not shown, only {self.output!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                self.output += os.read(self.master, 65_536).decode(errors="replace")
        self.output = self.output.partition(text)[2]

    def press(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal(messages: None, settings: Settings, tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(environment(settings) | {"HOME": str(tmp_path)})
    yield opened
    opened.end()


def test_single_keys_work_in_a_terminal_which_ctrl_c_leaves_as_it_was(terminal: Terminal, engine: sa.Engine) -> None:
    terminal.wait_for("first text")
    terminal.wait_for("q quits")
    terminal.press(b"\x1b[A")
    terminal.wait_for("unknown key")
    terminal.press("é".encode())
    terminal.wait_for("unknown key")
    terminal.press(b"0")
    terminal.wait_for("-> Pump Announcement")
    terminal.wait_for("second [bold red]text")
    terminal.press(b"\r")
    terminal.wait_for("-> Countdown")
    terminal.wait_for("third text")
    terminal.press(b"u")
    terminal.wait_for("second [bold red]text")
    terminal.wait_for("q quits")
    terminal.process.send_signal(signal.SIGINT)
    terminal.wait_for("1 labelled by ann")
    assert terminal.process.wait(20) != 0
    assert human_labels(engine) == {0: 0}
    assert termios.tcgetattr(terminal.slave) == terminal.before


def test_a_killed_terminal_loses_no_label(terminal: Terminal, engine: sa.Engine) -> None:
    terminal.wait_for("first text")
    terminal.press(b"2")
    terminal.wait_for("-> Target Coin Release")
    terminal.process.kill()
    terminal.process.wait(20)
    assert human_labels(engine) == {0: 2}


def test_a_label_that_the_database_refuses_is_an_error_and_not_counted(engine: sa.Engine, run: Review, messages: Any) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE core.message_labels ADD CONSTRAINT no_humans CHECK (labeller NOT LIKE 'human:%%')")
    try:
        result = run("0\n")
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE core.message_labels DROP CONSTRAINT no_humans")
    assert type(result.exception).__name__ == "DatabaseError"
    assert "0 labelled by ann" in result.output
