"""Exchanges, coins and trade links as the simulated channels write them."""

from __future__ import annotations

from random import Random
from typing import NamedTuple


class Venue(NamedTuple):
    """An exchange: its canonical id, the ways channels write it, its trade link ({s}, {q}: coin and quote) and its usual quotes."""

    exchange: str
    spellings: tuple[str, ...]
    trade_url: str
    quotes: tuple[str, ...]


VENUES = {
    venue.exchange: venue
    for venue in (
        Venue("latoken", ("LATOKEN", "Latoken", "Latoken.com"), "https://latoken.com/exchange/{s}_{q}", ("USDT",)),
        Venue("kucoin", ("KuCoin", "Kucoin", "KUCOIN", "Kucoin.com"), "https://www.kucoin.com/trade/{s}-{q}", ("USDT", "BTC")),
        Venue("mexc", ("MEXC", "Mexc", "MEXC Global", "mexc.com"), "https://www.mexc.com/exchange/{s}_{q}", ("USDT",)),
        Venue("poloniex", ("Poloniex", "POLONIEX", "Poloniex.com"), "https://poloniex.com/trade/{s}_{q}", ("USDT", "TRX")),
        Venue("xt", ("XT.com", "XT", "Xt.com"), "https://www.xt.com/en/trade/{s}_{q}", ("USDT",)),
        Venue("hotbit", ("Hotbit", "HOTBIT", "hotbit.io"), "https://www.hotbit.io/exchange?symbol={s}_{q}", ("USDT",)),
        Venue("yobit", ("YoBit", "YOBIT", "Yobit.net"), "https://yobit.net/en/trade/{s}/{q}", ("BTC", "USDT")),
        Venue("gate.io", ("Gate.io", "GATE.IO", "Gate io"), "https://www.gate.io/trade/{s}_{q}", ("USDT",)),
        Venue("bitmart", ("BitMart", "Bitmart", "BITMART"), "https://www.bitmart.com/trade/en?symbol={s}_{q}", ("USDT",)),
    )
}

REAL_COINS = (
    *("VIA", "NEBL", "OAX", "WABI", "NXS", "SKY", "GVT", "EVX", "POA", "APPC"),
    *("VIB", "RDN", "BRD", "SNM", "AMB", "QSP", "ARN", "LUN", "YOYO", "EDO"),
    *("POLIS", "KMD", "OST", "FIRO", "GRS", "REN", "PIVX", "DLT", "PERL", "CTXC"),
)
INVENTED_COINS = (
    *("ZORB", "KLIM", "QUVA", "DRAX9", "MUNDO", "FYLO", "TREX2", "BOKI", "VANTA", "GLIM"),
    *("OPAZ", "RUNIQ", "SOLI", "CAVU", "HEXO", "PLUR", "NUBE", "YAKI", "JOLT", "WIZZ"),
    *("ORCAX", "TIDO", "LUMEX", "PAXI", "GAZE", "ONYX7", "CRUX", "AERA", "DINO", "MOLE"),
    *("FROST", "BAMBU", "SHARD", "TOFI", "KEBA", "ZINK", "ELVA", "PIRA", "OSMI", "RADI"),
)
MAJORS = ("BTC", "ETH", "SOL", "XRP", "ADA", "DOGE", "LINK", "AVAX", "DOT", "MATIC", "LTC", "ATOM")


def trade_url(exchange: str, symbol: str, quote: str) -> str:
    """The exchange's page of the pair, in the exchange's own shape."""
    pair = (symbol.lower(), quote.lower()) if exchange == "xt" else (symbol, quote)
    return VENUES[exchange].trade_url.format(s=pair[0], q=pair[1])


def draw_coins(count: int, rng: Random) -> list[str]:
    """`count` coins, real and invented, none drawn twice before all were drawn once."""
    drawn: list[str] = []
    while len(drawn) < count:
        deck = list(REAL_COINS + INVENTED_COINS)
        rng.shuffle(deck)
        drawn += deck
    return drawn[:count]
