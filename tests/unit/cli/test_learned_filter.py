"""`pnd filter` on made-up files in the form of the public ones."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from pnd_dagster.candidates import clustering
from pnd_dagster.cli.learned_filter import app
from pnd_dagster.errors import SourceError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """25 coins of 40 days: candles, and tweets to June 2018 with one pump."""
    (tmp_path / "market").mkdir()
    rng = np.random.default_rng(0)
    rows = [(f"C{coin:02}", day, *rng.uniform(1, 9, 3)) for coin in range(25) for day in range(40)]
    first = datetime(2025, 3, 1, tzinfo=UTC)
    candles = [(f"{coin}/USDT/1h", first + timedelta(days=day), a, a, a, a, b) for coin, day, a, b, _ in rows]
    names = ["symbol", "timestamp", "open", "high", "low", "close", "volume"]
    pl.DataFrame(candles, names, orient="row").write_parquet(tmp_path / "market/binanceus_ohlcv_1d.parquet")
    tweets = [(coin, date(2018, 5, 22) + timedelta(days=day), a, b, c) for coin, day, a, b, c in rows]
    frame = pl.DataFrame(tweets, ["coin", "day", "tweets", "user_mentions", "sentiment_mean"], orient="row")
    frame.write_parquet(tmp_path / "market/social_twitter_daily_2017_2018.parquet")
    pl.DataFrame({"coin": ["C03"], "timestamp": ["2018-06-25 17:00:00+00:00"]}).write_csv(tmp_path / "pump_events_sapienza.csv")
    return tmp_path


@pytest.fixture(autouse=True)
def _few_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "COUNTS", range(2, 4))
    monkeypatch.setattr(clustering, "INITS", 1)


def test_clusters_are_printed_and_written(folder: Path) -> None:
    result = CliRunner().invoke(app, ["clusters", "--data", str(folder), "--output", str(folder / "out"), "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert {row["algorithm"] for row in document["scores"]} == {"DBSCAN", "K-means", "Agglomerative", "Gaussian mixture"}
    assert len(document["scores"]) == 8
    assert sum(row["marked"] for row in document["shares"]) == 4, "the one pumped coin, once per algorithm"
    assert len(list((folder / "out").glob("figure_18*.png"))) == 2
    assert "25 of 25 coins" in result.stderr


def test_too_few_pumps_are_counted_and_not_measured(folder: Path) -> None:
    trades = pl.DataFrame({"event_id": ["A_1"], "timestamp_ms": [0], "price": [1.0], "amount": [1.0], "btc_volume": [1.0]})
    trades.write_parquet(folder / "market/binance_trades_around_pumps.parquet")
    events = pl.DataFrame({"event_id": ["A_1"], "event_coin": ["A"], "event_time": ["2021-05-03T17:00:00+00:00"]})
    events.write_csv(folder / "market/binance_trades_events.csv")
    result = CliRunner().invoke(app, ["evaluate", "--data", str(folder), "--output", str(folder / "out"), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"figures": [], "kept": []}
    assert "1 pumped and 2 other samples of 3 symbols" in result.stderr
    assert "not measured: at least 20 pumped samples are needed" in result.stderr
    assert "1 pumps left out: too few trades" in result.stderr


@pytest.mark.parametrize("command", ["evaluate", "clusters"])
def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_read(folder: Path, command: str) -> None:
    taken = folder / "taken"
    taken.touch()
    result = CliRunner().invoke(app, [command, "--data", str(folder / "not there"), "--output", str(taken)])
    assert isinstance(result.exception, SourceError)
    assert f"{taken}: cannot be written" in str(result.exception)


def test_evaluation_names_the_file_that_is_missing(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["evaluate", "--data", str(tmp_path), "--output", str(tmp_path / "out")])
    assert isinstance(result.exception, SourceError)
    assert "social_twitter_daily" in str(result.exception)
