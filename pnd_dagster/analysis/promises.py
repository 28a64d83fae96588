"""The gain that an announcement promises: "Target: +500%", "10-15x", "expect no less than 700%"."""

from __future__ import annotations

import re
import unicodedata

MOST_GAIN = 1_000.0
"""100,000 percent; nobody means more."""

_NUMBER = r"\d{1,3}(?:[.,]\d{3})+(?!\d)|\d{1,9}(?:[.,]\d{1,2})?(?!\d)"
_SIGN, _DASH = "[-+\N{MINUS SIGN}]", "(?:-|\N{EN DASH}|~|to|/)"
_GAIN = re.compile(
    rf"(?P<sign>{_SIGN}?)(?<![\d.,])(?P<low>{_NUMBER})\s?(?P<low_unit>%|x\b)?"
    rf"(?:\s?{_DASH}\s?\+?(?P<high>{_NUMBER})\s?(?P<unit>%|x(?![a-z])))?"
    rf"|(?<![a-z\d])x\s?(?P<times>{_NUMBER})(?![\w%.])"
)
_PROMISE = re.compile(
    r"target|expect|\bexp\b|growth|goal|aim|project|at least|no less|minimum|up ?to|gain|profit|\bwill (?:go|be|rise|reach|pump|push)"
    r"|could (?:go|reach|rise)|possib|potential|guarant|\b(?:rise|moon|spike|increase)\b"
)
_TARGET = re.compile(r"target|growth|goal|aim|expect|\bexp\b|project|no less|at least|minimum")
# Told of the past, or of something else than the coin's price.
_OTHER = re.compile(
    r"previous|\blast\b|results?\b|peak|reached|reaching|\bhit\b|\bwas\b|\bwere\b|\bmade\b|gave|making us|make us|averag|volume|so far"
    r"|discount|\boff\b|\bvip|premium|balance|fund|capital|portfolio|\bfees?\b|bonus|commission|referral|cashback|leverage|cross\b"
    r"|margin|risk|stop|win ?rate|accura|success|members?\b|supply|\bsell\b|using"
)
_CERTAINTY = re.compile(
    r"\s*(?:fair|free|safe|guarant|sure|legit|work|accura|success|automat|organi[sz]ed|commit|trust|true|real\b|of your)"
)
_BEFORE, _AFTER = 45, 24
_BREAK = re.compile(r"[\n!?]|\.\s")


def promised_gain(text: str) -> float | None:
    """The gain that a text promises, 1.0 for +100%; None if it promises none.

    A percentage or a multiple counts if words of promising stand before it or just behind it in the same sentence, and none of the past
    or of fees, funds and discounts. Of a range the lower end counts; of several promises the first that is called a target, else the
    first. Negative and absurd ones (`MOST_GAIN`) are none. Any text is accepted; linear in its length.
    """
    plain = "".join(letter for letter in unicodedata.normalize("NFKC", text).casefold() if unicodedata.category(letter) != "Cf")
    first: float | None = None
    for match in _GAIN.finditer(plain):
        gain = _gain(match)
        if gain is None or not 0 < gain <= MOST_GAIN:
            continue
        before = _BREAK.split(plain[max(0, match.start() - _BEFORE) : match.start()])[-1]
        after = _BREAK.split(plain[match.end() : match.end() + _AFTER])[0]
        around = f"{before} {after}"
        if not _PROMISE.search(around) or _OTHER.search(around) or _CERTAINTY.match(after):
            continue
        if _TARGET.search(before):
            return gain
        first = gain if first is None else first
    return first


def _gain(match: re.Match[str]) -> float | None:
    if match["times"]:
        return _value(match["times"]) - 1
    unit = match["unit"] or match["low_unit"]
    if unit is None or (match["sign"] not in ("", "+") and not match["high"]):
        return None
    low = _value(match["low"])
    return low / 100 if unit == "%" else low - 1


def _value(number: str) -> float:
    if re.fullmatch(r"\d{1,3}(?:[.,]\d{3})+", number):
        return float(re.sub(r"[.,]", "", number))
    return float(number.replace(",", "."))
