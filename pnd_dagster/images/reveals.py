"""Which coin a picture reveals: the one word in red, or in a red ring, among others that are not; or the pair or coin that it names.

A logo shows one name and no others to hide it among, so it reveals nothing. Pictures that tell a time, and screenshots full of words,
announce or boast: they reveal nothing either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

from pnd_dagster.images.words import Word
from pnd_dagster.venues import find_venues

MARKED = 0.3  # share of red from which a word counts as printed in red
_MARGIN = 0.3
_MOST_WORDS = 16
_MOST_WORDS_WITH_A_PAIR = 8
_SURE_SCORE = 0.95
_ADDRESS = re.compile(r"@|https?:|www\.|\bt\.me\b|\.(?:com|io|net|org)\b", re.IGNORECASE)
_TIME_OR_PRICE = re.compile(
    r"\b\d{1,2}:\d{2}\b|\d[.,]\d\d|\b\d{1,2}\s?[ap]m\b|\b(?:GMT|UTC|CET|EST)\b|\d\s?%|\b(?:hours?|minutes?|days?|gains?|profits?|results?)\b",
    re.IGNORECASE,
)
_QUOTES = "USDT|USDC|BUSD|TUSD|FDUSD|DAI|USD|BTC|ETH|BNB|TRX|KCS|HT|EUR|TRY"
_PAIR = re.compile(rf"[$#]?([A-Z0-9]{{1,12}})\s?[/_\-|]\s?({_QUOTES})")
_STABLE = frozenset({"USDT", "USDC", "BUSD", "USD"})
_TICKER = re.compile(r"[$#]?([A-Za-z0-9]{1,12})")
_SMALL_AS_LARGE = str.maketrans("cosuvwxzpk", "COSUVWXZPK")
_NAMED = re.compile(r"\b(?:coin|token)(?:\s+name)?\s*(?:\s+is\b|[:=])\s*[:=]?\s*[$#]?([A-Z0-9]{2,12})\b(?!\s*[%])", re.IGNORECASE)
# What posters print large or red that is no coin's name.
_POSTER_WORDS = """
A ADMIN ALERT ALL AND ANNOUNCEMENT BIG BIGGEST BUY CALL CALLS CHANNEL CLOSE COIN COINS CRYPTO EXCHANGE EXCLUSIVE FOR FREE GROUP HERE
HOLD HOT IN IS IT JOIN LIVE LONG MARKET MEGA MEMBERS MESSAGE NAME NEW NEXT NOT NOW OF OFFICIAL ON ONLY OPEN OR OUR PAIR PLATFORM POST
PREMIUM PRICE PUMP PUMPING PUMPS READY SELL SHORT SIGNAL SIGNALS SOON SPOT STOP TARGET TARGETS TELEGRAM THE TIME TO TODAY TOKEN
TOMORROW TRADE VIP WE WHALE WHALES YOU YOUR MONDAY TUESDAY WEDNESDAY THURSDAY FRIDAY SATURDAY SUNDAY JANUARY FEBRUARY MARCH APRIL MAY
JUNE JULY AUGUST SEPTEMBER OCTOBER NOVEMBER DECEMBER
"""
_NO_COINS = frozenset(_POSTER_WORDS.split()) | frozenset(_QUOTES.split("|")) - {"BTC", "ETH", "BNB", "TRX"}
_CONFUSED = {letter: group for group in ("O0", "I1L", "S5", "B8") for letter in group}
_MOST_VARIANTS = 256


class Reveal(NamedTuple):
    """What a picture reveals.

    Attributes:
        status: reveal, doubtful (for review) or none.
        symbol: upper case; None if the status is none.
        confidence: that this coin is revealed, 0 to 1; None if the status is none.
        reason: why it is doubtful, or what was missing.
    """

    status: str
    symbol: str | None = None
    confidence: float | None = None
    reason: str | None = None


class _Token(NamedTuple):
    """A word that may be a coin or hide one."""

    symbol: str
    is_upper: bool
    is_pair: bool
    mark: float
    word: Word


def read_reveal(words: Iterable[Word], known_symbols: frozenset[str] = frozenset()) -> Reveal:
    """The coin that the words of one picture reveal.

    Args:
        words: as found, with their colours.
        known_symbols: symbols that are or were listed: they settle what the reader confuses (O and 0, I, L and 1, S and 5, B and 8) and
            raise the confidence. An unlisted symbol that was read clearly stands: coins are renamed and delisted. Empty for no list.
    """
    spoken = _without_addresses(tuple(words))
    text = " ".join(word.text for word in spoken)
    if not spoken:
        return Reveal("none", reason="no words")
    if _TIME_OR_PRICE.search(text):
        return Reveal("none", reason="tells a time, a price or a result")
    tokens = _tokens(spoken)
    if len(tokens) <= _MOST_WORDS:
        marked = sorted((token for token in tokens if token.mark >= MARKED), key=lambda token: -token.mark)
        if found := _by_colour(marked, tokens, known_symbols):
            return found
    pairs = {token.symbol: token for token in tokens if token.is_pair and _may_be_coin(token)}
    if len(pairs) == 1 and len(spoken) <= _MOST_WORDS_WITH_A_PAIR:
        (token,) = pairs.values()
        return _settle(token, 0.8 * token.word.score, known_symbols)
    if (named := _NAMED.search(text)) and named[1].upper() not in _NO_COINS:
        symbol = named[1].upper()
        word = next((word for word in spoken if symbol in word.text.upper()), spoken[0])
        return _settle(_Token(symbol, named[1].isupper(), False, 0.0, word), 0.75 * word.score, known_symbols)
    return Reveal("none", reason="no word stands out as a coin")


def _by_colour(marked: list[_Token], tokens: list[_Token], known_symbols: frozenset[str]) -> Reveal | None:
    """The one red word among at least two others that are not."""
    others = [token for token in tokens if token not in marked]
    listed = sum(token.symbol in known_symbols and token.symbol not in _NO_COINS for token in others)
    # Among coins a word that is a coin too, such as LONG, is meant as one.
    coins = [token for token in marked if _may_be_coin(token) or (listed >= 2 and token.is_upper and token.symbol in known_symbols)]
    if not coins:
        return None
    target = coins[0]
    has_decoys = len(others) >= 2 and (listed >= 2 or _is_grid([target, *others]))
    if not has_decoys:
        return None
    rivals = [token for token in coins[1:] if token.symbol != target.symbol]
    margin = target.mark - max((token.mark for token in [*others, *rivals]), default=0.0)
    confidence = target.word.score * (0.8 + 0.2 * min(1.0, 2 * margin)) * (1.0 if listed >= 2 else 0.98)
    if margin < _MARGIN:
        return Reveal("doubtful", target.symbol, round(confidence / 2, 4), "more than one word is red")
    return _settle(target, confidence, known_symbols)


def _settle(token: _Token, confidence: float, known_symbols: frozenset[str]) -> Reveal:
    """The symbol as the list of known ones lets it stand."""
    symbol = token.symbol
    if not known_symbols or symbol in known_symbols:
        return Reveal("reveal", symbol, round(confidence, 4))
    if token.word.score < _SURE_SCORE or not token.is_upper:
        listed = _variants(symbol) & known_symbols
        if len(listed) == 1:
            return Reveal("reveal", listed.pop(), round(0.9 * confidence, 4), f"read as {symbol}")
        return Reveal("doubtful", symbol, round(confidence / 2, 4), "not clearly read and not among the known symbols")
    return Reveal("reveal", symbol, round(0.95 * confidence, 4))


def _variants(symbol: str) -> set[str]:
    """What the letters of `symbol` may have been before the reader confused some."""
    choices = [_CONFUSED.get(letter, letter) for letter in symbol]
    count = 1
    for choice in choices:
        count *= len(choice)
    return {"".join(letters) for letters in product(*choices)} if count <= _MOST_VARIANTS else set()


def _without_addresses(words: tuple[Word, ...]) -> tuple[Word, ...]:
    """The words of lines that hold no handle, link or site: those name the channel."""
    addressed = {word.line for word in words if _ADDRESS.search(word.text)}
    return tuple(word for word in words if word.line not in addressed)


def _tokens(words: tuple[Word, ...]) -> list[_Token]:
    """Words and pairs; a quote that stands alone after its coin makes a pair of it."""
    tokens: list[_Token] = []
    for word in words:
        mark = 1.0 if word.is_ringed else word.red_ratio
        text = word.text.strip(" .,:;!?*()[]<>\"'=")
        if pair := _PAIR.fullmatch(text.upper()):
            # Often the coin alone is red, so that its share of the pair's ink is small.
            mark = min(1.0, mark * len(text) / len(pair[1]))
            tokens.append(_Token(pair[1], text == text.upper(), True, mark, word))
        elif tokens and _is_quote_of(text, word, tokens[-1]):
            # A red coin before a black quote stays red, and the other way round.
            tokens[-1] = tokens[-1]._replace(is_pair=True, mark=max(tokens[-1].mark, mark))
        elif (ticker := _TICKER.fullmatch(text)) and any(letter.isalpha() for letter in text):
            large = ticker[1].translate(_SMALL_AS_LARGE)
            tokens.append(_Token(ticker[1].upper(), large.upper() == large, False, mark, word))
    return tokens


def _is_quote_of(text: str, word: Word, before: _Token) -> bool:
    """Whether `text` is the rest of a pair: '/USDT' on the same line, or USDT beside the coin in a box of its own."""
    quote = text.upper().lstrip("/_-| ")
    if before.is_pair or quote not in _QUOTES.split("|"):
        return False
    if word.line == before.word.line:
        return text[0] in "/_-|" or quote in _STABLE
    overlap = min(word.bottom, before.word.bottom) - max(word.top, before.word.top)
    is_beside = overlap > 0.5 * (word.bottom - word.top) and word.left > before.word.right
    return quote in _STABLE and is_beside and word.red_ratio < MARKED and before.mark < MARKED


def _may_be_coin(token: _Token) -> bool:
    return (
        token.symbol not in _NO_COINS
        and any(letter.isalpha() for letter in token.symbol)
        and (token.is_upper or token.is_pair)
        and (token.is_pair or not find_venues(token.symbol))
    )


def _is_grid(tokens: list[_Token]) -> bool:
    """Whether words stand beside each other and below each other, as in the quadrants of a reveal; a logo's stand in one row or column."""
    boxes = [token.word for token in tokens]
    height = sorted(box.bottom - box.top for box in boxes)[len(boxes) // 2]
    has_columns = any(a.right + height < b.left and min(a.bottom, b.bottom) - max(a.top, b.top) > 0 for a in boxes for b in boxes)
    has_rows = any(a.bottom < b.top for a in boxes for b in boxes)
    return has_columns and has_rows
