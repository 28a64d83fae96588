"""`pnd review`: a human reads messages one by one in the terminal and says what each is, by a single key."""

from __future__ import annotations

import getpass
import os
import re
import select
import sys
import unicodedata
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated

import typer
from rich.rule import Rule
from rich.text import Text

from pnd_dagster.cli.console import OUT, say
from pnd_dagster.errors import SettingError, SourceError
from pnd_dagster.messages.labels import MessageLabel
from pnd_dagster.messages.review import (
    ReviewItem,
    ReviewOrder,
    context_of,
    has_labels,
    remove_human_label,
    review_items,
    write_human_label,
)
from pnd_dagster.settings import settings

_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_BLIND_OVERLAP = 0.2
_LONGEST_TEXT = 8_000  # Telegram's own limit is 4,096 characters
_KEYS_LINE = "0-5 label, Enter agrees, - unsure, s skips, u undoes, c context, ? help, q quits"
_BLIND_KEYS_LINE = _KEYS_LINE.replace(" Enter agrees,", "")
_HELP = """\
0  Pump Announcement     says that a pump will be, with at least two of day, time and exchange
1  Countdown             reminds that an announced pump is near: so many hours or minutes left, be ready
2  Target Coin Release   names the coin to buy now; a bare ticker or trade link, too
3  Pump Results          tells how a past pump went: profits, peak, thanks
4  Delay/Cancellation    moves or cancels an announced pump
5  Noise                 all else: ordinary trading signals and their results, news, offers, greetings
Judge the text alone. If two fit, the first of 4, 0, 2, 1, 3 counts.
- before a label marks it as unsure; u goes back by one; a label is stored the moment it is given.
"""

ReadKey = Callable[[], str | None]


def review(
    alias: Annotated[str | None, typer.Option(help="Name your labels are stored under; by default your login name.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Stop after so many messages.")] = 100,
    label: Annotated[int | None, typer.Option(min=0, max=5, help="Only messages that the classifier gave this label.")] = None,
    channel: Annotated[int | None, typer.Option(help="Only messages of this channel id.")] = None,
    order: Annotated[ReviewOrder, typer.Option(help="Which come first.")] = ReviewOrder.UNCERTAIN,
    blind: Annotated[bool, typer.Option("--blind", help="Hide what the models say, for labels of your own mind.")] = False,
    overlap: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of messages that another person has labelled, to measure agreement; 0.2 if blind, else 0."),
    ] = None,
) -> None:
    """Label messages by hand: those the classifier is unsure of, critical ones, and those that the language model reads otherwise."""
    from pnd_dagster.messages.classifier import chosen_model_dir, load_classifier
    from pnd_dagster.storage import connect

    name = _alias(alias)
    engine, classifier = connect(settings()), load_classifier(chosen_model_dir(settings()))
    if not has_labels(engine, classifier.name, classifier.version):
        raise SourceError(f"no message is labelled by {classifier.name} {classifier.version} yet: import messages, then `pnd run`")
    items = review_items(
        engine,
        name,
        classifier.name,
        classifier.version,
        label=None if label is None else MessageLabel(label),
        channel_id=channel,
        order=order,
        overlap_ratio=(_BLIND_OVERLAP if blind else 0.0) if overlap is None else overlap,
    )
    session = _Session(
        islice(items, limit),
        is_blind=blind,
        write=lambda item, chosen, is_unsure: write_human_label(engine, name, item, chosen, is_unsure=is_unsure),
        remove=lambda item: remove_human_label(engine, name, item),
        show_context=lambda item: _show_context(
            [(message.occurred_at.strftime("%H:%M"), message.text) for message in context_of(engine, item)]
        ),
    )
    with _key_reader() as read_key:
        try:
            session.run(read_key)
        finally:
            given = [(item, chosen) for item, chosen in zip(session.shown, session.given, strict=False) if chosen is not None]
            agreed = sum(item.label == chosen for item, chosen in given)
            say(f"{len(given)} labelled by {name}, {agreed} of them as {classifier.name} did")


