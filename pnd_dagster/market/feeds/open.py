"""The feed of an exchange, by its name."""

from __future__ import annotations

from collections.abc import Callable

from pnd_dagster.market.feeds.codec import Codec
from pnd_dagster.market.feeds.kucoin import KucoinCodec
from pnd_dagster.market.feeds.latoken import LatokenCodec
from pnd_dagster.market.feeds.mexc import MexcCodec
from pnd_dagster.market.feeds.poloniex import PoloniexCodec
from pnd_dagster.market.feeds.protocol import Feed
from pnd_dagster.market.feeds.streaming import FirstBook, StreamingFeed
from pnd_dagster.market.feeds.xt import XtCodec

CODECS: dict[str, Callable[[str | None], Codec]] = {
    codec.exchange: codec for codec in (LatokenCodec, KucoinCodec, MexcCodec, PoloniexCodec, XtCodec)
}


def open_feed(exchange: str, *, url: str | None = None, first_book: FirstBook | None = None) -> Feed:
    """The feed of the exchange: by our own codec where there is one, else through ccxt.pro. Nothing is connected before it runs.

    Args:
        exchange: ccxt's id.
        url: base address of simulated exchanges; every origin becomes `{url}/{exchange}`. None for the real exchange.
        first_book: gets the book of a coin that is so quiet that its stream sends none.

    Raises:
        SettingError: neither we nor ccxt.pro stream that exchange.
    """
    if exchange in CODECS:
        return StreamingFeed(CODECS[exchange](url), first_book)
    from pnd_dagster.market.feeds.ccxt_pro import CcxtFeed

    return CcxtFeed(exchange, url=url)
