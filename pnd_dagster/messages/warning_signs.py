"""Warning signs in a message's text: pressure, guaranteed profit, fake insiders and others, by the lexicon beside this module.

The entries of all languages are one pattern, which most messages leave at once; only where it finds something is each sign looked for.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

LEXICON_FILE = Path(__file__).with_name("warning_lexicon.toml")
_LONGEST_PHRASE = 80
_LANGUAGE = re.compile("[a-z]{2}")

# What may stand between two words of a phrase; a stop or a line break ends it.
# Possessive throughout: a word is taken whole or not at all, so that nothing is tried twice.
_SEPARATOR = r"[ \-\"*,/()&~+|\[\]]{1,4}+"
_WORD = r"[\w%$#@]++"
_AFTER_DIGIT = r"[\d.,]{0,15}+(?: ?[kx%$](?!\w))?+"
_NUMBER = rf"(?:\d{_AFTER_DIGIT}|one|two|three|four|five|six|seven|eight|nine|ten|few|couple)"
_CHINESE = re.compile("[\u4e00-\u9fff]")
_WORDS_BETWEEN = 4
_NEGATION_REACH = 60  # characters: three words and a negation
_NOTHING = "(?!)"


class WarningSigns(NamedTuple):
    """The warning signs of one message, sorted, and for each the first words that made it."""

    signs: list[str]
    phrases: list[str]


_NONE = WarningSigns([], [])


class Phrases(NamedTuple):
    """Compiled entries, for folded text with a blank before it; group 1 of a match is the phrase."""

    words: re.Pattern[str]
    chinese: re.Pattern[str]

    def occur(self, folded: str) -> bool:
        """Whether any entry occurs."""
        return bool(self.words.search(folded)) or (not folded.isascii() and bool(self.chinese.search(folded)))

    def matches(self, folded: str) -> Iterator[re.Match[str]]:
        """Where the entries occur."""
        yield from self.words.finditer(folded)
        if not folded.isascii():
            yield from self.chinese.finditer(folded)


class Lexicon(NamedTuple):
    """The compiled lexicon."""

    version: str
    all: Phrases
    by_sign: dict[str, Phrases]
    negated_before: re.Pattern[str]
    negated_after: re.Pattern[str]


def warning_signs(normalised: Sequence[str]) -> list[WarningSigns]:
    """The warning signs of each text, in order; most have none.

    Args:
        normalised: texts as `normalise` makes them.
    """
    lexicon = load_lexicon()
    return [_signs(f" {fold(text)}", lexicon) for text in normalised]


def with_warning_signs(messages: pl.DataFrame) -> pl.DataFrame:
    """`messages` with the columns signs and phrases (lists of strings), from the column normalised."""
    found = warning_signs(messages["normalised"].to_list())
    lists = pl.List(pl.String)
    return messages.with_columns(
        pl.Series("signs", [signs for signs, _ in found], dtype=lists), pl.Series("phrases", [phrases for _, phrases in found], dtype=lists)
    )


def lexicon_entries() -> pl.DataFrame:
    """The lexicon as an analyst reads it: sign, meaning, language, entry; one row per entry."""
    rows = [
        (sign, listed["meaning"], language, entry)
        for sign, listed in _parse()["signs"].items()
        for language, entries in listed.items()
        if _LANGUAGE.fullmatch(language)
        for entry in entries
    ]
    return pl.DataFrame(rows, ["sign", "meaning", "language", "entry"], orient="row")


def fold(text: str) -> str:
    """Lower case without accents and apostrophes: `Kaçırma`, `KAÇIRMA` and `kacirma` are one word, and so are `don't` and `dont`."""
    text = text.lower().replace("'", "")
    if text.isascii():
        return text
    letters = unicodedata.normalize("NFD", text.replace("ı", "i").replace("đ", "d").replace("ß", "ss"))
    return "".join([letter for letter in letters if not unicodedata.combining(letter)])


@cache
def load_lexicon() -> Lexicon:
    """The lexicon that ships, compiled. Its version is its edition and a hash of the file, so that no change goes unnoticed."""
    parsed = _parse()
    entries = lexicon_entries()
    before, void, after = (sorted(map(fold, parsed["negations"][name])) for name in ("before", "void_before", "after"))
    negation = f"(?:{'|'.join(before)})(?!\\w)"
    digest = hashlib.blake2b(LEXICON_FILE.read_bytes(), digest_size=4).hexdigest()
    return Lexicon(
        version=f"{parsed['edition']}-{digest}",
        all=_compile(entries["entry"], negation),
        by_sign={sign: _compile(entries.filter(pl.col("sign") == sign)["entry"], negation) for sign in sorted(parsed["signs"])},
        negated_before=re.compile(rf"(?<!\w){negation}(?! (?:{'|'.join(void)})(?!\w))(?: {_WORD}){{0,3}} \Z"),
        negated_after=re.compile(rf" (?:{'|'.join(_words(entry, negation) for entry in after)})"),
    )


@cache
def _parse() -> dict[str, Any]:
    return tomllib.loads(LEXICON_FILE.read_text(encoding="utf-8"))


def _signs(folded: str, lexicon: Lexicon) -> WarningSigns:
    if not lexicon.all.occur(folded):
        return _NONE
    found: dict[str, str] = {}
    for sign, phrases in lexicon.by_sign.items():
        match = next((match for match in phrases.matches(folded) if not _is_negated(match, lexicon)), None)
        if match:
            found[sign] = match[1][:_LONGEST_PHRASE]
    return WarningSigns(list(found), list(found.values()))


def _is_negated(match: re.Match[str], lexicon: Lexicon) -> bool:
    start, end = match.span(1)
    is_negated = lexicon.negated_before.search(match.string, max(0, start - _NEGATION_REACH), start)
    return bool(is_negated or lexicon.negated_after.match(match.string, end))


def _compile(entries: Iterable[str], negation: str) -> Phrases:
    """One pattern for all entries; those that begin with the same letter stand together, so that few are tried at any place."""
    by_letter: dict[str, list[str]] = {}
    chinese: list[str] = []
    for entry in map(fold, entries):
        if _CHINESE.match(entry):
            chinese.append(re.escape(entry))
            continue
        for first, rest in _beginnings(entry):
            letter, word = ("[0-9]", _AFTER_DIGIT) if first == "#" else (re.escape(first[0]), _word(first[1:]))
            by_letter.setdefault(letter, []).append(word + (_words(rest, negation, is_continued=True) if rest else "") + r"(?!\w)")
    letters = [f"{letter}(?:{'|'.join(sorted(set(words), key=len, reverse=True))})" for letter, words in sorted(by_letter.items())]
    # A pattern that begins with one character of a set is tried at those places only: here, in front of each word.
    words = re.compile(rf"\W({'|'.join(letters)})")
    return Phrases(words, re.compile(f"({'|'.join(chinese) or _NOTHING})"))


def _beginnings(entry: str) -> list[tuple[str, str]]:
    """The entry as (first word, rest) for each word it may begin with."""
    first, _, rest = entry.partition(" ")
    if first.startswith("["):
        return [(word, rest) for word in first[1:-1].split("|")] + _beginnings(rest)
    return list(product(first.split("|"), [rest]))


def _words(entry: str, negation: str, *, is_continued: bool = False) -> str:
    """The pattern of an entry's words; each brings the separator before it, but for the first one that does not continue another."""
    pattern = ""
    for part in entry.split(" "):
        separator = _SEPARATOR if pattern or is_continued else ""
        if part == "..":
            pattern += rf"(?:{separator}(?!{negation}){_WORD}){{0,{_WORDS_BETWEEN}}}?"
        elif part.startswith("["):
            pattern += f"(?:{separator}(?:{'|'.join(map(_word, part[1:-1].split('|')))}))?"
        else:
            pattern += f"{separator}(?:{'|'.join(map(_word, part.split('|')))})"
    return pattern


def _word(word: str) -> str:
    if word == "#":
        return _NUMBER
    return re.escape(word.removesuffix("*")) + (r"\w*+" if word.endswith("*") else r"(?!\w)")
