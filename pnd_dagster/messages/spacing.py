"""Letters spread out to hide a word, words run together, and white space.

`B I N A N C E`, `( N ) ( A ) ( V )`, `A_R_N` and one letter a line are joined; `5minutes` and `17:00GMT` are split. Words that only
look alike stay: `U.S.-based`, `V.I.P`, `TARGET 1 2 3 4 5 DONE`. Every pattern is linear in the length of the text.
"""

from __future__ import annotations

import re

# Three or more single characters, one space (not a line break) between them.
_SPACED = re.compile(r"(?<![^\s(\[{:\"'*>#$=~|.,!\-])(?:[A-Za-z0-9] ){2,}[A-Za-z0-9](?![^\s)\]}:\"'*<=~|.,!?])(?!['’.]\w)")
_BRACKETED = re.compile(r"(?:[(\[{<«|] ?[A-Za-z0-9] ?[)\]}>»|]\s{0,3}){3,}")
_BARRED = re.compile(r"(?<![\w|])[A-Za-z0-9](?: ?\| ?[A-Za-z0-9]){2,}(?![\w|])")
_UNDERSCORED = re.compile(r"(?<!\w)_?[A-Za-z0-9](?: ?([_*~•·]) ?[A-Za-z0-9])(?: ?\1 ?[A-Za-z0-9])+_?(?!\w)")
# Waves of charts are written A-B-C: hyphens need four letters.
_HYPHENATED = re.compile(r"(?<![\w-])[A-Z0-9](?:-[A-Z0-9]){3,}(?![\w-])")
_SINGLE_LINES = re.compile(r"(?:(?<=\n)|^)(?:[^\S\n]*[A-Za-z0-9][^\S\n]*\n\s*){2,}[A-Za-z0-9][^\S\n]*(?=\n|\Z)")
_HAS_SINGLE_LINE = re.compile(r"(?:^|\n)[^\S\n]*[A-Za-z0-9][^\S\n]*(?:\n|\Z)")
_UNIT = re.compile(
    r"(?<![A-Za-z0-9])(\d{1,6}(?:[:.]\d{1,6}){0,2})(?=(?:minutes?|mins?|hours?|hrs?|hr|seconds?|secs?|days?|weeks?|GMT|UTC|EST|EDT|PST|CET|CEST|BST|IST|MSK)(?![A-Za-z]))",
    re.IGNORECASE,
)
_NOT_LETTER_OR_DIGIT = re.compile(r"[^A-Za-z0-9]+")
_MARKS = re.compile(r"[A-Za-z]")
_BLANKS = re.compile(r"[^\S\n]+")
_LINES = re.compile(r" ?\n[ \n]*")


def _joined(run: str) -> str:
    """`run` without what stands between its letters, or unchanged when it is rather a list of numbers."""
    letters = _NOT_LETTER_OR_DIGIT.sub("", run)
    alphabetic = len(_MARKS.findall(letters))
    if alphabetic * 2 < len(letters) or alphabetic < 2:
        return run
    return letters


def join_letters(text: str) -> str:
    """Words whose letters stand apart, joined: by spaces, brackets, bars, underscores, hyphens or line breaks."""

    def spaced(match: re.Match[str]) -> str:
        run = match.group()
        letters = run.replace(" ", "")
        # Lower-case single letters are more often options and initials: four at least, all of one case.
        if len(letters) < 4 and not letters.isupper():
            return run
        if not (letters.isupper() or (letters.islower() and letters.isalpha())) or letters[0].isdigit():
            return run
        return _joined(run)

    def kept_edges(match: re.Match[str]) -> str:
        run = match.group()
        joined = _joined(run.rstrip())
        return run if joined == run.rstrip() else f"{joined}{run[len(run.rstrip()) :]}"

    if "\n" in text and _HAS_SINGLE_LINE.search(text):
        text = _SINGLE_LINES.sub(lambda match: _joined(match.group()), text)
    text = _SPACED.sub(spaced, text)
    if any(bracket in text for bracket in "([{<«|"):
        text = _BRACKETED.sub(kept_edges, text)
        text = _BARRED.sub(lambda match: _joined(match.group()), text)
    if any(mark in text for mark in "_*~•·"):
        text = _UNDERSCORED.sub(lambda match: _joined(match.group()), text)
    return _HYPHENATED.sub(lambda match: _joined(match.group()), text) if "-" in text else text


def split_units(text: str) -> str:
    """`5minutes` as `5 minutes` and `17:00GMT` as `17:00 GMT`."""
    return _UNIT.sub(r"\1 ", text)


def fold_white_space(text: str) -> str:
    """Single spaces, single line breaks, nothing at the edges of lines."""
    return _LINES.sub("\n", _BLANKS.sub(" ", text)).strip()
