"""URLs, handles, addresses: what they tell is kept in a placeholder, the rest is dropped. No URL is ever opened.

Placeholders:
    TRADE_URL(binance NEBL/BTC)   a market: venue id, base/quote (base alone if no quote is named); venue `unknown` if it is none of ours
    TOKEN_URL(pancakeswap)        a token by its contract address
    EXCHANGE_URL(yobit)           another page of an exchange, such as its start page or a referral
    UNKNOWN_URL                   everything else, an exchange's support pages and news included
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from pnd_dagster.venues import venue_by_alias, venue_by_domain


class TradeUrl(NamedTuple):
    """The market a URL leads to: venue id (None if the host is no known exchange), base symbol, quote symbol if named; upper case."""

    venue_id: str | None
    base: str
    quote: str | None


def _words(text: str) -> list[str]:
    return text.split()


# The later, the rather it is the quote of a pair of two of them.
_QUOTES = _words(
    "DOGE WAVES LTC XRP TRX DOT SOL AVAX MATIC NEO XT LA BCH KCS HT OKB GT MX BNB WBNB CAKE ETH WETH BTC XBT "
    "RUR RUB UAH TRY BRL NGN ZAR IDR INR KRW JPY AUD GBP EUR USD PAX TUSD DAI UST FDUSD BUSD USDC USDT"
)
_QUOTE_RANK = {quote: rank for rank, quote in enumerate(_QUOTES, start=1)}
_GLUED_QUOTES = ("USDT", "BUSD", "USDC", "FDUSD", "TUSD", "USD", "BTC", "ETH", "BNB", "EUR", "TRY", "IDR", "INR", "KRW")
_TRADE_SEGMENTS = frozenset(
    _words(
        "trade trading exchange market markets spot pro pair pairs basic advanced futures swap perpetual margin basic-trade trade.html "
        "tradedetail.html tradespot index book trades currency-pair"
    )
)
_KEYS = frozenset(
    _words("symbol market marketname pair code currency_pair currencypair tradepair market_pair instrument symbolname s tradingpair c")
)
_TALK = frozenset(
    _words(
        "support blog blogs help news research academy info announcement announcements articles article faq hc docs wiki about press "
        "vision zendesk medium status learn market-activity newcoin launchpad activity activities event events topic vote careers"
    )
)
_SYMBOL = re.compile(r"[A-Z0-9$@]{1,20}")
_PAIR = re.compile(r"([A-Z0-9$@]{1,20})(?:-TO-|[_\-/:|])([A-Z0-9]{2,20})")
_CONTRACT = re.compile(r"0x[0-9a-fA-F]{40}")
_CONTRACT_TEXT = re.compile(r"(?<![A-Za-z0-9])(?:0x[0-9a-fA-F]{40}|(?=[a-zA-Z]*\d)[1-9A-HJ-NP-Za-km-z]{32,44})(?![A-Za-z0-9])")
_CHARS = r"[A-Za-z0-9\-._~:/?#@!$&'*+,;=%^]"
_URL = re.compile(
    rf"(?:h(?:tt|xx)ps?://|www\.){_CHARS}+|(?<![\w.@-])(?:[a-z0-9-]{{1,63}}\.){{1,4}}[a-z]{{2,24}}/{_CHARS}*",
    re.IGNORECASE,
)
_MAYBE_URL = re.compile(r"://|www\.|\.[a-z]{2,24}/", re.IGNORECASE)
_TRAILING = ".,;:!?'*_~-"
_SCHEME = re.compile(r"h(?:tt|xx)ps?:/+", re.IGNORECASE)
_EMAIL = re.compile(r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,4}[A-Za-z]{2,24}\w*")
_USER = re.compile(r"(?<![A-Za-z0-9_@./])@[A-Za-z]\w{2,}")
DEX_CHARTS = frozenset(
    {"dextools.io", "dexscreener.com", "dexview.com", "bscscan.com", "etherscan.io", "pinksale.finance", "geckoterminal.com"}
)


def parse_trade_url(url: str) -> TradeUrl | None:
    """The market that `url` leads to, or None: a support page, a start page or a short link names none.

    Understands `/trade/X_BTC`, `/trade/X/BTC/1D`, `?symbol=X_BTC`, `?market=`, `/futures/XUSDT`, and reversed forms such as
    `code=CRIX.UPBIT.BTC-X`, `MarketName=BTC-X` and `/pair/BTC/X`: of two quote currencies, the usual quote is the quote.
    """
    host, segments, parameters = _split(url)
    venue = venue_by_domain(host)
    if not host or _is_talk(host, segments):
        return None
    for key, value in parameters:
        if key in _KEYS and (venue or key != "s") and (pair := _pair(value, glued=True)):
            return TradeUrl(venue and venue.id, *pair)
    marks = [place for place, segment in enumerate(segments) if segment.lower() in _TRADE_SEGMENTS]
    if marks and (venue or marks[0] < len(segments) - 1):
        after = segments[marks[0] + 1 :]
        for place, segment in enumerate(after):
            if segment.lower() in _TRADE_SEGMENTS:
                continue
            if pair := _pair(segment, glued=venue is not None):
                return TradeUrl(venue and venue.id, *pair)
            if place + 1 < len(after) and (pair := _pair(f"{segment}/{after[place + 1]}")):
                return TradeUrl(venue and venue.id, *pair)
    if venue and segments and (pair := _pair(segments[-1])):
        return TradeUrl(venue.id, *pair)
    if venue and len(segments) > 1 and (pair := _pair("/".join(segments[-2:]))):
        return TradeUrl(venue.id, *pair)
    for key, value in parameters:  # a coin alone, `?symbol=NAV`
        if venue and key in _KEYS - {"c", "s"} and re.fullmatch(r"[A-Za-z][A-Za-z0-9]{1,9}", value):
            return TradeUrl(venue.id, value.upper(), None)
    return None


def _split(url: str) -> tuple[str, list[str], list[tuple[str, str]]]:
    """Host, path segments and parameters; a fragment counts as more path, or parameters if it holds `?` or `=`."""
    rest = _SCHEME.sub("", unquote(url.strip()), count=1)
    host, _, tail = re.sub(r"[?#]", r"/\g<0>", rest, count=1).partition("/")
    segments: list[str] = []
    parameters: list[tuple[str, str]] = []
    for part in re.split(r"[?&#]", tail):
        key, equals, value = part.partition("=")
        if equals:
            parameters.append((key.rsplit("/", 1)[-1].lower(), value))
        else:
            segments += [segment for segment in part.split("/") if segment]
    return host.split("@")[-1].split(":")[0].lower().removeprefix("www."), segments, parameters


def _is_talk(host: str, segments: list[str]) -> bool:
    return not _TALK.isdisjoint(host.split(".")) or any(segment.lower() in _TALK for segment in segments[:3])


def _pair(text: str, *, glued: bool = False) -> tuple[str, str] | None:
    """(base, quote) of a written pair, in whichever order it is written; None unless one of the two is a quote currency."""
    text = text.upper().rsplit(".", 1)[-1].strip("/")
    if match := _PAIR.match(text):
        first, second = match.groups()
        rest = text[match.end() :]
        if rest and rest[0].isalnum():
            return None
        if max(_QUOTE_RANK.get(first, 0), _QUOTE_RANK.get(second, 0)) == 0 or first == second:
            return None
        return (second, first) if _QUOTE_RANK.get(first, 0) > _QUOTE_RANK.get(second, 0) else (first, second)
    if glued and _SYMBOL.fullmatch(text):
        for quote in _GLUED_QUOTES:
            if text.endswith(quote) and len(text) - len(quote) >= 2:
                return text.removesuffix(quote), quote
    return None


@lru_cache(maxsize=4096)
def placeholder(url: str) -> str:
    """The placeholder that stands for `url` in a normalised text."""
    if trade := parse_trade_url(url):
        pair = f"{trade.base}/{trade.quote}" if trade.quote else trade.base
        return f"TRADE_URL({trade.venue_id or 'unknown'} {pair})"
    host, segments, _ = _split(url)
    venue = venue_by_domain(host)
    if _is_talk(host, segments):
        return "UNKNOWN_URL"
    if _CONTRACT.search(url) and (venue or any(host == chart or host.endswith(f".{chart}") for chart in DEX_CHARTS)):
        return f"TOKEN_URL({venue.id if venue else 'unknown'})"
    return f"EXCHANGE_URL({venue.id})" if venue else "UNKNOWN_URL"


def replace_urls(text: str) -> str:
    """Each URL as its placeholder."""
    if not _MAYBE_URL.search(text):
        return text
    return _URL.sub(_replace, text)


def _replace(match: re.Match[str]) -> str:
    url = match.group()
    kept = url.rstrip(_TRAILING)
    tail = url[len(kept) :]
    if "://" not in kept and not kept.lower().startswith("www."):
        host, _, path = kept.partition("/")
        first = path.split("/")[0]
        # "Gate.io/Kucoin" is a list of two exchanges; "0.5/btc" and "U.S/uk" are no hosts either.
        if first and venue_by_domain(host) and venue_by_alias(first):
            return url
        if not path and venue_by_domain(host):
            return f"{host}{url[len(host) :].lstrip('/')}"
    return f" {placeholder(kept[:2000])} {tail}"


def replace_addresses(text: str) -> str:
    """E-mail addresses as UNKNOWN_EMAIL, handles as @USER, contract addresses as CONTRACT_ADDRESS."""
    if "@" in text:
        text = _USER.sub("@USER", _EMAIL.sub(" UNKNOWN_EMAIL ", text))
    return _CONTRACT_TEXT.sub(_contract, text) if len(text) >= 32 else text


def _contract(match: re.Match[str]) -> str:
    word = match.group()
    # Base58 of 32 and more characters holds both cases; a long word or number does not.
    return "CONTRACT_ADDRESS" if word.startswith("0x") or not (word.islower() or word.isupper()) else word
