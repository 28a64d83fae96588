"""Promised gains, read from made-up texts; hostile ones promise nothing."""

from __future__ import annotations

import time

import pytest

from pnd_dagster.analysis.promises import promised_gain


@pytest.mark.parametrize(
    ("text", "gain"),
    [
        ("Target: +500%", 5.0),
        ("\N{DIRECT HIT} Target: 1,200% profit", 12.0),
        ("our target is 5.000 % (50x)", 50.0),
        ("We expect 10-15x on this one", 9.0),
        ("TARGET:5X \N{ROCKET}", 4.0),
        ("it could go x3 - x5, target x3", 2.0),
        ("Target 70%-100%", 0.7),
        ("aiming at a minimum of 700 - 800%+", 7.0),
        ("up to 300% gain", 3.0),
        ("target \N{FULLWIDTH DIGIT TWO}00\N{FULLWIDTH PERCENT SIGN}", 2.0),
        ("possible gains of 50%. Our target is 400%", 4.0),
    ],
)
def test_a_promise_is_read(text: str, gain: float) -> None:
    assert promised_gain(text) == pytest.approx(gain)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "five minutes left",
        "1000000000x target",
        "target 999999%",
        "target -5%",
        "target 0%",
        "our previous pump reached 700%",
        "last time the peak was 220% profit",
        "75% discount for the target group",
        "100% fair, up to you",
        "use 75% of your balance, expect a rise",
        "20x leverage, profit",
        "target 0x",
        "0x5f3a7b target",
        "100",
        "%%%%%%",
    ],
)
def test_what_is_no_promise_is_none(text: str) -> None:
    assert promised_gain(text) is None


def test_marks_of_direction_neither_hide_nor_turn_a_promise() -> None:
    assert promised_gain("\u202etarget\u202c \u200e3\u200b00\u2066%") == pytest.approx(3.0)
    assert promised_gain("target \u0662\u0660\u0660%") == pytest.approx(2.0)


@pytest.mark.parametrize("bomb", ["9" * 200_000, "1," * 100_000, "1-" * 100_000, "target 1% " * 20_000, "x" * 200_000, "%" * 200_000])
def test_long_texts_are_read_in_linear_time(bomb: str) -> None:
    start = time.perf_counter()
    promised_gain(bomb)
    assert time.perf_counter() - start < 5
