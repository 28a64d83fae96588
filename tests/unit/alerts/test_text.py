"""What strangers wrote, made fit to be shown."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pnd_dagster.alerts.text import LINK, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u200bb\u202ec\x00d\x1b[31m", "abc�d[31m"),
        ("one\r\ntwo\u2028three", "one two three"),
        ("go to https://t.me/+abc now", f"go to {LINK} now"),
        ("go to t.me/joinchat/x or ＥＶＩＬ．ｃｏｍ", f"go to {LINK} or {LINK}"),
        ("evil。com and www.evil.example", f"{LINK} and {LINK}"),
        ("mailto:a@b.example javascript:alert(1)", f"{LINK} {LINK}"),
        ("pump on Gate.io today", "pump on gate today"),
        ("ask @somebody at me@mail.example", "ask @USER at UNKNOWN_EMAIL"),
        ("<b>`x`</b>", "‹b›'x'‹/b›"),
        ("z" + "\u0301" * 500 + "!", "\u017a\u0301!"),
        ("price 0.5 at 17.30 GMT.", "price 0.5 at 17.30 GMT."),
        (None, ""),
    ],
)
def test_text_is_shown_as_one_plain_line(text: str | None, shown: str) -> None:
    assert plain(text) == shown


def test_long_text_is_cut_and_says_so() -> None:
    assert plain("word " * 100, 20) == "word word word word…"


@given(st.text(max_size=400))
def test_whatever_comes_in_nothing_unprintable_or_longer_goes_out(text: str) -> None:
    shown = plain(text, 80)
    assert len(shown) <= 80
    assert shown.isprintable()
    assert not {"<", ">", "`"} & set(shown)


@pytest.mark.parametrize("bomb", ["a." * 100_000, "\ufdfa" * 100_000, "a" * 300_000, "://" * 100_000, "@a" * 100_000, "\u0300" * 100_000])
def test_a_bomb_costs_little(bomb: str) -> None:
    began = time.perf_counter()
    plain(bomb)
    assert time.perf_counter() - began < 0.5
