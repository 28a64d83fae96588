"""Files of a backtest: what counts as one event, what is refused, and what a user is told."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pnd_dagster.backtest.reading import Event, read_books, read_events, read_trades
from pnd_dagster.errors import SourceError

NOON = 1_704_888_000_000
LATER = {"A": NOON + 10**6, "B": NOON + 10**6}


def events_file(tmp_path: Path, *rows: str, header: str = "event_id,event_coin,event_time") -> Path:
    path = tmp_path / "events.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def trades_file(tmp_path: Path, rows: list[tuple[str, int, str, float | None, float]]) -> Path:
    frame = pl.DataFrame(rows, schema=["event_id", "timestamp_ms", "side", "price", "amount"], orient="row")
    path = tmp_path / "trades.parquet"
    frame.with_columns(btc_volume=pl.col("price") * pl.col("amount"), more=pl.lit(1)).write_parquet(path)
    return path


def test_an_event_is_counted_once_however_many_channels_announce_it(tmp_path: Path) -> None:
    path = events_file(
        tmp_path,
        "A2,aaa,2024-01-10 13:30:00+00:00",
        "B,BBB,2024-01-10T12:00:00Z",
        "A1,AAA,2024-01-10 12:00:00",
        "A1,AAA,2024-01-10 12:00:00",
        "A3,AAA,2024-01-10 17:00:00+02:00",
        "A9,AAA,2024-01-12 12:00:00",
    )
    assert read_events(path, {"A1", "A3", "B"}) == [
        Event("A1", "AAA", NOON),
        Event("B", "BBB", NOON),
        Event("A9", "AAA", NOON + 2 * 86_400_000),
    ]
    assert read_events(path, {"A3"})[0] == Event("A3", "AAA", NOON), "of several ids the one with data names the event"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("A,AAA,tomorrow", "row 2: event_time 'tomorrow' is no time"),
        ("A,AAA,", "row 2: event_time"),
        (",AAA,2024-01-10 12:00:00", "row 2: no event_id"),
        ("A,,2024-01-10 12:00:00", "row 2: no event_coin"),
        ("A,AAA,2024-01-10 12:00:00\nA,BBB,2024-01-10 12:00:00", "event_id A stands for two coins, AAA and BBB"),
        ("A,AAA,2024-01-10 12:00:00\nA,AAA,2024-01-11 12:00:00", "event_id A stands for two pumps more than 2 h apart"),
    ],
)
def test_a_row_that_is_no_event_is_named(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(SourceError) as raised:
        read_events(events_file(tmp_path, row), set())
    assert message in str(raised.value)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"events.csv: missing columns event_coin, event_time \(it has event_id, coin\)"):
        read_events(events_file(tmp_path, "A,AAA", header="event_id,coin"), set())
    pl.DataFrame({"event_id": ["A"], "price": [1.0]}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(SourceError, match=r"t.parquet: missing columns timestamp_ms, side, amount, btc_volume"):
        read_trades(tmp_path / "t.parquet", LATER)
    with pytest.raises(SourceError, match=r"t.parquet: missing columns timestamp_ms, side, level, amount"):
        read_books(tmp_path / "t.parquet", LATER)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(SourceError, match=r"broken.parquet"):
        read_trades(tmp_path / "broken.parquet", LATER)
    with pytest.raises(SourceError, match=r"absent.csv"):
        read_events(tmp_path / "absent.csv", set())


def test_trades_come_in_the_order_of_time_and_absurd_ones_are_counted(tmp_path: Path) -> None:
    rows: list[tuple[str, int, str, float | None, float]] = [
        ("A", NOON + 2, "sell", 1.0, 2.0),
        ("B", NOON, "BUY", 3.0, 1.0),
        ("A", NOON + 1, "buy", 2.0, 1.0),
        ("A", NOON + 3, "", 2.0, 1.0),
        ("A", NOON + 4, "buy", float("nan"), 1.0),
        ("A", NOON + 4, "buy", None, 1.0),
        ("A", NOON + 4, "buy", 1.0, 0.0),
        ("A", NOON + 4, "buy", 1.0, float("inf")),
        ("A", NOON + 10**7, "buy", 1.0, float("nan")),
        ("C", NOON, "buy", 1.0, 1.0),
    ]
    streams, refused = read_trades(trades_file(tmp_path, rows), LATER)
    assert set(streams) == {"A", "B"}
    assert streams["A"].times.tolist() == [NOON + 1, NOON + 2, NOON + 3]
    assert streams["A"].sides.tolist() == [1, -1, 0]
    assert refused == 4, "what comes after the limit is not looked at"


def test_trades_of_one_instant_have_one_order_whatever_the_files(tmp_path: Path) -> None:
    rows: list[tuple[str, int, str, float | None, float]] = [("A", NOON, "buy", price, 1.0) for price in (0.1, 0.3, 0.2, 0.7)]
    forth, back = (read_trades(trades_file(tmp_path, ordered), LATER)[0]["A"] for ordered in (rows, rows[::-1]))
    assert forth.prices.tolist() == back.prices.tolist() == [0.1, 0.2, 0.3, 0.7]


def test_rows_of_one_instant_are_one_book(tmp_path: Path) -> None:
    rows = [
        ("A", NOON + 5, "ask", 0, 11.0, 1.0),
        ("A", NOON, "bid", 1, 9.0, 2.0),
        ("A", NOON, "ask", 0, 11.0, 3.0),
        ("A", NOON, "bid", 0, 10.0, 1.0),
        ("A", NOON, "middle", 0, 10.0, 1.0),
        ("A", NOON, "bid", 2, -1.0, 1.0),
    ]
    frame = pl.DataFrame(rows, schema=["event_id", "timestamp_ms", "side", "level", "price", "amount"], orient="row")
    frame.write_parquet(tmp_path / "books.parquet")
    streams, refused = read_books(tmp_path / "books.parquet", LATER)
    times, books = streams["A"]
    assert refused == 2
    assert times.tolist() == [NOON, NOON + 5]
    assert books.bid_levels.tolist() == [2, 0]
    assert books.ask_levels.tolist() == [1, 1]
    assert books.bid_prices[0, :2].tolist() == [10, 9]
    assert books.bid_quantities[0, :2].tolist() == [1, 2]
    assert books.ask_quantities[:, 0].tolist() == [3, 1]
