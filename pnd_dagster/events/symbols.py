"""Which coin a message names: evidence of several kinds, summed. Whether the message releases it is decided in `releases`."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from functools import cache
from importlib import resources
from typing import NamedTuple

from pnd_dagster.events.cues import strip_emoji
from pnd_dagster.events.pairs import QUOTES, find_pairs
from pnd_dagster.events.words import LISTED_WORDS, MONEY, PLAIN_WORDS, WORD_COINS

_READ_CHARACTERS = 3000
_SYMBOL = r"[A-Za-z0-9]{2,10}"
_CASH = re.compile(r"(?<![\w$])\$\s?([A-Za-z][A-Za-z0-9]{1,9}|\d{1,3}[A-Za-z]{2,8})\b")
_HASH = re.compile(r"(?<![\w#&])#\s?([A-Za-z0-9]{2,10})\b(?!_)")
_REVEAL = re.compile(
    r"(?:\b(?:coin|token|gem|pick|target|call|монета)s?\b[^\n:=#$.!?]{0,60}?(?:\bis\b|\bname\b|\bismi\b|\btoday\b|\bnow\b|[:=>])"
    r"|\b(?:coin|pump)\s?name\b|\bcoin\b(?=\s?\W{1,4}\s?[A-Z0-9]{2,10}\b))"
    rf"(?:[^\w#$]|\bis\b|\bname\b|\bismi\b|[#$]){{0,60}}?({_SYMBOL})\b(?!\s?name\b)",
    re.IGNORECASE,
)
_BRACKETED = re.compile(r"\b[A-Za-z][\w.\- ]{1,25}\s?\(\s?[#$]?([A-Z0-9]{2,10})\s?\)")
_NAME_AFTER = re.compile(r"\b([A-Z0-9]{2,10})\s?\(\s?[A-Za-z][A-Za-z .\-]{2,25}\)")
_BUY = re.compile(
    rf"\b(?:buy|buying|pump|pumping|hold)\s+(?:some\s|the\s|and\shold\s|coin\s|on\s|now\s|only\s)*[^\w\n]{{0,6}}({_SYMBOL})\b",
    re.IGNORECASE,
)
_CAPITALS = re.compile(r"(?<![\w@/.])([A-Z][A-Z0-9]{1,9}|\d{1,3}[A-Z]{2,8})(?![\w/])")
_CHANT = re.compile(r"([A-Z]{2})\1+|.*(.)\2\2.*")
_WORD = re.compile(r"[A-Za-z0-9]+")
_PLACEHOLDERS = re.compile(
    r"@USER\b|UNKNOWN_\w+|(?:TRADE|EXCHANGE)_URL\([^)\n]*\)|CONTRACT_ADDRESS|\b(?:\w+\s(?=exchange_CEX\b))?[\w.]+_(?:CEX|DEX)\b|_(?:CEX|DEX)\b|https?://\S+|t\.me/\S+"
)


class SymbolReading(NamedTuple):
    """The coin a text names: upper-case symbol, confidence (0-1), summed evidence in points, and the kinds of evidence found."""

    symbol: str
    confidence: float
    points: float
    evidence: tuple[str, ...]


@cache
def load_known_symbols() -> frozenset[str]:
    """Symbols that exchanges listed at some time: a bonus for a reading, never a filter (delisted and renamed coins are missing)."""
    text = resources.files("pnd_dagster.events").joinpath("known_symbols.txt").read_text(encoding="ascii")
    return frozenset(text.split())


def read_symbol(text: str, known_symbols: frozenset[str]) -> SymbolReading | None:
    """The coin that `text` (normalised) names, by summed evidence; None if nothing in it looks like one (paper IV-C).

    Points: trade link or pair 6, $cash 5, alone in up to three words 4, 'the coin is' 3, #hash 3, NAME (SYM) 3, 'buy X' 2, any capitals 1.
    Every kind counts once per symbol; a known symbol gets a bonus. The text may hold a coin without releasing it: read releases only.
    """
    text = text[:_READ_CHARACTERS]
    points: defaultdict[str, float] = defaultdict(float)
    kinds: defaultdict[str, set[str]] = defaultdict(set)
    first: dict[str, int] = {}

    def add(symbol: str, kind: str, weight: float, start: int) -> None:
        symbol = symbol.upper()
        if symbol in MONEY or not symbol.isascii() or not any(character.isalpha() for character in symbol) or kind in kinds[symbol]:
            return
        kinds[symbol].add(kind)
        points[symbol] += weight
        first[symbol] = min(start, first.get(symbol, start))

    for pair in find_pairs(text):
        add(pair.base, "link" if pair.is_link else "pair", 6, pair.start)
    bare = strip_emoji(_PLACEHOLDERS.sub(" ", text))
    for match in _CASH.finditer(bare):
        add(match[1], "cash", 5, match.start())
    for match in _HASH.finditer(bare):
        symbol = match[1].upper()
        if symbol not in QUOTES and (symbol not in PLAIN_WORDS or symbol in WORD_COINS):
            add(symbol, "hash", 3, match.start())
    words = _WORD.findall(bare)
    if 0 < len(words) <= 3 and len(strip_emoji(text).split()) <= 5 and len(bare.strip()) <= 40:
        for word in words:
            symbol = word.upper()
            if not 2 <= len(word) <= 10 or symbol in QUOTES or (symbol in PLAIN_WORDS and symbol not in WORD_COINS):
                continue
            if _is_interjection(symbol, known_symbols) or (symbol in LISTED_WORDS and not (word.isupper() and len(words) == 1)):
                continue
            # A word in small print is rarely a coin, unless it is one.
            weight = 4.0 if word.isupper() else 3.5 if symbol in known_symbols and len(words) == 1 else 1.5 if len(words) == 1 else 0.0
            if weight:
                add(word, "alone", weight - (symbol in PLAIN_WORDS), 0)
    for pattern, kind, weight in ((_REVEAL, "reveal", 3.0), (_BRACKETED, "name", 3.0), (_NAME_AFTER, "name", 2.0), (_BUY, "buy", 2.0)):
        for match in pattern.finditer(bare):
            symbol, points_here = match[1], weight
            if symbol.upper() in PLAIN_WORDS or symbol.upper() in QUOTES:
                # 'The coin is VIA': a word that is a coin too, in capitals, where the coin must stand.
                if kind != "reveal" or not symbol.isupper() or symbol not in WORD_COINS or _is_shouting(bare):
                    continue
                points_here = 2.0
            if symbol.upper() in LISTED_WORDS and (kind == "buy" or not symbol.isupper() or _is_shouting(bare)):
                continue
            # Small print after 'buy' or 'coin is' is mostly a verb ("coin is looking"), a symbol only if it is known.
            is_capital = sum(character.isupper() for character in symbol) >= 2 or not symbol[1:].islower()
            if not is_capital and symbol.upper() not in known_symbols:
                points_here *= 0.3
            add(symbol, kind, points_here if is_capital or kind == "reveal" else points_here * 0.5, match.start(1))
    if not _is_shouting(bare):
        for match in _CAPITALS.finditer(bare):
            if match[1] not in PLAIN_WORDS and match[1] not in LISTED_WORDS and match[1] not in QUOTES:
                add(match[1], "capitals", 1, match.start())
    for symbol in points:
        if symbol in known_symbols:
            points[symbol] += 1.5
        points[symbol] += 0.3 * max(0, min(3, len(re.findall(rf"\b{symbol}\b", bare)) - 1))
    if not points:
        return None
    ranked = sorted(points, key=lambda symbol: (-points[symbol], first[symbol], symbol))
    best = ranked[0]
    rival = points[ranked[1]] if len(ranked) > 1 else 0.0
    confidence = (1 - math.exp(-points[best] / 3)) * points[best] / (points[best] + 0.5 * rival)
    return SymbolReading(best, confidence, points[best], tuple(sorted(kinds[best])))


def _is_interjection(symbol: str, known_symbols: frozenset[str]) -> bool:
    """Whether a word is a shout such as GOGOGO or WOOOW; three letters may be a coin."""
    return len(symbol) > 3 and symbol not in known_symbols and bool(_CHANT.fullmatch(symbol))


def _is_shouting(text: str) -> bool:
    """Whether a text is written in capitals throughout, so that capitals mark no symbol."""
    letters = [character for character in text if character.isalpha()]
    return len(letters) > 30 and sum(character.isupper() for character in letters) > 0.6 * len(letters)
