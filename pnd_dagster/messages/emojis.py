"""Emoji as words, `:rocket:`: one vocabulary for models and rules, in lower case so that no emoji looks like a ticker.

Skin tones are dropped and more than three of the same emoji in a row become three. ©, ® and ™ are text here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

_SKIN_TONES = "🏻🏼🏽🏾🏿"
_VARIATION = re.compile(f"[\ufe0e\ufe0f{_SKIN_TONES}]")
_NOT_EMOJI = frozenset("©®™0123456789#*")
_LONGEST_RUN_OF_ONE = 3
# Wider than emoji, in few ranges: a class of 1,400 characters beyond the BMP is searched ten times slower.
_RUN = re.compile("[\u200d\u203c\u2049\u20e3\u2100-\u27bf\u2900-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff\U000e0020-\U000e007f]+")


class _Emojis(NamedTuple):
    names: dict[str, str]
    longest: dict[str, int]


@cache
def _emojis() -> _Emojis:
    import emoji  # its table takes 60 ms to read, which importers of this module need not pay

    names: dict[str, str] = {}
    for sequence, data in emoji.EMOJI_DATA.items():
        key = _VARIATION.sub("", sequence)
        if not key or key in _NOT_EMOJI or key[0] in "0123456789#*":
            continue
        name = unicodedata.normalize("NFKD", str(data["en"])).encode("ascii", "ignore").decode().strip(":").lower()
        name = re.sub(r"[^a-z0-9]+", "_", name).strip("_")
        # The fully qualified form comes first in the table where several fold to one key.
        names.setdefault(key, f":{name}:")
    longest: dict[str, int] = {}
    for key in names:
        longest[key[0]] = max(longest.get(key[0], 0), len(key))
    return _Emojis(names, longest)


@cache
def emoji_starts() -> frozenset[str]:
    """Characters with which an emoji can begin, and those that modify one."""
    return frozenset(_emojis().longest) | frozenset(_SKIN_TONES) | {"\ufe0e", "\ufe0f"}


@cache
def flags() -> frozenset[str]:
    """The flags of countries as pairs of regional indicators."""
    return frozenset(key for key in _emojis().names if len(key) == 2 and all("\U0001f1e6" <= char <= "\U0001f1ff" for char in key))


def without_variations(text: str) -> str:
    """The text without variation selectors and skin tones."""
    return _VARIATION.sub("", text)


def name_emojis(text: str) -> str:
    """Emoji as ` :name: `; expects the text without variation selectors."""
    return _RUN.sub(lambda run: "".join(_named(run.group())), text)


def _named(run: str) -> Iterator[str]:
    names, longest = _emojis()
    at = repeats = 0
    last = ""
    while at < len(run):
        head = run[at]
        for length in range(longest.get(head, 0), 0, -1):
            name = names.get(run[at : at + length])
            if name is not None and at + length <= len(run):
                break
        else:
            yield head  # a joiner or an accessory without its emoji
            at += 1
            continue
        at += length
        repeats = repeats + 1 if name == last else 1
        last = name
        if repeats <= _LONGEST_RUN_OF_ONE:
            yield f" {name} "
