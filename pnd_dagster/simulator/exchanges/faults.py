"""What goes wrong on command: frames lost, doubled, swapped or spoilt, REST answers refused, clocks off.

Faults wait here until the server meets what they touch. Each is in the ledger, with the market or connection that it touched.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

from pnd_dagster.simulator.exchanges.connections import Sent
from pnd_dagster.simulator.exchanges.ledger import Ledger
from pnd_dagster.simulator.exchanges.market import Level, Trade
from pnd_dagster.simulator.exchanges.world import World

Channel = Literal["book", "trade"]
FrameFault = Literal["drop", "duplicate", "reorder", "corrupt"]
Corruption = Literal["malformed", "truncated", "oversized", "nan", "negative", "absurd", "crossed", "empty"]
CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)
# More than picows (10 MiB) and aiohttp (4 MiB) take by default.
OVERSIZED_BYTES = 12 << 20
_PRICES = {"nan": "NaN", "negative": "-1.5", "absurd": "1" + "0" * 40}


class Piece(NamedTuple):
    """The payload of a frame, what it tells (nothing for the ledger if it is spoilt), and its number in its stream."""

    payload: bytes
    sent: list[Sent]
    number: int


@dataclass(slots=True)
class _Frames:
    """A fault of the next frames of a market's channel."""

    kind: FrameFault
    left: int
    how: Corruption | None = None
    held: dict[object, Piece] = field(default_factory=dict[object, Piece])


class RestFault(NamedTuple):
    """A status that an exchange's REST answers have until that time (Unix seconds); `base` None means all that name no market, too."""

    status: int
    until: float
    base: str | None
    retry_after: float | None


