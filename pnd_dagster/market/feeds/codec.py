"""What is particular to an exchange: its address, its words, its limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pnd_dagster.market.feeds.coin import Coin
from pnd_dagster.market.feeds.desk import Channel, Desk
from pnd_dagster.market.feeds.protocol import Level, Listing


class Limits(NamedTuple):
    """What an exchange allows, and what it owes.

    Attributes:
        coins: coins per connection; each needs two subscriptions.
        batch: coins per subscribe request.
        request_seconds: pause between messages we send.
        answer_seconds: how long an answer to a request may take.
        keepalive_seconds: how often we ping; a connection without any frame for three times that is dead.
        data_seconds: how long a connection with coins may give neither a book nor a trade before it is opened anew.
        lifetime_seconds: after which the exchange closes a connection, None if it does not say.
    """

    coins: int
    batch: int
    request_seconds: float
    answer_seconds: float
    keepalive_seconds: float
    data_seconds: float
    lifetime_seconds: float | None = None


class Address(NamedTuple):
    """Where to connect to, and how often to ping if the exchange says so."""

    url: str
    keepalive_seconds: float | None = None


class Codec(Protocol):
    """One exchange's wire: text and bytes in, calls of a desk out. It keeps nothing of a connection but in `Coin.state`."""

    exchange: str
    limits: Limits
    # Channels whose subscription the exchange answers.
    answered: frozenset[Channel]
    # Books come as changes to a first one, which cannot be had elsewhere.
    sends_changes: bool

    async def address(self) -> Address:
        """Where to connect to now.

        Raises:
            TransientError: the exchange does not say.
        """
        ...

    def greeting(self) -> Sequence[str]:
        """What to send first."""
        ...

    def waits_for_greeting(self) -> bool:
        """Whether nothing may be asked before `Desk.ready`."""
        ...

    def ping(self) -> str:
        """What keeps the connection alive."""
        ...

    def key(self, listing: Listing) -> str:
        """How frames name the listing."""
        ...

    def subscribe(self, channel: Channel, coins: Sequence[Coin], number: int) -> Sequence[str]:
        """What asks for the coins' channel; the answer names `number` where the exchange does that."""
        ...

    def unsubscribe(self, channel: Channel, coins: Sequence[Coin], number: int) -> Sequence[str]:
        """What ends that."""
        ...

    def decode(self, payload: bytes, at: float, desk: Desk) -> None:
        """Tells the desk what a message says.

        Raises:
            FrameError, msgspec.MsgspecError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError: it cannot be read.
        """
        ...

    def levels(self, frame: object) -> tuple[Sequence[Level], Sequence[Level]]:
        """See `Feed.levels`; never called with a `Book`."""
        ...


def web_socket_base(url: str, exchange: str) -> str:
    """Base of the exchange's WebSocket addresses at simulated exchanges, e.g. `ws://127.0.0.1:18080/kucoin`."""
    return f"ws{url.rstrip('/').removeprefix('http')}/{exchange}"
