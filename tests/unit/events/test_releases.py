"""What counts as the release of a coin, and on which exchange; the messages are made up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from pnd_dagster.errors import SchemaError
from pnd_dagster.events import build_channel

ANNOUNCEMENT, COUNTDOWN, RELEASE, RESULTS, DELAY, NOISE = range(6)
KNOWN = frozenset({"NEBL", "VIBE", "NAS"})
ANNOUNCED = "Next pump\nDate: Friday, 5 May\nTime: 17:00 GMT\nExchange: Kucoin"
LEAD_UP = (
    (0, ANNOUNCEMENT, ANNOUNCED),
    (285, COUNTDOWN, "15 minutes left"),
    (295, COUNTDOWN, "5 minutes left, next post will be the coin"),
)


def released(messages: pl.DataFrame) -> list[dict[str, Any]]:
    return build_channel(messages, KNOWN).releases.to_dicts()


def coins(messages: pl.DataFrame) -> list[str]:
    return [row["symbol"] for row in released(messages)]


@pytest.mark.parametrize("label", [RELEASE, NOISE])
@pytest.mark.parametrize("text", ["NEBL", "nas", "#VIBE 🚀", "N E B L", "Q Z K / USDT", "The coin is $QZKC", "👉 Coin name: QZKC 👈"])
def test_after_the_countdown_a_coin_is_a_release_even_if_labelled_noise(channel: Any, text: str, label: int) -> None:
    assert len(coins(channel(*LEAD_UP, (300, label, text)))) == 1


def test_a_release_takes_the_exchange_of_the_announcement(channel: Any) -> None:
    (row,) = released(channel(*LEAD_UP, (300, RELEASE, "The coin is NEBL")))

    assert (row["exchange"], row["exchange_source"], row["is_symbol_listed"]) == ("kucoin", "announcement", True)
    assert row["announcement_id"] is not None


@pytest.mark.parametrize(
    ("text", "exchange", "source", "quote"),
    [
        ("The coin is NEBL on Hotbit", "hotbit", "text", None),
        ("The coin is NEBL https://www.binance.com/en/trade/NEBL_BTC", "binance", "url", "BTC"),
    ],
)
def test_a_release_that_names_its_exchange_is_believed(channel: Any, text: str, exchange: str, source: str, quote: str | None) -> None:
    (row,) = released(channel(*LEAD_UP, (300, RELEASE, text)))

    assert (row["exchange"], row["exchange_source"], row["quote"]) == (exchange, source, quote)


def test_the_exchange_of_an_announcement_more_than_48_hours_old_is_a_habit_only(channel: Any) -> None:
    (row,) = released(
        channel(
            (0, ANNOUNCEMENT, "Join our pumps on Kucoin"), (4000, COUNTDOWN, "Next post is the coin"), (4001, RELEASE, "The coin is NEBL")
        )
    )

    assert (row["exchange"], row["exchange_source"]) == ("kucoin", "channel")


def test_an_ordinary_trading_signal_is_no_release(channel: Any) -> None:
    signal = "#NEBL/BTC\nBuy: 1200 - 1250\nTargets: 1300 - 1400 - 1500\nStop loss: 1100"

    assert coins(channel((0, RELEASE, signal))) == []
    assert coins(channel((0, ANNOUNCEMENT, ANNOUNCED), (60, RELEASE, signal), (120, NOISE, signal))) == []


def test_a_coin_named_in_idle_talk_is_no_release(channel: Any) -> None:
    assert (
        coins(channel((0, NOISE, "NEBL looks fine on the daily chart"), (5, NOISE, "$NEBL partnership announced"), (9, NOISE, "NEBL")))
        == []
    )


@pytest.mark.parametrize(
    "text", ["Waiting ...", "Buy buy buy", "HOLD", "Make sure you have $BTC", "Lets go", "We are number 2 of the top gainers"]
)
def test_chatter_around_a_reveal_is_no_release(channel: Any, text: str) -> None:
    assert coins(channel(*LEAD_UP, (299, NOISE, text), (300, RELEASE, "The coin is NEBL"), (301, NOISE, text))) == ["NEBL"]


def test_hype_that_repeats_the_coin_belongs_to_the_same_announcement(channel: Any) -> None:
    rows = released(channel(*LEAD_UP, (300, RELEASE, "The coin is NEBL"), (302, RELEASE, "NEBL is flying, buy now and hold!")))

    assert [row["symbol"] for row in rows] == ["NEBL", "NEBL"]
    assert len({row["announcement_id"] for row in rows}) == 1


def test_another_coin_in_the_hype_is_no_release(channel: Any) -> None:
    messages = channel(*LEAD_UP, (300, RELEASE, "The coin is NEBL"), (320, NOISE, "Remember #VIBE and #NAS did 300% last week"))

    assert coins(messages) == ["NEBL"]


def test_a_second_countdown_releases_a_second_coin(channel: Any) -> None:
    messages = channel(
        *LEAD_UP,
        (300, RELEASE, "The coin is NEBL"),
        (355, COUNTDOWN, "5 minutes left, next post is the coin"),
        (360, RELEASE, "Coin is VIBE"),
    )

    assert coins(messages) == ["NEBL", "VIBE"]


def test_a_release_split_over_two_messages_is_read(channel: Any) -> None:
    assert coins(channel(*LEAD_UP, (300, RELEASE, "The coin is 👇"), (300.1, NOISE, "NEBL"))) == ["NEBL"]


def test_letters_posted_one_by_one_spell_the_coin(channel: Any) -> None:
    letters = [(300 + i / 10, NOISE, letter) for i, letter in enumerate("NEBL")]
    (row,) = released(channel(*LEAD_UP, *letters, (303, NOISE, "Buy and hold")))

    assert row["symbol"] == "NEBL"
    assert row["message_id"] == len(LEAD_UP) + 4


def test_an_image_without_text_is_followed_by_the_words_that_name_the_coin(channel: Any) -> None:
    (row,) = released(channel(*LEAD_UP, (300, NOISE, ""), (304, NOISE, "I am buying $NEBL now 🚀")))

    assert (row["symbol"], row["released_at"]) == ("NEBL", datetime(2023, 5, 5, 17, 4, tzinfo=UTC))


def test_results_are_the_release_where_no_words_named_the_coin_before(channel: Any) -> None:
    results = "Pump results\nCoin was: NEBL\nStart price 100, peak 300"

    assert coins(channel(*LEAD_UP, (300, NOISE, ""), (330, RESULTS, results))) == ["NEBL"]
    assert coins(channel((0, RESULTS, results))) == []


def test_a_repeated_countdown_tag_is_not_the_coin(channel: Any) -> None:
    messages = channel(
        (0, COUNTDOWN, "30 minutes left #MEGAX"), (25, COUNTDOWN, "5 minutes left #MEGAX"), (30, RELEASE, "Buy NEBL fast #MEGAX")
    )

    assert coins(messages) == ["NEBL"]


def test_row_order_and_duplicates_change_nothing(channel: Any) -> None:
    first = channel(*LEAD_UP, (300, RELEASE, "The coin is NEBL"))
    second = channel(*LEAD_UP, (301, NOISE, "NEBL"), channel_id=2)
    messages = pl.concat([first, second])
    expected = build_channel(messages, KNOWN)

    for seed in range(5):
        shuffled = pl.concat([messages, messages.sample(3, seed=seed)]).sample(fraction=1.0, shuffle=True, seed=seed)
        built = build_channel(shuffled, KNOWN)
        assert built.releases.equals(expected.releases)
        assert built.announcements.sort("announcement_id").equals(expected.announcements.sort("announcement_id"))


def test_each_channel_alone_gives_the_same_as_all_together(channel: Any) -> None:
    first = channel(*LEAD_UP, (300, RELEASE, "The coin is NEBL"))
    second = channel(*LEAD_UP, (305, RELEASE, "The coin is VIBE"), channel_id=2)
    together = build_channel(pl.concat([first, second]), KNOWN)
    apart = pl.concat([build_channel(first, KNOWN).releases, build_channel(second, KNOWN).releases])

    assert together.releases.equals(apart)


def test_strange_input_is_survived(channel: Any) -> None:
    future = timedelta(days=20_000) / timedelta(minutes=1)
    messages = channel(
        (0, RELEASE, ""),
        (1, ANNOUNCEMENT, "\x00 \ud83d pump"[:2]),
        (2, RELEASE, "A" * 100_000),
        (3, ANNOUNCEMENT, "17:00 GMT " * 10_000),
        (future, ANNOUNCEMENT, ANNOUNCED),
    ).with_columns(text=pl.when(pl.col("message_id") == 1).then(None).otherwise("text"))

    assert build_channel(messages, KNOWN).releases.is_empty()


def test_no_messages_give_empty_frames(channel: Any) -> None:
    built = build_channel(channel(), KNOWN)

    assert built.announcements.is_empty()
    assert built.releases.is_empty()


def test_a_missing_column_is_named(channel: Any) -> None:
    with pytest.raises(SchemaError, match="confidence"):
        build_channel(channel().drop("confidence"), KNOWN)


def test_an_empty_date_is_named_and_not_dropped_in_silence(channel: Any) -> None:
    messages = channel((0, RELEASE, "The coin is NEBL")).with_columns(date=pl.lit(None, pl.Datetime("us", "UTC")))

    with pytest.raises(SchemaError, match="date"):
        build_channel(messages, KNOWN)


def test_thousands_of_messages_are_replayed_in_seconds(channel: Any) -> None:
    posts = [
        (float(i), COUNTDOWN if i % 3 == 0 else NOISE, f"{i % 50} minutes left for the pump on Binance" if i % 3 == 0 else "hello $NEBL")
        for i in range(6000)
    ]
    build_channel(channel(*posts), KNOWN)
