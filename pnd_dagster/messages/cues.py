"""Cues a human reader uses to tell the six classes apart, as named booleans of a normalised text.

They complete the n-grams: a bare ticker has no n-gram that training has seen, and whether `17:00` is a countdown or an announcement
depends on what else is there, so that pairs of cues count too. What stands in the first words counts apart (`first:`): a post headed
"1 hour left" is a countdown even if it restates date and exchange, one headed "rescheduled" is no announcement.
"""

from __future__ import annotations

import re
from itertools import combinations

_EMOJI_NAME = re.compile(r":[a-z0-9_]+:")
_CASHTAG = re.compile(r"[$#][A-Za-z][A-Za-z0-9]{1,9}\b")
_TICKER = re.compile(r"[$#]?[A-Z0-9]{2,10}")
_SHORT_WORD = re.compile(r"[A-Za-z0-9]{2,8}")
_WORD = re.compile(r"[\w$#@%./:'+-]+")
_CAPITALS, _SMALLS, _FOREIGN = re.compile("[A-Z]"), re.compile("[a-z]"), re.compile(r"[^\W\d_a-zA-Z]")
_PLAIN_WORD = re.compile(r"[a-z]+(?:-[a-z]+)?")

_AMOUNT = r"(?:\d{1,3}|one|two|three|four|five|six|seven|eight|nine|ten|fifteen|thirty|half an|an|few|last|final)"
_UNIT = r"(?:min|mins|minute|minutes|minutos|hour|hours|hr|hrs|h|sec|secs|second|seconds|day|days)\b"
_PATTERNS: dict[str, str] = {
    "remaining": rf"\b{_AMOUNT} {_UNIT}[^\n.]{{0,12}}?\b(?:left|remain\w*|to go|until|till|til|before|more|away|to)\b",
    "remaining_first": rf"\b(?:in|left|only|less than|remaining|within)\b:? (?:just |only |about |exactly )?{_AMOUNT} {_UNIT}",
    "amount_of_time": rf"\b{_AMOUNT} {_UNIT}",
    "next_post": r"\bnext (?:post|message|msg)\b|\bcoin name (?:will|next|in)\b|\b(?:get|be) ready\b|\bstay (?:tuned|ready|online)\b",
    "clock": r"\b\d{1,2}:\d\d\b|\b\d{1,2}(?:\.\d\d)? ?(?:am|pm|gmt|utc)\b",
    "day_number": r"\b\d{1,2}(?:st|nd|rd|th)\b|\b\d{1,2}[./-]\d{1,2}[./-]\d{2,4}\b",
    "coin_is": r"\b(?:coin|token|pick|signal|target|pump)(?: name| \w+)?\s*(?:is|:|=|-)",
    "percent": r"\d ?%|% ?\d",
    "multiple": r"\b\d{1,3}(?:\.\d)? ?x\b",
    "low_high": r"\b(?:low|start(?:ed)?|open|high|initial)(?:est)?(?: price)?(?: in \w+)?\s*[:=]",
    "moved": r"\bmoved? to\b|\bnew (?:date|time)\b|\bdue to\b|\bwill be (?:tomorrow|on)\b|\binstead of\b",
    "trade_idea": r"\bstop ?-?loss\b|\bs/?l\b|\bt/?p ?\d?\b|\bbuy (?:zone|range|between|around|at|price|order)\b|\btargets? ?\d? ?[:=-]",
    "scheduled": r"\b(?:date|time|when|day)\s*(?:[:=-]|is)",
    "exchange_named": r"\bexchange\s*(?:[:=-]|is|will)",
    "our_last": r"\b(?:our|the) (?:last|previous|latest) ",
    "dollars": r"\$ ?\d|\d ?\$",
    "decimal": r"\b0\.\d{4,}",
}
_COMPILED = {name: re.compile(pattern) for name, pattern in _PATTERNS.items()}
_WORDS: dict[str, str] = {
    "zone": "gmt utc est edt ist cet cest bst pst msk",
    "month": "jan january feb february march april may june july aug august sep sept september oct october nov november dec december",
    "weekday": "monday tuesday wednesday thursday friday saturday sunday",
    "today": "today tonight now",
    "tomorrow": "tomorrow upcoming next soon",
    "pump": "pump pumps pumping pumped",
    "pumped": "pumped went did was were",
    "signal": "signal signals call calls event",
    "coin": "coin coins token",
    "hold": "hold hodl sell selling",
    "buy": "buy buying bought",
    "go": "go goo gooo gogo gogogo moon mooning fly flying",
    "result": "result results reached reach peak peaked congrats congratulations thanks success successful made smashed achieved hit",
    "gain": "gain gains profit profits",
    "volume": "volume",
    "delay": "postpone postponed postponing postponement delay delayed delaying delays cancel cancelled canceled cancelling cancellation "
    "reschedule rescheduled rescheduling",
    "change": "change changed changes changing shifted shift moved instead",
    "sorry": "sorry apologize apologise apologies apology unfortunately unfortunate regret bad problem problems issue issues maintenance",
    "idea": "target targets entry leverage short long stop support resistance",
    "vip": "vip premium member members membership subscribe subscription join invite contact admin",
    "pairing": "pair pairing paired",
    "guide": "guide rules rule instructions steps step transfer deposit register account funds",
    "ffa": "ffa free",
    "left": "left remaining remain until till countdown",
    "expected": "expect expected target goal",
    "announcement": "announcement announce announcing",
}
_CUE_OF_WORD: dict[str, str] = {word: cue for cue, words in _WORDS.items() for word in words.split()}
_MARKERS = {
    "trade_url": "TRADE_URL(",
    "token_url": "TOKEN_URL(",
    "exchange_url": "EXCHANGE_URL(",
    "unknown_url": "UNKNOWN_URL",
    "user": "@USER",
    "contract": "CONTRACT_ADDRESS",
    "exchange": "_CEX",
    "dex": "_DEX",
}
# What counts apart when it stands in the first words.
_FIRST = ("remaining", "remaining_first", "amount_of_time", "coin_is", "percent", "moved", "our_last", "next_post")
_FIRST_WORDS = frozenset({"delay", "change", "sorry", "result", "left", "announcement", "pump", "signal"})
_FIRST_CHARS = 90
_HEAD_CHARS, _TAIL_CHARS = 700, 300


