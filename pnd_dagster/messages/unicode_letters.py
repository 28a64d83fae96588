"""Letters and digits that only look unusual: enclosed, dingbat, small-capital, homoglyph, struck through.

Belongs here: one code point, or a run of them, that stands for a plain letter or digit. Emoji are in `emojis.py`, letters that are
spread out with separators in `spacing.py`. Every function is linear and leaves plain ASCII alone.
"""

from __future__ import annotations

import re
import string

_UPPER, _LOWER = string.ascii_uppercase, string.ascii_lowercase


def _alphabet(first: int, letters: str) -> dict[str, str]:
    return {chr(first + offset): letter for offset, letter in enumerate(letters)}


_ENCLOSED = {
    **_alphabet(0x24B6, _UPPER),  # circled
    **_alphabet(0x24D0, _LOWER),
    **_alphabet(0x249C, _LOWER),  # parenthesised
    **_alphabet(0x1F110, _UPPER),
    **_alphabet(0x1F130, _UPPER),  # squared
    **_alphabet(0x1F150, _UPPER),  # negative circled
    **_alphabet(0x1F170, _UPPER),  # negative squared
}
_REGIONAL = _alphabet(0x1F1E6, _UPPER)
# Single ones of these are emoji (blood types, parking, metro) and stay what they are.
_ENCLOSED_EMOJI = frozenset("🅰🅱🅾🅿Ⓜ")
_DIGITS = {
    "⓿": "0",
    "🄋": "0",
    "🄌": "0",
    "🔟": "10",
    **{chr(0x2776 + n): str(n + 1) for n in range(10)},
    **{chr(0x2780 + n): str(n + 1) for n in range(10)},
    **{chr(0x278A + n): str(n + 1) for n in range(10)},
    **{chr(0x24EB + n): str(n + 11) for n in range(10)},
    **{chr(0x24F5 + n): str(n + 1) for n in range(10)},
    **{chr(0x1F101 + n): str(n) for n in range(10)},
}
_SMALL_CAPITALS = dict(zip("ᴀʙᴄᴅᴇꜰғɢʜɪᴊᴋʟᴍɴᴏᴘǫꞯʀꜱᴛᴜᴠᴡʏᴢ", "ABCDEFFGHIJKLMNOPQQRSTUVWYZ", strict=True))
_HOMOGLYPHS = dict(
    zip(
        "АВЕКМНОРСТХУІЅЈԚԜаеорсхуіѕјԛԝһԁӏ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧονι",
        "ABEKMHOPCTXYISJQWaeopcxyisjqwhdl" + "ABEZHIKMNOPTYXovi",
        strict=True,
    )
)

REGIONAL = frozenset(_REGIONAL)
KEYCAP = "\u20e3"
DIGITS = frozenset(_DIGITS)
ENCLOSED = frozenset(_ENCLOSED)
SMALL_CAPITALS = frozenset(_SMALL_CAPITALS)
HOMOGLYPHS = frozenset(_HOMOGLYPHS)
# Marks that have no place after composition: underlines, strokes, stacked accents. Marks of other scripts are left alone.
LOOSE_MARKS = frozenset(
    map(chr, [*range(0x0300, 0x0370), *range(0x1AB0, 0x1B00), *range(0x1DC0, 0x1E00), *range(0x20D0, 0x2100), *range(0xFE20, 0xFE30)])
)

_KEYCAP_RE = re.compile(r"([0-9#*])\ufe0f?\u20e3")
_DIGIT_TABLE = str.maketrans(_DIGITS)
_ENCLOSED_TABLE = str.maketrans(_ENCLOSED)
_REGIONAL_TABLE = str.maketrans(_REGIONAL)
_ENCLOSED_CLASS = f"[{''.join(sorted(_ENCLOSED))}]"
_ENCLOSED_RUN = re.compile(
    f"{_ENCLOSED_CLASS}{{2,}}|(?<!{_ENCLOSED_CLASS})(?:{_ENCLOSED_CLASS} ){{2,}}{_ENCLOSED_CLASS}(?!{_ENCLOSED_CLASS})"
)
_ENCLOSED_PLAIN = str.maketrans({char: letter for char, letter in _ENCLOSED.items() if char not in _ENCLOSED_EMOJI})
_REGIONAL_RUN = re.compile(f"[{''.join(sorted(_REGIONAL))}]+")
_SMALL_CLASS = "".join(_SMALL_CAPITALS)
_SMALL_WORD = re.compile(f"[A-Za-z]*[{_SMALL_CLASS}][A-Za-z{_SMALL_CLASS}]*")
_SMALL_TABLE = str.maketrans(_SMALL_CAPITALS)
_HOMOGLYPH_TABLE = str.maketrans(_HOMOGLYPHS)
_MIXED_WORD = re.compile(r"[A-Za-z0-9\u0370-\u03ff\u0400-\u052f]+")
_LATIN = re.compile(r"[A-Za-z]")
_NOT_MAPPABLE = re.compile(f"[^A-Za-z0-9{''.join(_HOMOGLYPHS)}]")
_LOOSE_MARK_RE = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")


def plain_keycaps(text: str) -> str:
    """Keycap emoji as their digit or sign."""
    return _KEYCAP_RE.sub(r"\1", text)


def plain_digits(text: str) -> str:
    """Dingbat and circled digits as ASCII digits."""
    return text.translate(_DIGIT_TABLE)


def plain_enclosed(text: str) -> str:
    """Enclosed letters as letters: runs of two or more (or of three with single spaces), and single ones that are no emoji."""
    text = _ENCLOSED_RUN.sub(lambda run: run.group().translate(_ENCLOSED_TABLE), text)
    return text.translate(_ENCLOSED_PLAIN)


def plain_regional(text: str, flags: frozenset[str]) -> str:
    """Regional indicators as letters where a run of them is not a row of `flags`."""

    def spell(run: re.Match[str]) -> str:
        letters = run.group()
        pairs = [letters[at : at + 2] for at in range(0, len(letters), 2)]
        return letters if all(pair in flags for pair in pairs) else letters.translate(_REGIONAL_TABLE)

    return _REGIONAL_RUN.sub(spell, text)


def plain_small_capitals(text: str) -> str:
    """Words written in small capitals, in capitals."""
    return _SMALL_WORD.sub(lambda word: word.group().translate(_SMALL_TABLE).upper(), text)


def plain_homoglyphs(text: str) -> str:
    """Cyrillic and Greek look-alikes as Latin letters, only in words that hold a Latin letter and nothing but look-alikes."""

    def latinise(match: re.Match[str]) -> str:
        word = match.group()
        if word.isascii() or not _LATIN.search(word) or _NOT_MAPPABLE.search(word):
            return word
        return word.translate(_HOMOGLYPH_TABLE)

    return _MIXED_WORD.sub(latinise, text)


def without_loose_marks(text: str) -> str:
    """The text without combining marks that no letter took in composition."""
    return _LOOSE_MARK_RE.sub("", text)
