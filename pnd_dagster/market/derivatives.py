"""Leveraged, inverse and other derivative tokens, told from coins whose own name only ends like one.

The paper excludes them by pattern (section IV-D); a pattern alone would take JUP, SYRUP and REDBULL for derivatives too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

MAJORS = frozenset(
    {
        *("BTC", "ETH", "BNB", "XRP", "SOL", "ADA", "DOGE", "TRX", "DOT", "LTC", "BCH", "LINK", "AVAX", "MATIC", "POL", "ATOM"),
        *("ETC", "XLM", "EOS", "XTZ", "UNI", "AAVE", "FIL", "NEAR", "SHIB", "PEPE", "SUI", "TON", "APT", "ARB", "OP"),
    }
)
"""Coins that issuers make derivative tokens of, whether or not the exchange lists the coin itself."""

# 3L, 3S, 5L, 10S: nobody names a coin so by chance. The words are also ends of plain names.
_NUMBERED = re.compile(r"^(?P<base>.+?)(?P<suffix>(?:[1-9]|10)[LS])$")
_WORDED = re.compile(r"^(?P<base>.*?)(?P<suffix>UP|DOWN|BULL|BEAR|HALF|HEDGE|LONG|SHORT)$")
_OPPOSITE = {"UP": "DOWN", "DOWN": "UP", "BULL": "BEAR", "BEAR": "BULL", "LONG": "SHORT", "SHORT": "LONG", "HALF": "HEDGE", "HEDGE": "HALF"}
# "3X Long Bitcoin Token", "0.5X Long Ether", "BTC 3x Short", "1X Short Bitcoin Token"
_NAMED = re.compile(r"\b\d+(\.\d+)?\s*x\s*(long|short)\b|\bleveraged\s+(long|short|token)|\binverse\s+\w+\s+token", re.IGNORECASE)


class Derivative(NamedTuple):
    """A derivative token: what it derives from (None if its own symbol does not say), and why we think so."""

    base: str | None
    reason: str


def classify(
    bases: Iterable[str], known: Iterable[str] = (), *, names: Mapping[str, str | None] | None = None
) -> dict[str, Derivative | None]:
    """Each base currency with the derivative token it is, None for a coin.

    A number and L or S (`BTC3L`) means a derivative if the coin before it is known, or if its opposite (`BTC3S`) is listed too. A word
    (`BTCUP`) needs more, for names end in such words: the coin before it is a major one, or is known while the opposite is listed too.
    A currency whose name says it ("3X Long Bitcoin Token") is one in any case.

    Args:
        bases: base currencies of one exchange, upper case.
        known: further coins that exist, upper case.
        names: the exchange's names of the currencies, where it gives some.
    """
    listed = set(bases)
    coins = listed | set(known) | MAJORS
    named = names or {}
    return {base: _derivative(base, listed, coins, named.get(base)) for base in listed}


def _derivative(symbol: str, listed: set[str], coins: set[str], name: str | None) -> Derivative | None:
    pattern = _NUMBERED.match(symbol) or _WORDED.match(symbol)
    base = pattern["base"] if pattern and pattern["base"] in coins else None
    if name is not None and _NAMED.search(name):
        return Derivative(base, f"its name is {name}")
    if pattern is None:
        return None
    stem, suffix = pattern["base"], pattern["suffix"]
    is_numbered = suffix[0].isdigit()
    opposite = stem + (suffix[:-1] + ("S" if suffix[-1] == "L" else "L") if is_numbered else _OPPOSITE[suffix])
    has_opposite = opposite in listed
    if is_numbered and has_opposite:
        return Derivative(stem, f"{opposite} is listed too")
    # One letter and a number (S3L) may be a name of its own, unless its opposite is there.
    if is_numbered and base is not None and (len(base) > 1 or base in MAJORS):
        return Derivative(base, f"{base} exists")
    if base in MAJORS:
        return Derivative(base, f"{base} is a major coin")
    if base is not None and has_opposite:
        return Derivative(base, f"{base} exists and {opposite} is listed too")
    return None