def cues(text: str) -> list[str]:
    """Names of the cues of a normalised text, pairs of them included (`a&b`)."""
    if len(text) > _HEAD_CHARS + _TAIL_CHARS:
        text = f"{text[:_HEAD_CHARS]}\n{text[-_TAIL_CHARS:]}"
    plain = _EMOJI_NAME.sub(" ", text)
    low = plain.lower()
    found: list[str] = []
    first: list[str] = []
    for name, pattern in _COMPILED.items():
        if match := pattern.search(low):
            found.append(name)
            if name in _FIRST and match.start() < _FIRST_CHARS:
                first.append(f"first:{name}")
    found += sorted(_words(low))
    first += sorted(f"first:{cue}" for cue in _words(low[:_FIRST_CHARS]) & _FIRST_WORDS)
    found += [name for name, marker in _MARKERS.items() if marker in text]
    found += [*first, *_shape(plain)]
    if len(plain) != len(text):
        found.append("emoji")
    return [*found, *[f"{a}&{b}" for a, b in combinations(found, 2)]]


def _words(low: str) -> set[str]:
    return {_CUE_OF_WORD[word] for word in _PLAIN_WORD.findall(low) if word in _CUE_OF_WORD}


def _shape(plain: str) -> list[str]:
    """Cues of form: length, lines, capitals, and whether the text is nothing but a ticker."""
    words = _WORD.findall(plain)
    count = len(words)
    shape = [f"words_{next((limit for limit in (0, 1, 2, 3, 5, 8, 14, 25, 50, 100) if count <= limit), 'many')}"]
    lines = plain.count("\n") + 1
    shape.append(f"lines_{next((limit for limit in (1, 2, 4, 8) if lines <= limit), 'many')}")
    if _CASHTAG.search(plain):
        shape.append("cashtag")
    tickers = [word for word in words if _TICKER.fullmatch(word) and not word.isdigit()]
    if tickers and count <= 3:
        shape.append("bare_ticker" if len(tickers) == count == 1 else "nearly_bare_ticker")
    elif count == 1 and _SHORT_WORD.fullmatch(words[0]) and not words[0].isdigit():
        shape.append("one_short_word")
    capitals, others = len(_CAPITALS.findall(plain)), len(_SMALLS.findall(plain))
    foreign = len(_FOREIGN.findall(plain))
    if capitals + others:
        shape.append(f"capitals_{int(capitals / (capitals + others) * 3.999)}")
    if foreign > 0.3 * (capitals + others + foreign):
        shape.append("foreign")
    elif not capitals + others:
        shape.append("no_letters")
    return shape
