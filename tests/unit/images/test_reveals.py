"""Which words of a picture are taken for the coin, and what is not taken for a reveal."""

from __future__ import annotations

import pytest

from pnd_dagster.images.reveals import Reveal, read_reveal
from pnd_dagster.images.words import Word

KNOWN = frozenset({"NEBL", "VIBE", "BTC", "ETH", "SOL", "XRP", "SALT", "LONG", "OXO"})
Place = tuple[int, int]
QUADRANTS: tuple[Place, ...] = ((100, 50), (600, 50), (100, 250), (600, 250))


def word(text: str, place: Place, red: float = 0.0, *, score: float = 0.99, ringed: bool = False, line: int | None = None) -> Word:
    x, y = place
    return Word(text, score, y * 1000 + x if line is None else line, x, y, x + 30 * len(text), y + 60, red, ringed)


def quadrants(*texts: str, red: int | None = None, score: float = 0.99) -> list[Word]:
    return [
        word(text, place, 0.95 if index == red else 0.0, score=score)
        for index, (text, place) in enumerate(zip(texts, QUADRANTS, strict=False))
    ]


@pytest.mark.parametrize("red", range(4))
def test_the_red_one_of_four_is_the_coin(red: int) -> None:
    tickers = ["BTC", "ETH", "SOL"]
    tickers.insert(red, "NEBL")
    revealed = read_reveal(quadrants(*tickers, red=red), KNOWN)
    assert (revealed.status, revealed.symbol) == ("reveal", "NEBL")
    assert revealed.confidence is not None
    assert revealed.confidence > 0.9


def test_a_red_ring_marks_the_coin_as_red_print_does() -> None:
    words = quadrants("BTC", "NEBL", "SOL", "XRP")
    words[1] = words[1]._replace(is_ringed=True)
    assert read_reveal(words, KNOWN).symbol == "NEBL"


def test_words_that_are_no_tickers_serve_as_decoys_too() -> None:
    assert read_reveal(quadrants("Vip", "NEBL", "Crypto", "Admin", red=1), KNOWN).symbol == "NEBL"


def test_the_coin_of_a_pair_is_named_though_it_alone_is_red() -> None:
    words = quadrants("BTC", "X/USDT", "SOL", "XRP")
    words[1] = words[1]._replace(red_ratio=0.12)
    assert read_reveal(words, KNOWN)[:2] == ("reveal", "X")


def test_a_quote_behind_the_coin_on_its_line_makes_a_pair() -> None:
    words = [*quadrants("Crypto", "", "Pump", "Exclusive"), word("NEBL", (600, 50), 0.8, line=7), word("/USDT", (760, 50), 0.8, line=7)]
    assert read_reveal([one for one in words if one.text], KNOWN).symbol == "NEBL"


def test_a_lone_pair_is_read_without_any_red() -> None:
    words = [word("PAIR", (300, 10)), word("NEBL", (100, 150)), word("USDT", (500, 150))]
    revealed = read_reveal(words, KNOWN)
    assert revealed[:2] == ("reveal", "NEBL")
    assert revealed.confidence is not None
    assert revealed.confidence < 0.85


def test_a_sentence_names_the_coin() -> None:
    words = [word(text, (100 * index, 50), line=1) for index, text in enumerate(("The", "coin", "is", ":", "VIBE"))]
    assert read_reveal(words, KNOWN).symbol == "VIBE"


def test_the_channels_name_is_no_decoy_and_no_coin() -> None:
    handle = word("@SomeAdmin", (350, 170), 0.9)
    link = word("t.me/NEBLPUMPS", (350, 190), 0.9)
    assert read_reveal([*quadrants("BTC", "NEBL", "SOL", "XRP", red=1), handle, link], KNOWN).symbol == "NEBL"
    assert read_reveal([word("NEBL", (100, 50), 0.9), handle, link], KNOWN).status == "none"


