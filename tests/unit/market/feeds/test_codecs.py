"""Each exchange's codec: what frames tell, and that no frame, however spoilt, tells what cannot be."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pnd_dagster.market.feeds.codec import Codec
from pnd_dagster.market.feeds.coin import Coin
from pnd_dagster.market.feeds.connection import MALFORMED
from pnd_dagster.market.feeds.desk import Asked, Desk
from pnd_dagster.market.feeds.open import CODECS, open_feed
from pnd_dagster.market.feeds.protocol import FrameError, Listing
from tests.unit.market.feeds.recorder import EXCHANGES, Recorder, market_id

FRAMES = Path(__file__).parent / "frames"
BASE_ID, QUOTE_ID = "1a4d9e0e-0000-4000-8000-00000000abcd", "0c3a106d-bde3-4c13-a26e-3fd2394529e5"
NUMBER = 7
CODEC: dict[str, Codec] = {exchange: CODECS[exchange](None) for exchange in EXCHANGES}


def frames(exchange: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (FRAMES / f"{exchange}.jsonl").read_text().splitlines()]
    return [{**line, "payload": bytes.fromhex(line["hex"]) if "hex" in line else line["frame"].encode()} for line in lines]


class Scene:
    """A desk with one coin whose subscription is under way."""

    def __init__(self, exchange: str) -> None:
        self.codec = CODEC[exchange]
        self.sink = Recorder()
        self.refused: list[tuple[str, str, bool]] = []
        self.desk = Desk(self.sink, lambda coin, words, is_full: self.refused.append((coin.key, words, is_full)))
        listing = Listing(5, 1_005, "ABC/USDT", market_id(exchange, "ABC"), BASE_ID, QUOTE_ID)
        self.coin = Coin(listing, self.codec.key(listing))
        self.desk.coins[self.coin.key] = self.coin
        for channel in ("trades", "books"):
            self.codec.subscribe(channel, [self.coin], NUMBER)
        self.desk.asked = Asked(NUMBER, "books", [self.coin])

    def decode(self, payload: bytes) -> None:
        """As a connection does."""
        try:
            self.codec.decode(payload, 1_700_000_000.0, self.desk)
        except MALFORMED as error:
            self.desk.refuse_frame(str(error), payload, 1_700_000_000.0)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_frame_tells_what_its_exchange_documents(exchange: str) -> None:
    scene = Scene(exchange)
    feed = open_feed(exchange)
    told = {"book": 0, "trade": 0}
    for frame in frames(exchange):
        scene.desk.asked = Asked(NUMBER, "books", [scene.coin])
        books, trades = len(scene.sink.books.get(5, [])), len(scene.sink.trades.get(5, []))
        scene.decode(frame["payload"])
        new_books, new_trades = scene.sink.books.get(5, [])[books:], scene.sink.trades.get(5, [])[trades:]
        expected = {kind: [tell[kind] for tell in frame["tells"] if kind in tell] for kind in ("book", "trade")}
        assert [[list(map(list, side)) for side in feed.levels(book[4])] for book in new_books] == [tell[1:] for tell in expected["book"]]
        for book, (_, bids, asks) in zip(new_books, expected["book"], strict=True):
            assert list(book[:2]) == bids[0] if bids else math.isnan(book[0])
            assert list(book[2:4]) == asks[0] if asks else math.isnan(book[2])
        assert [list(trade) for trade in new_trades] == [tell[1:] for tell in expected["trade"]]
        told = {kind: told[kind] + len(tells) for kind, tells in expected.items()}
        for tell in frame["tells"]:
            if "confirmed" in tell:
                assert scene.coin.has_trades if tell["confirmed"][0] == "trades" else scene.coin.has_books
            if "answered" in tell:
                assert scene.desk.asked.done.is_set()
            if "ready" in tell:
                assert scene.desk.is_ready.is_set()
            if "refused" in tell:
                assert scene.refused.pop() == (scene.coin.key, tell["refused"], False)
            if "full" in tell:
                assert scene.refused.pop()[::2] == (tell["full"], True)
    assert scene.sink.rejected == []
    assert scene.refused == []
    assert min(told.values()) >= 1


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_frame_that_comes_twice_counts_once(exchange: str) -> None:
    scene = Scene(exchange)
    for frame in frames(exchange):
        scene.desk.asked = None
        if frame["tells"] and ("book" in frame["tells"][-1] or "trade" in frame["tells"][-1]):
            before = sum(map(len, [*scene.sink.books.values(), *scene.sink.trades.values()]))
            scene.decode(frame["payload"])
            once = sum(map(len, [*scene.sink.books.values(), *scene.sink.trades.values()]))
            scene.decode(frame["payload"])
            assert once > before
            assert sum(map(len, [*scene.sink.books.values(), *scene.sink.trades.values()])) == once
            assert scene.sink.duplicates.pop() == 5


@st.composite
def spoilt(draw: st.DrawFn, exchange: str) -> bytes:
    """A frame of the exchange with bytes changed, left out, added or cut off."""
    payload = bytearray(draw(st.sampled_from([frame["payload"] for frame in frames(exchange)])))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(payload) - 1)))
        match draw(st.integers(0, 4)):
            case 0:
                payload[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
            case 1:
                del payload[place : place + draw(st.integers(1, 20))]
            case 2:
                payload[place:place] = draw(
                    st.sampled_from([b"NaN", b"-", b"1e400", b"null", b'"', b"[", b"}", b"\xff\x00", b"9" * 30, b"0"])
                )
            case 3:
                del payload[place:]
            case _:
                payload[place:place] = draw(st.binary(max_size=12))
    return bytes(payload)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_spoilt_frames_never_raise_and_never_tell_what_cannot_be(exchange: str) -> None:
    feed = open_feed(exchange)

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.lists(spoilt(exchange) | st.binary(max_size=60), min_size=1, max_size=3))
    def check(payloads: list[bytes]) -> None:
        scene = Scene(exchange)
        for payload in payloads:
            scene.decode(payload)
        for price, quantity, side in scene.sink.trades.get(5, []):
            assert 0 < price < 1e15
            assert 0 < quantity < 1e18
            assert side in (-1, 0, 1)
        for bid, bid_quantity, ask, ask_quantity, frame, _ in scene.sink.books.get(5, []):
            for price, quantity in ((bid, bid_quantity), (ask, ask_quantity)):
                assert (0 < price < 1e15 and 0 < quantity < 1e18) or (math.isnan(price) and math.isnan(quantity))
            try:
                sides = feed.levels(frame)
            except FrameError:
                continue
            for levels, direction in zip(sides, (-1, 1), strict=True):
                assert len(levels) <= 20
                assert all(0 < price < 1e15 and 0 < quantity < 1e18 for price, quantity in levels)
                prices = [price * direction for price, _ in levels]
                assert prices == sorted(prices)

    check()


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_frame_of_another_exchange_is_refused(exchange: str) -> None:
    feed = open_feed(exchange)
    for nonsense in (None, 1, "text", b"bytes", (1,)):
        with pytest.raises(FrameError):
            feed.levels(nonsense)
