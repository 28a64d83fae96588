"""Daily candles come from the real ccxt clients; what is missing, refused or absurd is listed, and a run goes on where one stopped."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.errors import TransientError
from pnd_dagster.market import ohlcv, rest
from pnd_dagster.market.instruments import ListedMarket, refresh_instruments
from pnd_dagster.market.ohlcv import Collected, collect_candles
from pnd_dagster.market.ohlcv_reading import absurdity, pages
from pnd_dagster.settings import Settings
from pnd_dagster.storage import NOTHING_WRITTEN, read_frame
from pnd_dagster.tables import DEAD_LETTERS, OHLCV_DAILY, OHLCV_GAPS

FIRST = date(2024, 5, 1)
LISTED_AT = datetime(2024, 1, 1, tzinfo=UTC)
LONG_AFTER = datetime(2024, 9, 1, 12, tzinfo=UTC)


def days(count: int, first: date = FIRST) -> list[date]:
    return [first + timedelta(days=number) for number in range(count)]


def window(count: int, first: date = FIRST) -> tuple[datetime, datetime]:
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    return start, start + timedelta(days=count)


def candle(price: float = 2.0) -> tuple[str, ...]:
    return (str(price), str(price * 1.2), str(price * 0.8), str(price * 1.1), "1000")


def market_id(exchanges: Any, exchange: str, base: str) -> str:
    forms = {"kucoin": f"{base}-USDT", "mexc": f"{base}USDT", "poloniex": f"{base}_USDT", "xt": f"{base.lower()}_usdt"}
    return forms.get(exchange) or exchanges.id_of(f"pair {exchanges.id_of(base)}")


class Desk:
    """An exchange with its pairs, served and known to the database; collecting is one call."""

    def __init__(self, exchanges: Any, engine: sa.Engine, settings: Settings) -> None:
        self.served, self.engine, self.settings = exchanges, engine, settings

    def list(self, exchange: str, *bases: str) -> None:
        self.served.markets[exchange] = list(bases)
        markets = [
            ListedMarket(market_id(self.served, exchange, base), f"{base}/USDT", base, "USDT", self.served.id_of(base), "USDT")
            for base in bases
        ]
        refresh_instruments(self.engine, exchange, markets, LISTED_AT)

    def collect(self, exchange: str | tuple[str, ...], span: tuple[datetime, datetime], now: datetime = LONG_AFTER) -> Collected:
        names = [exchange] if isinstance(exchange, str) else list(exchange)
        configured = self.settings.model_copy(update={"exchange_url": self.served.url, "exchanges": names})
        return collect_candles(self.engine, configured, span, now=now)

    def candles(self) -> pl.DataFrame:
        return read_frame(self.engine, sa.select(OHLCV_DAILY).order_by(OHLCV_DAILY.c.exchange, OHLCV_DAILY.c.symbol, OHLCV_DAILY.c.day))

    def gaps(self) -> list[tuple[Any, ...]]:
        gap = OHLCV_GAPS.c
        return read_frame(self.engine, sa.select(gap.symbol, gap.day, gap.reason, gap.detail).order_by(gap.symbol, gap.day)).rows()


@pytest.fixture
def desk(exchanges: Any, engine: sa.Engine, settings: Settings) -> Desk:
    return Desk(exchanges, engine, settings)


def test_every_exchange_gives_its_candles_with_quote_volume_and_trades_where_it_has_them(desk: Desk) -> None:
    names = ("kucoin", "mexc", "poloniex", "xt")
    for exchange in names:
        desk.list(exchange, "ABC")
        desk.served.candles[exchange, "ABC"] = dict.fromkeys(days(3), candle())
    collected = desk.collect(names, window(3))
    assert (collected.errors, collected.gaps, collected.written.inserted) == ({}, 0, 12)
    rows = desk.candles()
    assert rows.select("open", "high", "low", "close", "volume").unique().rows() == [(2.0, 2.4, 1.6, 2.2, 1000.0)]
    assert rows.filter(pl.col("exchange") == "xt")["day"].to_list() == days(3)
    assert set(rows["source"]) == {"ohlcv"}
    assert rows["is_complete"].all()
    assert set(rows["quote_volume"]) == {77.0}
    assert set(rows.filter(pl.col("trade_count").is_not_null()).select("exchange", "trade_count").rows()) == {("poloniex", 12)}


@pytest.mark.parametrize(("exchange", "requests"), [("kucoin", 1), ("mexc", 3), ("poloniex", 3), ("xt", 2)])
def test_months_are_read_page_by_page_as_each_exchange_allows(desk: Desk, exchange: str, requests: int) -> None:
    first = date(2021, 1, 1)
    desk.list(exchange, "ABC")
    desk.served.candles[exchange, "ABC"] = dict.fromkeys(days(1200, first), candle())
    collected = desk.collect(exchange, window(1200, first))
    assert (collected.written.inserted, collected.gaps) == (1200, 0)
    assert len([request for request in desk.served.requests if "candles" in request or "kline" in request]) == requests


def test_what_is_there_and_complete_is_not_asked_again(desk: Desk) -> None:
    desk.list("xt", "ABC", "XYZ")
    desk.served.candles["xt", "ABC"] = desk.served.candles["xt", "XYZ"] = dict.fromkeys(days(5), candle())
    desk.collect("xt", window(3))
    desk.served.requests.clear()
    assert desk.collect("xt", window(3)).written == NOTHING_WRITTEN
    assert desk.served.requests == []
    assert desk.collect("xt", window(5)).written.inserted == 4
    starts = [request for request in desk.served.asked("/kline") if "startTime=1714780800000" in request]  # 2024-05-04
    assert len(starts) == 2


def test_the_candle_of_the_running_day_is_incomplete_until_the_day_is_over(desk: Desk) -> None:
    desk.list("kucoin", "ABC")
    desk.served.candles["kucoin", "ABC"] = {FIRST: candle(2.0)}
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
    desk.collect("kucoin", window(1), now=noon)
    assert desk.candles().select("close", "is_complete").rows() == [(2.2, False)]
    desk.served.candles["kucoin", "ABC"] = {FIRST: candle(4.0)}
    desk.collect("kucoin", window(1), now=noon + timedelta(days=1))
    assert desk.candles().select("close", "is_complete").rows() == [(4.4, True)]


def test_days_that_have_not_begun_are_no_gaps(desk: Desk) -> None:
    desk.list("kucoin", "ABC")
    collected = desk.collect("kucoin", window(30), now=datetime(2024, 5, 2, 12, tzinfo=UTC))
    # The first day is over and lacks its candle, the second one lasts.
    assert (collected.gaps, desk.gaps()) == (1, [("ABC/USDT", FIRST, "no candle", None)])


def test_missing_days_are_listed_and_not_filled(desk: Desk) -> None:
    desk.list("mexc", "ABC")
    desk.served.candles["mexc", "ABC"] = {FIRST: candle(), FIRST + timedelta(days=2): candle()}
    assert desk.collect("mexc", window(3)).gaps == 1
    assert desk.candles()["day"].to_list() == [FIRST, FIRST + timedelta(days=2)]
    assert desk.gaps() == [("ABC/USDT", FIRST + timedelta(days=1), "no candle", None)]


def test_a_fresh_gap_is_asked_for_again_and_vanishes_when_it_is_filled_but_a_settled_one_is_left(desk: Desk) -> None:
    desk.list("mexc", "ABC")
    soon = datetime(2024, 5, 2, 1, tzinfo=UTC)
    desk.collect("mexc", window(1), now=soon)
    assert len(desk.gaps()) == 1
    desk.served.candles["mexc", "ABC"] = {FIRST: candle()}
    assert desk.collect("mexc", window(1), now=soon + timedelta(hours=1)).written.inserted == 1
    assert desk.gaps() == []
    old = window(1, date(2024, 2, 1))
    desk.collect("mexc", old)
    desk.served.requests.clear()
    desk.collect("mexc", old)
    assert desk.served.requests == []


def test_days_before_the_market_opened_and_after_it_closed_are_not_listed(desk: Desk) -> None:
    desk.served.opened = FIRST + timedelta(days=1)
    desk.list("poloniex", "ABC", "XYZ")
    desk.served.candles["poloniex", "ABC"] = desk.served.candles["poloniex", "XYZ"] = dict.fromkeys(days(3)[1:], candle())
    gone_at = datetime(2024, 5, 3, 12, tzinfo=UTC)
    refresh_instruments(desk.engine, "poloniex", [ListedMarket("ABC_USDT", "ABC/USDT", "ABC", "USDT", "ABC", "USDT")], gone_at)
    desk.served.markets["poloniex"] = ["ABC"]
    desk.collect("poloniex", window(3))
    gone = "gone from the exchange's list since 2024-05-03"
    assert desk.gaps() == [
        ("ABC/USDT", FIRST, "not listed", "before the market opened"),
        ("XYZ/USDT", FIRST, "no candle", gone),
        ("XYZ/USDT", FIRST + timedelta(days=1), "no candle", gone),
        ("XYZ/USDT", FIRST + timedelta(days=2), "not listed", gone),
    ]
    # A pair that was gone before the window is none of its business.
    desk.collect("poloniex", window(2, date(2024, 5, 10)))
    assert {symbol for symbol, day, *_ in desk.gaps() if day >= date(2024, 5, 10)} == {"ABC/USDT"}


def test_an_absurd_candle_is_a_dead_letter_and_a_gap_and_the_rest_goes_on(desk: Desk) -> None:
    missing, negative = "a price or the volume is missing or not finite", "a volume or the number of trades is negative or absurd"
    absurd: dict[str, tuple[tuple[Any, ...], str]] = {
        "A": (("2", "1", "3", "2", "5"), "the high is below the low"),
        "B": (("-2", "3", "1", "2", "5"), "a price is not positive"),
        "C": (("0", "0", "0", "0", "0"), "a price is not positive"),
        "D": (("2", "NaN", "1", "2", "5"), missing),
        "E": (("2", "3", "1", "2", "Infinity"), missing),
        "F": (("2", "3", "1", "2", "-5"), negative),
        "G": (("2", "3", "1", None, "5"), missing),
    }
    desk.list("xt", *absurd)
    for base, (numbers, _) in absurd.items():
        desk.served.candles["xt", base] = {FIRST: numbers, FIRST + timedelta(days=1): candle()}
    for _ in range(2):
        collected = desk.collect("xt", window(2), now=datetime(2024, 5, 2, 23, tzinfo=UTC))
        assert (collected.exchanges["xt"].refused, collected.errors) == (7, {})
        letters = read_frame(desk.engine, sa.select(DEAD_LETTERS).order_by(DEAD_LETTERS.c.location))
        assert letters.select("source", "location", "reason").rows() == [
            ("xt ohlcv", f"{base}/USDT 2024-05-01", reason) for base, (_, reason) in absurd.items()
        ]
    assert desk.candles().select("symbol", "day").rows() == [(f"{base}/USDT", FIRST + timedelta(days=1)) for base in absurd]
    detail = "its candle was absurd, see raw.dead_letters"
    assert desk.gaps() == [(f"{base}/USDT", FIRST, "no candle", detail) for base in absurd]


def test_a_candle_that_does_not_start_at_midnight_is_refused() -> None:
    assert absurdity([1_714_521_600_000, 1.0, 1.0, 1.0, 1.0, 0.0, None, None]) is None
    assert absurdity([1_714_521_600_001, 1.0, 1.0, 1.0, 1.0, 0.0, None, None]) == "does not start at midnight UTC"
    assert absurdity([None, 1.0, 1.0, 1.0, 1.0, 0.0, None, None]) == "does not start at midnight UTC"


def test_one_pair_that_is_refused_is_a_gap_and_asked_again_next_time(desk: Desk, refusal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "FIRST_PAUSE_SECONDS", 0.01)
    desk.list("kucoin", "ABC", "BAD", "XYZ")
    for base in ("ABC", "BAD", "XYZ"):
        desk.served.candles["kucoin", base] = {FIRST: candle()}
    desk.served.refusals = [refusal("BAD-USDT", 429)]
    collected = desk.collect("kucoin", window(1))
    assert (collected.errors, collected.written.inserted) == ({}, 2)
    assert [(symbol, reason) for symbol, _, reason, _ in desk.gaps()] == [("BAD/USDT", "refused")]
    assert "429" in desk.gaps()[0][3]
    desk.served.refusals = []
    assert desk.collect("kucoin", window(1)).written.inserted == 1
    assert desk.gaps() == []


def test_an_exchange_that_fails_is_left_early_with_what_it_gave_and_stops_no_other(
    desk: Desk, refusal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(ohlcv, "PAIRS_PER_COMMIT", 3)
    bases = [f"COIN{number:02d}" for number in range(30)]
    for exchange in ("kucoin", "xt"):
        desk.list(exchange, *bases)
        for base in bases:
            desk.served.candles[exchange, base] = {FIRST: candle()}
    desk.served.refusals = [refusal(f"symbol={base}-USDT", 500) for base in bases[5:]]
    collected = desk.collect(("kucoin", "xt"), window(1))
    assert set(collected.errors) == {"kucoin"}
    assert "8 pairs in a row; stopped after 5 of 30" in collected.errors["kucoin"]
    assert {name: result.written.inserted for name, result in collected.exchanges.items()} == {"kucoin": 5, "xt": 30}
    asked = desk.served.asked("COIN14-USDT")
    assert asked == []
    desk.served.refusals = []
    assert desk.collect(("kucoin", "xt"), window(1)).exchanges["kucoin"].written.inserted == 25


def test_nothing_from_anywhere_is_an_error(desk: Desk, refusal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "FIRST_PAUSE_SECONDS", 0.001)
    desk.list("kucoin", "ABC")
    desk.served.refusals = [refusal("", 503)]
    with pytest.raises(TransientError, match="no exchange gave candles: kucoin"):
        desk.collect("kucoin", window(1))
    assert desk.gaps() == []


def test_an_exchange_without_instruments_says_what_to_do(desk: Desk) -> None:
    desk.list("kucoin", "ABC")
    desk.served.candles["kucoin", "ABC"] = {FIRST: candle()}
    collected = desk.collect(("kucoin", "xt"), window(1))
    assert collected.errors == {"xt": "xt: core.instruments holds no markets of it; refresh the instruments first"}


def test_a_market_list_that_lost_most_pairs_is_an_error_and_not_a_wall_of_gaps(desk: Desk) -> None:
    desk.list("kucoin", "ABC", "DEF", "GHI", "JKL")
    desk.list("xt", "ABC")
    desk.served.markets["kucoin"] = ["ABC"]
    collected = desk.collect(("kucoin", "xt"), window(1))
    assert "lists 1 of 4 known pairs" in collected.errors["kucoin"]
    assert {symbol for symbol, *_ in desk.gaps()} == {"ABC/USDT"}  # XT's


def test_a_run_that_dies_has_kept_its_batches(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ohlcv, "PAIRS_PER_COMMIT", 2)
    bases = [f"COIN{number}" for number in range(6)]
    desk.list("xt", *bases)
    for base in bases:
        desk.served.candles["xt", base] = {FIRST: candle()}

    def dies(_: str, done: int, __: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    configured = desk.settings.model_copy(update={"exchange_url": desk.served.url, "exchanges": ["xt"]})
    with pytest.raises(KeyboardInterrupt):
        collect_candles(desk.engine, configured, window(1), dies, now=LONG_AFTER)
    assert desk.candles().height == 4
    assert desk.collect("xt", window(1)).written.inserted == 2


def test_latoken_candles_are_made_of_its_last_trades_and_say_how_whole_they_are(desk: Desk) -> None:
    desk.list("latoken", "ABC")
    start = int(datetime(2024, 5, 1, 18, tzinfo=UTC).timestamp() * 1_000)
    hours = 3_600_000
    desk.served.trades["ABC"] = [
        (start, "1.0", "10", "buy"),
        (start + 10 * hours, "2.0", "10", "buy"),
        (start + 11 * hours, "4.0", "5", "sell"),
        (start + 12 * hours, "3.0", "5", "buy"),
        (start + 56 * hours, "3.5", "1", "buy"),
    ]
    now = datetime(2024, 5, 4, 12, tzinfo=UTC)
    assert desk.collect("latoken", window(4), now=now).errors == {}
    rows = (
        desk.candles()
        .select("day", "open", "high", "low", "close", "volume", "quote_volume", "trade_count", "source", "is_complete")
        .rows()
    )
    assert rows == [
        (date(2024, 5, 1), 1.0, 1.0, 1.0, 1.0, 10.0, 10.0, 1, "trades", False),  # the trades begin within this day
        (date(2024, 5, 2), 2.0, 4.0, 2.0, 3.0, 20.0, 55.0, 3, "trades", True),
        (date(2024, 5, 4), 3.5, 3.5, 3.5, 3.5, 1.0, 3.5, 1, "trades", False),  # the day lasts
    ]
    assert desk.gaps() == [("ABC/USDT", date(2024, 5, 3), "no candle", "no trades")]


def test_a_later_latoken_answer_with_fewer_trades_of_a_day_does_not_replace_an_earlier_one(desk: Desk) -> None:
    desk.list("latoken", "ABC")
    start = int(datetime(2024, 5, 1, 6, tzinfo=UTC).timestamp() * 1_000)
    busy = [(start + number * 60_000, "2.0", "1", "buy") for number in range(150)]
    desk.served.trades["ABC"] = busy[:80]
    desk.collect("latoken", window(1), now=datetime(2024, 5, 1, 9, tzinfo=UTC))
    desk.served.trades["ABC"] = busy
    desk.collect("latoken", window(1), now=datetime(2024, 5, 1, 12, tzinfo=UTC))
    assert desk.candles().select("trade_count", "is_complete").rows() == [(100, False)]
    # The next day most of the last hundred trades are of that day.
    desk.served.trades["ABC"] = busy + [(start + 86_400_000 + number, "3.0", "1", "buy") for number in range(60)]
    desk.collect("latoken", window(2), now=datetime(2024, 5, 2, 12, tzinfo=UTC))
    assert desk.candles().select("day", "trade_count").rows() == [(FIRST, 100), (date(2024, 5, 2), 60)]
    assert desk.gaps() == []


def test_latoken_days_beyond_its_last_trades_are_gaps_that_say_so(desk: Desk) -> None:
    desk.list("latoken", "ABC", "XYZ")
    desk.served.trades["ABC"] = [(int(datetime(2024, 8, 30, 6, tzinfo=UTC).timestamp() * 1_000), "2.0", "1", "buy")]
    desk.collect("latoken", window(1))
    assert desk.gaps() == [
        ("ABC/USDT", FIRST, "no candle", "the last trades reach back to 2024-08-30 06:00 UTC only"),
        ("XYZ/USDT", FIRST, "no candle", "the exchange gave no trades"),
    ]


def test_pages_hold_all_days_and_nothing_but_spans_that_an_exchange_allows() -> None:
    assert list(pages([], 3)) == []
    assert list(pages(days(7), 3)) == [(days(7)[0], days(7)[2]), (days(7)[3], days(7)[5]), (days(7)[6], days(7)[6])]
    apart = [FIRST, FIRST + timedelta(days=1), FIRST + timedelta(days=400)]
    assert list(pages(apart, 100)) == [(apart[0], apart[1]), (apart[2], apart[2])]
