"""The desk's rules, which all codecs share."""

from __future__ import annotations

import math

import msgspec
import pytest

from pnd_dagster.market.feeds.books import read_levels
from pnd_dagster.market.feeds.coin import REMEMBERED_TRADES, Coin
from pnd_dagster.market.feeds.desk import RESTARTED_AFTER, Asked, Desk
from pnd_dagster.market.feeds.protocol import BUY, FrameError, Listing
from pnd_dagster.market.feeds.sharding import place
from tests.unit.market.feeds.recorder import Recorder


def desk_with(*keys: str) -> tuple[Desk, Recorder, list[Coin], list[tuple[str, str, bool]]]:
    sink = Recorder()
    refused: list[tuple[str, str, bool]] = []
    desk = Desk(sink, lambda coin, words, is_full: refused.append((coin.key, words, is_full)))
    coins = [Coin(Listing(slot, slot, f"{key}/USDT", key, key, "USDT"), key) for slot, key in enumerate(keys)]
    desk.coins.update({coin.key: coin for coin in coins})
    return desk, sink, coins, refused


def book(desk: Desk, coin: Coin, version: int, at: float, bid: float = 1.0) -> None:
    desk.book(coin, version, bid, 1.0, 2.0, 1.0, None, at)


def test_a_coin_is_in_sight_when_its_trades_are_confirmed_and_a_book_has_come() -> None:
    desk, sink, (one, other), _ = desk_with("ONE", "OTHER")
    book(desk, one, 1, 10.0)
    assert sink.seen() == set()
    desk.confirm("trades", ["ONE", "OTHER"])
    assert sink.seen() == {0}
    book(desk, other, 1, 11.0)
    assert sink.seen() == {0, 1}
    book(desk, other, 2, 12.0)
    assert len(sink.sight) == 2


def test_numbers_that_begin_anew_are_believed_after_a_while_and_the_time_between_is_a_gap() -> None:
    desk, sink, (coin,), _ = desk_with("ONE")
    desk.confirm("trades", ["ONE"])
    book(desk, coin, 1_000, 10.0)
    for step in range(RESTARTED_AFTER):
        book(desk, coin, 1 + step, 11.0 + step)
    assert len(sink.duplicates) == RESTARTED_AFTER - 1
    assert sink.sight[1:] == [("blind", 0, 10.0, "numbers of books began anew"), ("sighted", 0, 10.0 + RESTARTED_AFTER)]
    book(desk, coin, 99, 20.0)
    assert len(sink.books[0]) == 3


def test_a_refused_trade_flags_its_moment_and_keeps_the_coin_in_sight() -> None:
    desk, sink, (coin,), _ = desk_with("ONE")
    desk.confirm("trades", ["ONE"])
    book(desk, coin, 1, 10.0)
    for number in (math.nan, math.inf, -1.0, 0.0, 1e15):
        desk.trade(coin, None, number, 1.0, BUY, 11.0)
    assert len(sink.rejected) == 5
    assert sink.trades == {}
    assert sink.sight[1:3] == [("blind", 0, 11.0, "refused trade"), ("sighted", 0, 11.0)]


def test_a_frame_that_cannot_be_read_blinds_the_coins_it_names_or_all() -> None:
    desk, sink, coins, _ = desk_with("ABC-USDT", "XABC-USDT", "QED-USDT")
    desk.confirm("trades", [coin.key for coin in coins])
    for coin in coins:
        book(desk, coin, 1, 10.0)
    desk.refuse_frame("no JSON", b'{"topic":"/market/match:XABC-USDT","da', 11.0)
    assert sink.seen() == {0, 2}
    desk.refuse_frame("no JSON", b"\xff\xfe", 12.0)
    assert sink.seen() == set()
    for coin in coins:
        book(desk, coin, 2, 13.0)
    assert sink.seen() == {0, 1, 2}


def test_trades_are_remembered_by_their_ids_but_not_for_ever() -> None:
    _, _, (coin,), _ = desk_with("ONE")
    assert all(coin.is_new_trade(number) for number in range(3 * REMEMBERED_TRADES))
    assert not coin.is_new_trade(3 * REMEMBERED_TRADES - 1)
    assert len(coin.recent_trades) == REMEMBERED_TRADES


def test_a_refusal_that_names_no_coin_of_several_is_no_coins_refusal_yet() -> None:
    desk, _, coins, refused = desk_with("ABC", "QED")
    asked = desk.asked = Asked(1, "books", coins)
    desk.refuse("bad request")
    assert refused == []
    assert asked.done.is_set()
    assert asked.words == "bad request"
    asked = desk.asked = Asked(2, "books", coins)
    desk.refuse("no topic ABC,QED")  # it repeats the request
    assert refused == []
    desk.asked = Asked(3, "books", coins)
    desk.refuse("no topic QED")
    assert refused == [("QED", "no topic QED", False)]
    desk.asked = Asked(4, "books", coins[:1])
    desk.refuse("bad request")
    assert refused[1:] == [("ABC", "bad request", False)]


@pytest.mark.parametrize(
    "bids",
    [
        "[[1,5],[2,5]]",
        '[["1","5"],["1.5","5"]]',
        "[[2,5],[1,0]]",
        "[[2,5],[1,-1]]",
        "[[2,5],[1e15,1]]",
        "[[2,5],[1]]",
        '[[2,5],["x",1]]',
        "{}",
    ],
)
def test_a_book_whose_deeper_levels_cannot_be_is_refused_when_they_are_read(bids: str) -> None:
    sound = msgspec.Raw(b"[[3,1],[3.5,2]]")
    assert read_levels(msgspec.Raw(b"[[2,5],[1,5]]"), sound) == ([(2.0, 5.0), (1.0, 5.0)], [(3.0, 1.0), (3.5, 2.0)])
    with pytest.raises(FrameError):
        read_levels(msgspec.Raw(bids.encode()), sound)


def test_coins_fill_the_room_there_is_and_share_new_connections_evenly() -> None:
    assert place(list(range(4)), [1, 5], 3) == ([[], [0, 1, 2, 3]], [])
    shares, new = place(list(range(12)), [2, 0, -1], 4)
    assert shares == [[0, 1], [], []]
    assert sorted(map(len, new)) == [3, 3, 4]
    assert sorted(item for share in new for item in share) == list(range(2, 12))
    assert place([], [3], 4) == ([[]], [])
