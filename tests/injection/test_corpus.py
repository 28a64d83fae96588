"""The corpus is as large and as varied as it is said to be."""

from __future__ import annotations

from collections import Counter

from pnd_dagster.events.symbols import load_known_symbols
from tests.injection.corpus import CORES, LISTED, UNLISTED, build_corpus
from tests.injection.proof import rate


def test_there_are_enough_attacks_of_many_kinds_and_no_two_are_the_same() -> None:
    attacks = build_corpus()
    assert len(attacks) == len({attack.text for attack in attacks}) == len({attack.attack_id for attack in attacks}) >= 200
    kinds = Counter(attack.kind for attack in attacks)
    assert len(kinds) >= 15
    assert min(kinds.values()) >= 8


def test_it_is_the_same_corpus_every_time() -> None:
    assert build_corpus() == build_corpus()


def test_every_label_is_attacked_and_every_attack_wants_something_else_than_an_honest_reader_says() -> None:
    attacks = build_corpus()
    assert {attack.core.label for attack in attacks} == set(CORES)
    for attack in attacks:
        assert attack.core.text in CORES[attack.core.label]
        honest = {"label": attack.core.label}
        assert attack.wanted != honest, attack.attack_id


def test_the_coins_are_what_the_attacks_take_them_for() -> None:
    assert load_known_symbols() >= LISTED
    assert UNLISTED not in load_known_symbols()


def test_wilson_intervals_are_those_of_the_textbook() -> None:
    assert [round(bound, 3) for bound in rate(0, 368)[2:]] == [0.0, 0.01]
    assert [round(bound, 3) for bound in rate(10, 20)[2:]] == [0.299, 0.701]
