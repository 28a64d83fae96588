"""Texts made to break their reader: normalising, labelling and extraction neither fail on them nor take long."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pnd_dagster.events import extract_events
from pnd_dagster.messages.classifier import Classifier, label_messages, load_classifier
from pnd_dagster.messages.labels import MessageLabel
from pnd_dagster.messages.normalise import normalise

MEGABYTE = 1_000_000
# Seconds of CPU; none needs a tenth of it. A quadratic reader needs a minute.
MOST_SECONDS = 10.0
POSTED_AT = datetime(2026, 3, 10, 12, tzinfo=UTC)


def _long(piece: str) -> str:
    """A tenth of a megabyte of a piece."""
    return (piece * (MEGABYTE // 10 // len(piece) + 1))[: MEGABYTE // 10]


HOSTILE = {
    "one letter": "a" * MEGABYTE,
    "one capital": "A" * MEGABYTE,
    "one digit": "7" * MEGABYTE,
    "blanks": " " * MEGABYTE,
    "line breaks": "\n" * MEGABYTE,
    "carriage returns and tabs": _long("\r\t"),
    "NULs": "\0" * MEGABYTE,
    "spread letters": _long("A "),
    "letters on lines": _long("A\n"),
    "underscored letters": _long("A_"),
    "bracketed letters": _long("( A ) "),
    "combining marks": "a" + "\u0332" * 100_000,
    "combining marks on every letter": _long("Z\u0336\u0321\u0489"),
    "nested brackets": _long("("),
    "nested JSON": '{"a":' * 10_000 + "1" + "}" * 10_000,
    "colons": ":" * MEGABYTE,
    "names of emoji": _long(":rocket"),
    "emoji": _long("🚀"),
    "joined emoji": _long("👨\u200d👩\u200d👧\u200d"),
    "flags": _long("🇳🇦🇻"),
    "keycaps": _long("5\ufe0f\u20e3"),
    "squared letters": _long("🅽🅰🆅 "),
    "invisible": _long("\u200b\u202e\u2066\ufeff"),
    "tag block": "".join(chr(0xE0000 + number % 128) for number in range(100_000)),
    "variation selectors": "a" + "\ufe0f" * 40_000,
    "ligatures that grow": "\ufdfa" * 20_000,
    "homoglyphs": _long("NАV"),
    "lone surrogates": _long("\ud83d\udc00"),
    "every character": "".join(map(chr, range(0x11000))),
    "ampersands": _long("&"),
    "entities of entities": _long("&amp;"),
    "long entity": "&#" + _long("1") + ";",
    "at signs": _long("@"),
    "half an e-mail": _long("a."),
    "URL without end": "https://" + "a/" * 40_000,
    "URLs": _long("https://www.binance.com/en/trade/NAV_BTC "),
    "dots of a host": _long("a."),
    "percent signs": "https://x.com/" + "%25" * 40_000,
    "exchanges": _long("Binance KuCoin gate.io "),
    "gate gate": _long("gate"),
    "clock times": _long("17:00 "),
    "clock times without blanks": _long("17:00:"),
    "dates": _long("14 March 2026 17:00 GMT "),
    "numbers and minus": _long("1-"),
    "minutes left": _long("5 minutes left "),
    "coin is": _long("coin is "),
    "coin coin": _long("coin"),
    "the coin is and nothing": "the coin is" + " " * 100_000 + "!",
    "cash tags": _long("$NAV "),
    "dollars": "$" * MEGABYTE,
    "pairs": _long("NAV/BTC "),
    "slashes": _long("/"),
    "name in brackets": _long("Abcdefgh ijkl ("),
    "postponed by": _long("postponed by 1 hour "),
    "backslashes": _long("\\"),
    "quotes": _long("\"'"),
}


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier()


def spent(job: Callable[[], object]) -> float:
    began = time.process_time()
    job()
    return time.process_time() - began


def storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


@pytest.mark.parametrize("name", HOSTILE)
def test_normalising_takes_a_bounded_time_and_leaves_a_text_that_can_be_stored(name: str) -> None:
    found: list[str] = []
    assert spent(lambda: found.append(normalise(HOSTILE[name]))) < MOST_SECONDS
    assert "\0" not in found[0]
    found[0].encode()
    # Unicode's longest compatibility form has 18 characters; names of emoji have more.
    assert len(found[0]) <= 60 * len(HOSTILE[name])


@pytest.mark.parametrize("name", HOSTILE)
def test_labelling_takes_a_bounded_time(name: str, classifier: Classifier) -> None:
    frame = pl.DataFrame({"text": [storable(HOSTILE[name])]})
    found: list[pl.DataFrame] = []
    assert spent(lambda: found.append(label_messages(frame, classifier))) < MOST_SECONDS
    (label,), (confidence,) = found[0]["label"], found[0]["confidence"]
    assert label in set(MessageLabel)
    assert 1 / 6 - 1e-6 <= confidence <= 1 + 1e-6


@pytest.mark.parametrize("label", [MessageLabel.PUMP_ANNOUNCEMENT, MessageLabel.TARGET_COIN_RELEASE, MessageLabel.DELAY_CANCELLATION])
@pytest.mark.parametrize("name", HOSTILE)
def test_extraction_takes_a_bounded_time_whatever_the_label(name: str, label: MessageLabel) -> None:
    texts = ["The next message will be the coin, 1 minute left, Kucoin", storable(HOSTILE[name])]
    labels = pl.Series([int(MessageLabel.COUNTDOWN), int(label)], dtype=pl.Int16)
    dates = pl.Series([POSTED_AT, POSTED_AT + timedelta(minutes=1)])
    messages = pl.DataFrame({"channel_id": [1, 1], "message_id": [1, 2], "date": dates, "text": texts, "label": labels})
    messages = messages.with_columns(confidence=pl.lit(1.0))
    assert spent(lambda: extract_events(messages)) < MOST_SECONDS


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(codec=None), max_size=120))
def test_any_text_is_normalised_to_one_that_stays(text: str) -> None:
    plain = normalise(text)
    plain.encode()
    assert "\0" not in plain


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from([*"NAV \n#$/:.()_-@1759", "🚀", "\u200b", "\u202e", "coin is ", "17:00", "GMT", "binance", "&amp;"]), max_size=60
    )
)
def test_what_is_extracted_from_any_text_stands_in_it(pieces: list[str]) -> None:
    text = "".join(pieces)
    dates = pl.Series([POSTED_AT, POSTED_AT + timedelta(minutes=1)])
    messages = pl.DataFrame(
        {
            "channel_id": [1, 1],
            "message_id": [1, 2],
            "date": dates,
            "text": ["next message is the coin", text],
            "label": pl.Series([1, 2], dtype=pl.Int16),
            "confidence": [1.0, 1.0],
        }
    )
    letters = "".join(character for character in normalise(text).upper() if character.isalnum())
    for symbol in extract_events(messages).releases["symbol"]:
        assert symbol in letters
