"""Disguises of letters: fancy Unicode alphabets, spaced, bracketed and joined letters, emoji around words."""

from __future__ import annotations

from collections.abc import Callable

Lettering = Callable[[str], str]


def _alphabet(upper_start: int, lower_start: int | None = None) -> Lettering:
    table = {ord("A") + index: chr(upper_start + index) for index in range(26)}
    if lower_start is not None:
        table |= {ord("a") + index: chr(lower_start + index) for index in range(26)}
    else:
        table |= {ord("a") + index: chr(upper_start + index) for index in range(26)}
    return lambda text: text.translate(table)


bold_sans = _alphabet(0x1D5D4, 0x1D5EE)
bold_italic_sans = _alphabet(0x1D63C, 0x1D656)
circled = _alphabet(0x24B6, 0x24D0)
squared = _alphabet(0x1F170)
full_width = _alphabet(0xFF21, 0xFF41)


def plain(text: str) -> str:
    """As it is."""
    return text


def spaced(text: str) -> str:
    """N E B L"""
    return " ".join(text)


def underscored(text: str) -> str:
    """N_E_B_L"""
    return "_".join(text)


def bracketed(text: str) -> str:
    """( N ) ( E ) ( B ) ( L )"""
    return " ".join(f"( {letter} )" for letter in text)


def hashtag(text: str) -> str:
    """#NEBL"""
    return f"#{text}"


def cashtag(text: str) -> str:
    """$NEBL"""
    return f"${text}"


def underlined(text: str) -> str:
    """Each letter with a combining line below."""
    return "".join(f"{letter}̲" for letter in text)


def stacked(text: str) -> str:
    """One letter a line."""
    return "\n".join(text)


def homoglyphs(text: str) -> str:
    """Some Latin capitals replaced by Cyrillic ones that look the same."""
    return text.translate(str.maketrans("AEOPCTKMX", "АЕОРСТКМХ", ""))
