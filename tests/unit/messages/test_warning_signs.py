"""The lexicon finds what a reader would call a warning sign, in several languages, and not what is negated or merely similar."""

from __future__ import annotations

import time

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pnd_dagster.messages.normalise import normalise, normalise_many
from pnd_dagster.messages.warning_signs import fold, lexicon_entries, load_lexicon, warning_signs, with_warning_signs

SIGNS = [
    "coordinated_buying",
    "fake_insider",
    "guaranteed_profit",
    "high_pressure",
    "recruit_others",
    "unsolicited_advice",
    "urgency",
    "vip_upsell",
]


def signs_of(text: str) -> list[str]:
    return warning_signs([normalise(text)])[0].signs


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("You don't want to miss this one", "high_pressure"),
        ("A once-in-a-lifetime chance", "high_pressure"),
        ("Bu fırsatı KAÇIRMAYIN", "high_pressure"),
        ("Не упустите шанс заработать", "high_pressure"),
        ("Oportunidad única para todos", "high_pressure"),
        ("大家不要错过这次", "high_pressure"),
        ("Đừng bỏ lỡ kèo này", "high_pressure"),
        ("Hurry up, few spots left", "urgency"),
        ("Only 5 VIP seats left", "urgency"),
        ("nur noch 3 Plätze frei", "urgency"),
        ("Acele edin arkadaşlar", "urgency"),
        ("Buruan gabung", "urgency"),
        ("We guarantee you 200% profits every week", "guaranteed_profit"),
        ("Profits are 100% guaranteed", "guaranteed_profit"),
        ("Gewinn garantiert, ohne Risiko", "guaranteed_profit"),
        ("des gains garantis pour tous", "guaranteed_profit"),
        ("Гарантированная прибыль каждый день", "guaranteed_profit"),
        ("稳赚不赔的项目", "guaranteed_profit"),
        ("lucro garantido todo dia", "guaranteed_profit"),
        ("I found the next 100x coin, a hidden gem", "unsolicited_advice"),
        ("We strongly recommend buying this today", "unsolicited_advice"),
        ("Let me help you to earn, DM me to invest", "unsolicited_advice"),
        ("Join our VIP channel for earlier signals", "vip_upsell"),
        ("premium membership: 0.03 BTC, contact @somebody_here", "vip_upsell"),
        ("VIP gruba katılmak için yazın", "vip_upsell"),
        ("We just got insider info about this coin", "fake_insider"),
        ("our team has inside information", "fake_insider"),
        ("это инсайд от команды", "fake_insider"),
        ("Invite all your friends to this channel", "recruit_others"),
        ("arkadaşlarınızı davet edin", "recruit_others"),
        ("buy early before the outsiders do and don't sell early", "coordinated_buying"),
    ],
)
def test_a_warning_sign_is_found(text: str, sign: str) -> None:
    assert sign in signs_of(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The coin is ABCX",
        "This is not financial advice, do your own research",
        "There is no guaranteed profit in trading",
        "Profit is not guaranteed",
        "Nobody can guarantee profits",
        "We never said hurry up. No need to hurry up",
        "Kein garantierter Gewinn",
        "нет гарантированной прибыли",
        "You cannot join VIP any more",
        "VIP",
        "The insiders' trial begins on Monday",
        "a surefire description of unguaranteed profitability",
        "Bitcoin fell below its support as regulators spoke about stablecoins",
        "Entry 1.20, targets 1.30 1.40, stop loss 1.10",
    ],
)
def test_what_is_negated_or_merely_similar_is_none(text: str) -> None:
    assert signs_of(text) == []


def test_not_to_forget_is_no_negation() -> None:
    assert signs_of("Don't forget to join our VIP channel") == ["vip_upsell"]


def test_a_negation_reaches_no_further_than_its_clause() -> None:
    assert signs_of("No scam here. Guaranteed profits!") == ["guaranteed_profit"]
    assert signs_of("It is not late, hurry up") == ["urgency"]


def test_words_of_two_sentences_or_lines_are_no_phrase() -> None:
    assert signs_of("all is guaranteed\nprofit targets below") == []
    assert signs_of("nothing is guaranteed. Profit targets below") == []


def test_signs_are_sorted_with_the_first_words_that_made_each() -> None:
    text = "HURRY UP and join our VIP! Only 3 slots left, don't miss this once in a lifetime pump"
    assert warning_signs([normalise(text)]) == [
        (["high_pressure", "urgency", "vip_upsell"], ["dont miss this", "hurry up", "join our vip"])
    ]


def test_disguised_letters_count_once_normalised() -> None:
    assert signs_of("𝐆𝐮𝐚𝐫𝐚𝐧𝐭𝐞𝐞𝐝 𝐩𝐫𝐨𝐟𝐢𝐭𝐬") == ["guaranteed_profit"]
    assert signs_of("guaran\u200bteed pro\u00adfits") == ["guaranteed_profit"]


def test_a_frame_keeps_its_rows_and_gains_two_lists() -> None:
    frame = pl.DataFrame({"n": [1, 2], "normalised": ["nothing here", "hurry up"]})
    tagged = with_warning_signs(frame)
    assert tagged["signs"].to_list() == [[], ["urgency"]]
    assert tagged["phrases"].to_list() == [[], ["hurry up"]]
    assert with_warning_signs(frame.clear()).schema == tagged.schema


def test_the_lexicon_is_readable_and_has_all_signs() -> None:
    entries = lexicon_entries()
    assert sorted(entries["sign"].unique()) == SIGNS
    assert entries["meaning"].str.len_chars().min() > 20
    assert entries.select("sign", "language", "entry").is_duplicated().sum() == 0
    assert load_lexicon().version.startswith("1-")


def test_every_entry_of_the_lexicon_can_match() -> None:
    """An example made from each entry is found: a misspelt or unreachable entry would not be."""
    missed = [
        (sign, entry)
        for sign, entry in lexicon_entries().select("sign", "entry").iter_rows()
        if not any(load_lexicon().by_sign[sign].matches(f" {fold(_example(entry))}"))
    ]
    assert missed == []


def _example(entry: str) -> str:
    """The shortest text that the entry describes."""
    words = [word.split("|")[0].rstrip("*") for word in entry.split(" ") if word != ".." and not word.startswith("[")]
    return " ".join("7" if word == "#" else word for word in words)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    (found,) = warning_signs([text])
    assert len(found.signs) == len(found.phrases)


@pytest.mark.parametrize(
    "unit", ["guarantee ", "guaranteed a b c ", "join our ", "7", "7.", "share a b c with ", "не ", "稳", "buy it ", "no no ", "-" * 4, "x"]
)
def test_the_time_grows_no_faster_than_the_text(unit: str) -> None:
    short, long = (unit * (length // len(unit)) for length in (4_000, 64_000))
    warning_signs([short])
    started = time.process_time()
    warning_signs([long])
    assert time.process_time() - started < 0.5


def test_most_texts_cost_little_beyond_normalising() -> None:
    texts = normalise_many(
        f"#ABC{n}/BTC on Binance: entry 0.000{n}, targets 0.0005 - 0.0006 - 0.0007. The chart looks bullish, volume rises and the weekly "
        "candle closed above its resistance. More news tomorrow at 17:00 UTC"
        for n in range(3_000)
    )
    load_lexicon()
    started = time.process_time()
    warning_signs(texts)
    # 20,000 a second is the aim on a free core; this machine may be busy.
    assert len(texts) / (time.process_time() - started) > 5_000