@pytest.mark.parametrize(
    "words",
    [
        [],
        [word("NEBL", (100, 50), 0.9)],
        [word("NEBL", (100, 50), 0.9), word("NETWORK", (100, 150))],
        [word("NEBL", (100, 50), 0.9), word("Coin", (110, 150)), word("Company", (90, 250))],
        [word("The", (0, 50)), word("NEBL", (100, 50), 0.9), word("Network", (260, 50))],
        [word("N", (100, 50), ringed=True)],
    ],
    ids=["blank", "one name", "name and line", "stacked", "one row", "letter in a ring"],
)
def test_logos_reveal_nothing(words: list[Word]) -> None:
    assert read_reveal(words, KNOWN).symbol is None
    assert read_reveal(words).symbol is None


@pytest.mark.parametrize(
    "words",
    [
        quadrants("BIG", "PUMP", "ON", "SUNDAY", red=3),
        quadrants("NEXT", "KUCOIN", "PUMP", "SOON", red=1),
        [*quadrants("Next", "NEBL", "Pump", "Group", red=1), word("17:00", (350, 150))],
        [*quadrants("NEBL/USDT", "Peak", "Low", "High", red=0), word("+501%", (350, 150))],
        [word(f"WORD{index}", (100 * (index % 5), 80 * (index // 5)), 0.9 * (index == 7)) for index in range(40)],
        [word("BTC/USDT", (0, 0)), word("0.00075", (300, 0)), word("Price", (300, 100))],
        [word("BTC/USDT", (0, 0)), word("ETH/USDT", (0, 100)), word("Markets", (300, 100))],
    ],
    ids=["poster", "exchange", "time", "result", "screenshot", "prices", "market list"],
)
def test_posters_results_and_screenshots_reveal_nothing(words: list[Word]) -> None:
    assert read_reveal(words, KNOWN).symbol is None


def test_two_red_coins_are_doubtful() -> None:
    words = quadrants("BTC", "NEBL", "SOL", "VIBE", red=1)
    words[3] = words[3]._replace(red_ratio=0.9)
    revealed = read_reveal(words, KNOWN)
    assert revealed.status == "doubtful"
    assert revealed.confidence is not None
    assert revealed.confidence < 0.5


def test_a_word_of_trading_that_is_listed_is_a_coin_among_coins() -> None:
    assert read_reveal(quadrants("BTC", "LONG", "SOL", "XRP", red=1), KNOWN).symbol == "LONG"
    assert read_reveal(quadrants("Vip", "LONG", "Crypto", "Admin", red=1), KNOWN).symbol is None


@pytest.mark.parametrize(
    ("read", "score", "expected"),
    [
        ("NE8L", 0.8, ("reveal", "NEBL")),
        ("5A1T", 0.8, ("reveal", "SALT")),
        ("0XO", 0.8, ("reveal", "OXO")),
        ("QQQQ", 0.8, ("doubtful", "QQQQ")),
        ("QQQQ", 0.99, ("reveal", "QQQQ")),
        ("NE8L", 0.999, ("reveal", "NE8L")),
    ],
)
def test_the_list_settles_what_was_read_unclearly_and_an_unlisted_coin_read_clearly_stands(
    read: str, score: float, expected: tuple[str, str]
) -> None:
    words = quadrants("BTC", "ETH", "SOL", read, red=3)
    words[3] = words[3]._replace(score=score)
    assert read_reveal(words, KNOWN)[:2] == expected


def test_confusions_that_fit_two_listed_coins_stay_doubtful() -> None:
    words = quadrants("BTC", "ETH", "SOL", "A1A", red=3)
    words[3] = words[3]._replace(score=0.8)
    assert read_reveal(words, KNOWN | {"AIA", "ALA"}).status == "doubtful"


def test_without_a_list_what_is_read_stands() -> None:
    assert read_reveal(quadrants("Vip", "NE8L", "Crypto", "Admin", red=1, score=0.9))[:2] == ("reveal", "NE8L")


def test_words_as_long_as_a_page_cost_no_time() -> None:
    words = [*quadrants("BTC", "ETH", "SOL", "I1LO0S5B8I1L", red=3), word("coin is " * 25, (0, 400))]
    words[3] = words[3]._replace(score=0.5)
    assert isinstance(read_reveal(words, KNOWN), Reveal)