class Faults:
    """Faults to come, by exchange and market. To be used in the server's event loop.

    All methods raise ValueError for an exchange or a market that does not exist.

    Attributes:
        skew: seconds that an exchange's clock is ahead.
        muted: exchanges that answer no ping.
    """

    def __init__(self, world: World, ledger: Ledger) -> None:
        self._world, self._ledger = world, ledger
        self._frames: dict[tuple[str, str, Channel], list[_Frames]] = {}
        self._rest: dict[str, list[RestFault]] = {}
        self._refused_until: dict[str, float] = {}
        self.skew: dict[str, float] = {}
        self.muted: set[str] = set()

    def drop(self, exchange: str, base: str, *, frames: int = 1, channel: Channel = "book") -> None:
        """Loses the next frames of a market: a gap in the sequence where the channel has one."""
        self._add(exchange, base, channel, _Frames("drop", frames))

    def duplicate(self, exchange: str, base: str, *, frames: int = 1, channel: Channel = "book") -> None:
        """Sends the next frames twice."""
        self._add(exchange, base, channel, _Frames("duplicate", frames))

    def reorder(self, exchange: str, base: str, *, frames: int = 1, channel: Channel = "book") -> None:
        """Sends the next frames after the ones that follow them."""
        self._add(exchange, base, channel, _Frames("reorder", frames))

    def corrupt(self, exchange: str, base: str, how: Corruption, *, frames: int = 1, channel: Channel = "book") -> None:
        """Spoils the next frames.

        Raises:
            ValueError: an unknown way, or one that trades do not have.
        """
        if how not in CORRUPTIONS or (channel == "trade" and how in ("crossed", "empty")):
            raise ValueError(f"{how}: expected one of {', '.join(CORRUPTIONS)}; trades cannot be crossed or empty")
        self._add(exchange, base, channel, _Frames("corrupt", frames, how))

    def rest(
        self, exchange: str, status: int, *, seconds: float = math.inf, base: str | None = None, retry_after: float | None = None
    ) -> None:
        """REST requests fail with that status, those for `base` or all; `seconds` 0 ends what was set before."""
        self._check(exchange, base)
        if seconds <= 0:
            self._rest.pop(exchange, None)
        else:
            self._rest.setdefault(exchange, []).append(RestFault(status, time.time() + seconds, base, retry_after))
        self._note(f"rest {status}", exchange, [base] if base else [], f"{seconds} s")

    def refuse(self, exchange: str, seconds: float) -> None:
        """Cuts off every new request and connection for a while."""
        self._check(exchange)
        self._refused_until[exchange] = time.time() + seconds
        self._note("refuse", exchange, [], f"{seconds} s")

    def mute_pong(self, exchange: str, *, is_muted: bool = True) -> None:
        """Answers no ping any more, or does again."""
        self._check(exchange)
        (self.muted.add if is_muted else self.muted.discard)(exchange)
        self._note("mute_pong", exchange, [], str(is_muted))

    def skew_clock(self, exchange: str, seconds: float) -> None:
        """Puts an exchange's clock ahead, in REST and in frames; negative is behind."""
        self._check(exchange)
        self.skew[exchange] = seconds
        self._note("skew_clock", exchange, [], f"{seconds} s")

    def is_refusing(self, exchange: str) -> bool:
        """Whether new connections are cut off now."""
        return time.time() < self._refused_until.get(exchange, 0.0)

    def rest_fault(self, exchange: str, base: str | None) -> RestFault | None:
        """What a request that names `base`, or none, meets."""
        now = time.time()
        return next((it for it in self._rest.get(exchange, ()) if it.until > now and it.base in (None, base)), None)

    def pending(self, exchange: str, base: str, channel: Channel) -> bool:
        """Whether the next frames of a channel are touched."""
        return bool(self._frames) and (exchange, base, channel) in self._frames

    def corruption(self, exchange: str, base: str, channel: Channel) -> Corruption | None:
        """How the next frame of a channel is to be spoilt."""
        frames = self._frames.get((exchange, base, channel))
        return frames[0].how if frames else None

    def apply(self, exchange: str, base: str, channel: Channel, key: object, piece: Piece) -> list[Piece]:
        """The pieces that are sent in the place of one. `key` tells streams of one channel apart."""
        place = (exchange, base, channel)
        frames = self._frames[place]
        fault = frames[0]
        told = ",".join(str(sent.trade.trade_id if sent.trade else sent.market.sequence) for sent in piece.sent)
        if fault.kind == "reorder" and key not in fault.held:
            # A late book is no book that a client should keep: the ledger has it as a fault only. A late trade is as good as any.
            fault.held[key] = piece._replace(sent=[sent for sent in piece.sent if sent.trade is not None])
            self._note("reorder", exchange, [base], f"{channel} {told}")
            return []
        fault.left -= 1
        if fault.left <= 0:
            frames.pop(0)
            if not frames:
                del self._frames[place]
        if fault.kind == "reorder":
            return [piece, fault.held.pop(key)]
        self._note(fault.kind, exchange, [base], f"{channel} {fault.how or ''} {told}".replace("  ", " "))
        if fault.kind == "drop":
            return []
        return [piece, piece] if fault.kind == "duplicate" else [Piece(_spoilt(piece.payload, fault.how), [], piece.number)]

    def _add(self, exchange: str, base: str, channel: Channel, fault: _Frames) -> None:
        self._check(exchange, base)
        if fault.left < 1 or channel not in get_args(Channel):
            raise ValueError(f"{fault.left} frames of {channel}: expected at least 1 of book or trade")
        self._frames.setdefault((exchange, base, channel), []).append(fault)

    def _check(self, exchange: str, base: str | None = None) -> None:
        if exchange not in self._world.markets or base not in (None, *self._world.markets[exchange]):
            raise ValueError(f"{exchange} {base or ''}: there is no such market")

    def _note(self, kind: str, exchange: str, bases: list[str], detail: str) -> None:
        self._ledger.fault(kind, time.time(), exchange=exchange, bases=bases, detail=detail)


def spoil_book(bids: list[Level], asks: list[Level], how: Corruption | None) -> tuple[list[Level], list[Level]]:
    """A book or a change of one with levels that cannot be; unchanged where bytes are to be spoilt, not levels."""
    if how in _PRICES:
        level = (_PRICES[how], "1")
        return ([level, *bids[1:]], asks) if bids else (bids, [level, *asks[1:]])
    if how == "crossed":
        best = float((asks or bids)[0][0])
        return [(f"{best * 1.5:.8f}", "1"), *bids], asks or [(f"{best:.8f}", "1")]
    return ([], asks) if how == "empty" else (bids, asks)


def spoil_trade(trade: Trade, how: Corruption | None) -> Trade:
    """The same of a trade."""
    return trade._replace(price=_PRICES[how]) if how in _PRICES else trade


def _spoilt(payload: bytes, how: Corruption | None) -> bytes:
    if how == "malformed":
        return payload[: len(payload) // 3] + b"}\x02\x7f{" + payload[len(payload) // 2 :]
    if how == "truncated":
        return payload[: len(payload) * 2 // 3]
    return payload + b" " * OVERSIZED_BYTES if how == "oversized" else payload
