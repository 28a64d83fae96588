"""Words of strangers, made fit to be shown: what Telegram and exchanges gave us is hostile until it went through here."""

from __future__ import annotations

import re
import unicodedata

from pnd_dagster.messages.urls import replace_addresses
from pnd_dagster.storage.dead_letters import clean_text
from pnd_dagster.venues import venue_by_domain

TITLE_CHARACTERS, SNIPPET_CHARACTERS = 60, 160
LINK = "[link]"
# Blank or invisible, though Unicode calls them letters, marks or symbols.
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_URL = re.compile(r"[^\W\d_][\w+.-]{1,20}://\S*|www\.\S+|\b(?:mailto|tg|tel|javascript|data):\S+", re.IGNORECASE)
_HOST = re.compile(r"(?<![\w@.-])((?:[\w-]{1,63}\.){1,5}[^\W\d_]{2,24})(?![\w-])(?:[/:?#]\S*)?")
_MARKUP = str.maketrans({"<": "‹", ">": "›", "`": "'"})


def plain(text: str | None, limit: int = SNIPPET_CHARACTERS) -> str:
    """One line of `text` that is safe wherever text is shown as text; never longer than `limit` characters, and marked where it was cut.

    Control, zero-width and direction characters are gone, stacked marks too, and so are what could be a link (`[link]`; an exchange's
    domain becomes its name), e-mail addresses, handles, contract addresses and angle brackets.
    """
    # A bomb of marks or of compatibility letters grows at most eighteen-fold.
    line = unicodedata.normalize("NFKC", clean_text((text or "")[: 20 * limit])).replace("\u3002", ".")
    line = " ".join("".join(_visible(line)).split())
    line = _HOST.sub(_without_host, replace_addresses(_URL.sub(LINK, line))).translate(_MARKUP)
    line = " ".join(line.split())
    return line if len(line) <= limit else f"{line[: limit - 1].rstrip()}…"


def one_line(text: str) -> str:
    """`text` of ours without anything that would break a line or a header."""
    return " ".join("".join(_visible(text)).split())


def _visible(text: str) -> list[str]:
    kept: list[str] = []
    marks = 0
    for letter in text:
        category = unicodedata.category(letter)
        marks = marks + 1 if category[0] == "M" else 0
        if letter in _FILLERS or marks > 1:
            continue
        if category[0] == "Z" or letter.isspace():
            kept.append(" ")
        elif category[0] != "C":
            kept.append(letter)
    return kept


def _without_host(match: re.Match[str]) -> str:
    venue = venue_by_domain(match[1].lower())
    return venue.id.split(".")[0] if venue else LINK
