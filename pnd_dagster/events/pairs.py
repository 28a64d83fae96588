"""Trading pairs in a text: 'NEBL/BTC', '#NEBL_BTC', and those that normalising kept of trade links."""

from __future__ import annotations

import re
from typing import NamedTuple

from pnd_dagster.events.cues import strip_emoji
from pnd_dagster.events.words import MONEY, PLAIN_WORDS, WORD_COINS

QUOTES = frozenset(
    {"BTC", "USDT", "ETH", "BNB", "BUSD", "USDC", "USD", "TUSD", "TRX", "DOGE", "KCS", "HT", "EUR", "RUR", "RUB", "PAX", "WAVES", "LTC"}
)
_QUOTE = r"(?:BTC|USDT|ETH|BNB|BUSD|USDC|TUSD|USD|TRX|DOGE|KCS|RUR|LTC)"
_LINK = re.compile(r"TRADE_URL\((?P<venue>[^\s()]+)\s+(?P<base>[A-Za-z0-9]+)(?:/(?P<quote>[A-Za-z0-9]+))?\)")
_PAIR = re.compile(
    rf"(?<![A-Za-z0-9/_])[#$]?(?P<base>[A-Za-z0-9]{{1,10}})\s?[/_|\-–]\s?[#$]?(?P<quote>{_QUOTE})(?![A-Za-z0-9/])", re.IGNORECASE
)
_GLUED = re.compile(r"(?<![A-Za-z0-9/_])[#$]?(?P<base>[A-Z0-9]{2,8})(?P<quote>BTC|USDT|BUSD)(?![A-Za-z0-9/])")
_LABELLED = re.compile(
    rf"\b(?:pair(?:ing|ed)?s?|market|base|in|with|trading)\b\W{{0,4}}(?:\w+\W{{1,3}})?(?P<quote>{_QUOTE})\b|\b(?P<quote2>{_QUOTE})\s?(?:pair|market)",
    re.IGNORECASE,
)


# Words and letters torn apart in a short post: 'KAL M/ USDT', 'NBOT / U S DT'.
_TORN = re.compile(rf"[^A-Za-z0-9]*(?P<base>[A-Z0-9]{{2,10}})[/_\-](?P<quote>{_QUOTE})[^A-Za-z0-9]*")


class Pair(NamedTuple):
    """A base and quote symbol, upper case; `venue_id` as far as a trade link says."""

    base: str
    quote: str | None
    venue_id: str | None
    is_link: bool
    start: int


def find_pairs(text: str) -> list[Pair]:
    """Pairs written in `text` (normalised), links first."""
    found: list[Pair] = []
    for match in _LINK.finditer(text):
        venue = None if match["venue"] == "unknown" else match["venue"]
        base, quote = match["base"].upper(), match["quote"].upper() if match["quote"] else None
        # Nobody pumps money: BTC/PAX is PAX/BTC written in the exchange's own order.
        if quote and base in MONEY:
            base, quote = quote, base
        found.append(Pair(base, quote, venue, True, match.start()))
    if len(text) <= 80 and (match := _TORN.fullmatch("".join(strip_emoji(text).split()))):
        return [*found, Pair(match["base"], match["quote"], None, False, 0)]
    rest = _LINK.sub(lambda match: " " * len(match.group()), text)
    for match in _PAIR.finditer(rest):
        base, quote = match["base"].upper(), match["quote"].upper()
        if base in MONEY or (base in PLAIN_WORDS and base not in WORD_COINS):
            continue
        if any(character.isalpha() for character in base):
            found.append(Pair(base, quote, None, False, match.start()))
    for match in _GLUED.finditer(rest):
        if any(character.isalpha() for character in match["base"]) and match["base"] not in QUOTES:
            found.append(Pair(match["base"], match["quote"], None, False, match.start()))
    return found


def read_quote(text: str, symbol: str | None = None) -> str | None:
    """The quote currency `text` (normalised) names: that of a pair of `symbol`, else of a wording such as 'pairing: BTC'."""
    for pair in find_pairs(text[:3000]):
        if pair.quote and (symbol is None or pair.base == symbol):
            return pair.quote
    match = _LABELLED.search(text[:3000])
    return (match["quote"] or match["quote2"]).upper() if match else None
