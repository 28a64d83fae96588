from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pnd_dagster.candidates.learned.public_data import TRADE_BARS, candles, hourly, trades, tweets
from pnd_dagster.candidates.learned.samples import Plan, draw_samples
from pnd_dagster.candidates.learned.series import Form
from pnd_dagster.errors import SourceError

HOUR = timedelta(hours=1)
PUMP = datetime(2021, 5, 3, 17, tzinfo=UTC)


def write_trades(folder: Path) -> None:
    (folder / "market").mkdir(exist_ok=True)
    rows = [(event, PUMP + minutes * timedelta(minutes=20), 1.0 + minutes % 7) for event in ("A_1", "B_1") for minutes in range(-144, 30)]
    frame = pl.DataFrame(rows, ["event_id", "at", "price"], orient="row")
    frame.select("event_id", "price", timestamp_ms=pl.col("at").dt.epoch("ms"), amount=2.0, btc_volume=pl.col("price") * 2.0).write_parquet(
        folder / "market/binance_trades_around_pumps.parquet"
    )
    events = pl.DataFrame({"event_id": ["A_1", "B_1", "C_1"], "event_coin": ["A", "B", "C"], "event_time": [PUMP.isoformat()] * 3})
    events.write_csv(folder / "market/binance_trades_events.csv")


def write_tweets(folder: Path) -> None:
    (folder / "market").mkdir(exist_ok=True)
    rows = [(coin, date(2018, 1, 1) + timedelta(days=day), 10.0 + day, 5.0, 0.3) for coin in ("A", "B", "C") for day in range(60)]
    frame = pl.DataFrame(rows, ["coin", "day", "tweets", "user_mentions", "sentiment_mean"], orient="row")
    frame.write_parquet(folder / "market/social_twitter_daily_2017_2018.parquet")
    listed = {"coin": ["a", "A", "Z", "B"], "timestamp": [f"2018-02-{day} 17:00:00+00:00" for day in ("10", "11", "12", "20")]}
    pl.DataFrame(listed).write_csv(folder / "pump_events_sapienza.csv")


def test_hours_end_where_they_are_told_to_and_an_hour_without_trades_has_no_price() -> None:
    times = [PUMP - 3 * HOUR, PUMP - 2.5 * HOUR, PUMP - 1.5 * HOUR, PUMP]
    frame = pl.DataFrame({"timestamp_ms": [round(time.timestamp() * 1000) for time in times], "price": [1.0, 3.0, 2.0, 99.0]})
    bars = hourly(frame.with_columns(amount=2.0, btc_volume=pl.col("price") * 2), PUMP)
    np.testing.assert_array_equal(bars["close"][-4:], [np.nan, 3, 2, np.nan])
    assert bars["open"][-3] == 1
    assert bars["volume"][-4:].tolist() == [0, 4, 2, 0]
    assert len(bars["high"]) == TRADE_BARS


def test_hours_before_a_pump_stand_beside_the_same_hours_of_the_day_before(tmp_path: Path) -> None:
    write_trades(tmp_path)
    samples, notes = trades(tmp_path, Form.LEVELS)
    assert samples.rows["is_pumped"].to_list() == [True, False, True, False]
    assert samples.rows["symbol"].to_list() == ["A", "A", "B", "B"]
    assert samples.left_out == {"too few trades": 1}
    assert samples.windows.shape == (4, 11, TRADE_BARS)
    assert "instead of 30 days" in notes[0]


def test_listings_of_one_coin_within_a_day_are_one_pump(tmp_path: Path) -> None:
    write_tweets(tmp_path)
    source = tweets(tmp_path)
    assert [(source.panel.coins[pump.coin], pump.at.day) for pump in source.pumps] == [("A", 10), ("B", 20)]
    assert source.notes[0] == "3 pumps are listed in the time of the tweets, 2 of a coin with tweets"
    assert source.panel.observed["social_dominance"][0, 0] == pytest.approx(100 / 3)
    assert draw_samples(source.panel, source.pumps, Plan()).rows.filter("is_pumped")["coin"].to_list() == ["A", "B"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for read in (tweets, candles, lambda folder: trades(folder, Form.LEVELS)):
        with pytest.raises(SourceError, match=str(tmp_path)):
            read(tmp_path)


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    write_tweets(tmp_path)
    pl.DataFrame({"coin": ["A"]}).write_csv(tmp_path / "pump_events_sapienza.csv")
    with pytest.raises(SourceError, match="timestamp"):
        tweets(tmp_path)


def test_a_file_that_is_none_and_a_time_that_is_none_are_named(tmp_path: Path) -> None:
    write_tweets(tmp_path)
    listed = tmp_path / "pump_events_sapienza.csv"
    for content in (b"", b"coin,timestamp\nA,some day\n"):
        listed.write_bytes(content)
        with pytest.raises(SourceError, match=r"pump_events_sapienza\.csv: "):
            tweets(tmp_path)
    (tmp_path / "market/social_twitter_daily_2017_2018.parquet").write_bytes(b"no parquet")
    with pytest.raises(SourceError, match=r"social_twitter_daily_2017_2018\.parquet: "):
        tweets(tmp_path)


def test_a_coin_that_has_a_day_twice_is_named(tmp_path: Path) -> None:
    write_tweets(tmp_path)
    days = tmp_path / "market/social_twitter_daily_2017_2018.parquet"
    frame = pl.read_parquet(days)
    pl.concat([frame, frame.head(1)]).write_parquet(days)
    with pytest.raises(SourceError, match="A has 2018-01-01 twice"):
        tweets(tmp_path)


@pytest.mark.shared
def test_the_real_files_give_what_the_docs_say(shared_data: Path) -> None:
    source, panel = tweets(shared_data), candles(shared_data)
    assert len(source.panel.coins) == 1_441
    assert len(source.pumps) == 235
    assert len(panel.coins) == 110
    assert panel.reference is None, "Bitcoin is not among the pairs"
    samples, _ = trades(shared_data, Form.CHANGES)
    assert samples.rows["is_pumped"].sum() == 32