@dataclass
class _Session:
    """What was shown and answered; `given` holds the label of each shown item that has been answered, None for a skipped one."""

    items: Iterator[ReviewItem]
    is_blind: bool
    write: Callable[[ReviewItem, MessageLabel, bool], None]
    remove: Callable[[ReviewItem], None]
    show_context: Callable[[ReviewItem], None]
    shown: list[ReviewItem] = field(default_factory=list)
    given: list[MessageLabel | None] = field(default_factory=list)

    def run(self, read_key: ReadKey) -> None:
        """Goes on until there is nothing more, the user quits, or the input ends."""
        while self._has_next():
            item = self.shown[len(self.given)]
            _show(item, len(self.given) + 1, is_blind=self.is_blind)
            if not self._answer(item, read_key):
                return
        if not self.shown:
            say("nothing to review")
            return
        OUT.print("That was the last one. u undoes, any other key ends")
        if read_key() == "u":
            self._undo()
            self.run(read_key)

    def _has_next(self) -> bool:
        if len(self.given) == len(self.shown):
            self.shown += islice(self.items, 1)
        return len(self.given) < len(self.shown)

    def _answer(self, item: ReviewItem, read_key: ReadKey) -> bool:
        """Reads keys until the item is answered or undone; False when the user quits."""
        is_unsure = False
        while True:
            match read_key():
                case None | "q":
                    return False
                case "s":
                    self.given.append(None)
                    return True
                case "u" if self.given:
                    self._undo()
                    return True
                case "u":
                    OUT.print("nothing to undo")
                case "-":
                    is_unsure = not is_unsure
                    OUT.print("unsure" if is_unsure else "sure")
                case "c":
                    self.show_context(item)
                case "?":
                    OUT.print(_HELP, highlight=False, markup=False)
                case "" if self.is_blind or item.label is None:
                    OUT.print("Enter agrees with the classifier, which is hidden here: give 0 to 5" if self.is_blind else "give 0 to 5")
                case "" | "0" | "1" | "2" | "3" | "4" | "5" as key:
                    chosen = MessageLabel(int(key)) if key else item.label
                    assert chosen is not None  # noqa: S101 - the case above
                    self.write(item, chosen, is_unsure)
                    self.given.append(chosen)
                    OUT.print(f"-> {chosen.display_name}{', unsure' if is_unsure else ''}", highlight=False)
                    return True
                case _:
                    OUT.print(f"unknown key; {_BLIND_KEYS_LINE if self.is_blind else _KEYS_LINE}", highlight=False)

    def _undo(self) -> None:
        if self.given.pop() is not None:
            self.remove(self.shown[len(self.given)])


def harmless(text: str) -> str:
    """`text` for a terminal: control, direction and other invisible characters stand as their code, every blank as a space.

    Line breaks stay, empty lines do not.
    """
    lines = ("".join(map(_visible, line)).strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _visible(letter: str) -> str:
    if letter.isprintable():
        return letter
    if letter == "\t" or unicodedata.category(letter) == "Zs":
        return " "
    # Joins the parts of one emoji.
    return "" if letter == "\u200d" else f"\\u{ord(letter):04x}"


def _show(item: ReviewItem, number: int, *, is_blind: bool) -> None:
    title = " ".join(harmless(item.channel_title or f"channel {item.channel_id}").split())
    OUT.print(Rule(f"message {number}", align="left"))
    OUT.print(Text(title[:80], style="bold"))
    OUT.print(Text(f"{item.occurred_at:%Y-%m-%d %H:%M} UTC, message {item.message_id}", style="dim"))
    OUT.print(Text(f"\n{_shortened(item.text)}\n"))
    if not is_blind:
        for line in _said(item):
            OUT.print(Text(line, style="cyan"))
    OUT.print(Text(_BLIND_KEYS_LINE if is_blind else _KEYS_LINE, style="dim"))


def _said(item: ReviewItem) -> list[str]:
    """What the models say, a line each."""
    lines: list[str] = []
    if item.label is not None:
        confidence = "" if item.confidence is None else f", confidence {item.confidence:.2f}"
        lines.append(f"classifier: {int(item.label)} {item.label.display_name}{confidence}")
    if item.llm_label is not None:
        lines.append(f"language model: {int(item.llm_label)} {item.llm_label.display_name}")
    if item.disagreement:
        lines.append(f"rules read otherwise: {harmless(item.disagreement)}")
    return lines


def _show_context(messages: list[tuple[str, str]]) -> None:
    if not messages:
        OUT.print("no earlier message of this channel")
    for time, text in messages:
        OUT.print(Text(f"  {time}  ", style="dim").append(_shortened(text).replace("\n", "\n         ")))


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST_TEXT:
        return harmless(text)
    return f"{harmless(text[:_LONGEST_TEXT])}\n({len(text) - _LONGEST_TEXT} more characters)"


def _alias(alias: str | None) -> str:
    name = alias
    if name is None:
        try:
            name = getpass.getuser()
        except (OSError, KeyError):
            name = str(typer.prompt("Name your labels are stored under"))
    if not _ALIAS.fullmatch(name):
        raise SettingError("--alias: give 1 to 40 letters, digits, dots, hyphens or underscores")
    return name


@contextmanager
def _key_reader() -> Generator[ReadKey]:
    """A function that waits for the next key: '' for Enter, None at the end of input. Without a terminal it reads lines."""
    if not sys.stdin.isatty():
        yield _line_reader()
        return
    import termios  # Windows has neither
    import tty

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    try:
        yield lambda: _read_key(terminal)
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _read_key(terminal: int) -> str | None:
    # The database's driver leaves Ctrl-C's handler such that read() goes on after it; select() does not.
    select.select([terminal], [], [])
    pressed = os.read(terminal, 1)
    if pressed in (b"", b"\x04"):
        return None
    if pressed in (b"\r", b"\n"):
        return ""
    if pressed == b"\x1b" or pressed >= b"\x80":
        # The rest of an arrow key or of a letter beyond ASCII is no key of its own.
        while select.select([terminal], [], [], 0.02)[0] and os.read(terminal, 1):
            pass
        return "\x1b"
    return pressed.decode()


def _line_reader() -> ReadKey:
    """Keys from lines: one a line, or `-` and a label."""
    pending: list[str] = []

    def read_key() -> str | None:
        if pending:
            return pending.pop()
        line = sys.stdin.readline()
        if not line:
            return None
        key = line.strip()
        if len(key) == 2 and key.startswith("-"):
            pending.append(key[1])
            return "-"
        return key

    return read_key
