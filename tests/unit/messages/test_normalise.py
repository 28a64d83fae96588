"""Normalising brings out what was disguised and leaves alone what only looks so."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pnd_dagster.messages.normalise import normalise, normalise_many


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("ⓑⓘⓝⓐⓝⓒⓔ", "binance_CEX"),
        ("🅱🅸🅽🅰🅽🅲🅴", "BINANCE_CEX"),
        ("🅱️🅸🅽🅰🅽🅲🅴 🅿🆄🅼🅿", "BINANCE_CEX PUMP"),
        ("Ⓝ Ⓐ Ⓥ", "NAV"),
        ("➌➏⓿%", "360%"),
        ("5️⃣ or 1️⃣0️⃣", "5 or 10"),
        ("ʙɪɴᴀɴᴄᴇ", "BINANCE_CEX"),
        ("b̲i̲n̲", "bin"),
        ("𝙏𝙊𝙆𝙀𝙉", "TOKEN"),
        ("B I N A N C E", "BINANCE_CEX"),
        ("( N ) ( A ) ( V )", "NAV"),
        ("(N)(A)(V)", "NAV"),
        ("[Q] [K] [C]", "QKC"),
        ("A_R_N", "ARN"),
        ("N | A | V", "NAV"),
        ("P-U-M-P", "PUMP"),
        ("N\nA\nV", "NAV"),
        ("The coin is\n\nN\n\nA\n\nV\n\ngo", "The coin is\nNAV\ngo"),
        ("Вinance", "Binance_CEX"),
        ("ΒTC", "BTC"),
        ("N\u200bA\u200bV", "NAV"),
        ("🇳 🇦 🇻", "NAV"),
        ("🇳🇦🇻", "NAV"),
        ("Ｂｉｎａｎｃｅ", "Binance_CEX"),
    ],
)
def test_disguised_letters_come_out_plain(raw: str, plain: str) -> None:
    assert normalise(raw) == plain


@pytest.mark.parametrize(
    "text",
    [
        "U.S.-based",
        "don't b a",
        "V.I.P",
        "TARGET 1 2 3 4 5 DONE",
        "Hôm nay có tín hiệu mới, các bạn đã sẵn sàng chưa",
        "подождите немного",
        "waves A-B-C",
        "I am a trader",
        "compre o 2 e 3 agora",
        "4000$ for 1 E T H",
        "0.00001234 BTC",
        "e-mail",
        "line one\nline two",
    ],
)
def test_what_only_looks_disguised_stays(text: str) -> None:
    assert normalise(text) == text


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("🇺🇸🇬🇧🇩🇪", ":united_states: :united_kingdom: :germany:"),
        ("ℹ️ 5 minutes ℹ️", ":information: 5 minutes :information:"),
        ("🅱️", ":b_button_blood_type:"),
        ("👍🏻", ":thumbs_up:"),
        ("🚀🚀🚀🚀🚀🚀", ":rocket: :rocket: :rocket:"),
        ("go🚀now", "go :rocket: now"),
    ],
)
def test_emoji_become_words(raw: str, plain: str) -> None:
    assert normalise(raw) == plain


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("5minutes left, 17:00GMT", "5 minutes left, 17:00 GMT"),
        ("a  b\t c \n\n\n d", "a b c\nd"),
        ("Tom &amp; Co &lt;b&gt;", "Tom & Co <b>"),
        ("&amp;amp;", "&"),
        ("write @some_admin or me@mail.example", "write @USER or UNKNOWN_EMAIL"),
        ("0x52908400098527886E0F7030069857D2E4169EE7", "CONTRACT_ADDRESS"),
        ("it’s “big”", 'it\'s "big"'),
    ],
)
def test_the_rest_is_brought_to_one_form(raw: str, plain: str) -> None:
    assert normalise(raw) == plain


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("Pump on Yobit!", "Pump on Yobit_CEX!"),
        ("Yobit.net", "Yobit_CEX"),
        ("Gate.io", "Gate.io_CEX"),
        ("GATE.İO", "GATE.IO_CEX"),
        ("PancakeSwap", "PancakeSwap_DEX"),
        ("buy MXC/BTC", "buy MXC/BTC"),
        ("Binance_dip_call", "Binance_CEX_dip_call"),
    ],
)
def test_exchanges_are_tagged_behind_their_mention(raw: str, plain: str) -> None:
    assert normalise(raw) == plain


def test_surrogates_and_nul_survive() -> None:
    assert normalise("\ud83d\ude80 up") == ":rocket: up"
    assert normalise("a\x00b") == "a b"
    normalise("\ud800 alone \udfff").encode("utf-8")
    assert normalise("") == ""


def test_many_texts_keep_their_order() -> None:
    assert normalise_many(["B I N A N C E", "", "x"]) == ["BINANCE_CEX", "", "x"]


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80) | st.text(alphabet="NAV nav\n()_-|🚀🅱🅽ⓝ&;amp@.:/015ʙаА", max_size=40))
@example("I S  I T  O K")
@example("Binance_CEX_dip https://yobit.net/en/trade/ABC/BTC, www.binance.com")
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once


HOSTILE_UNITS = [
    *[
        "a",
        "A ",
        "a.",
        "(a) ",
        "http://",
        "🚀🇺",
        "aа",
        "a\n",
        "a_",
        "a@b.",
        "5",
        "&lt;",
        "&amp",
        "ⓑ ",
        "a\u0332",
        "\u0332",
        "\n ",
        "| a ",
        "a-",
    ],
    *["((", "/a", "www.", "gate ", "17:00", "%41", "ʙ", "\u200d", "\ud800"],
]


@pytest.mark.parametrize("unit", HOSTILE_UNITS, ids=ascii)
def test_a_text_of_100_kb_takes_linear_time(unit: str) -> None:
    hostile = unit * (100_000 // len(unit))
    started_at = time.perf_counter()
    normalise(hostile)
    assert time.perf_counter() - started_at < 4
