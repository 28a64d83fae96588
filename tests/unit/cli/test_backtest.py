"""`pnd backtest`: the JSON that programs read, the table that people read, and one line for what does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from pnd_dagster.backtest import pools
from pnd_dagster.cli.backtest import backtest
from pnd_dagster.errors import SettingError, SourceError
from pnd_dagster.simulator.pump_history import write_pump_history

COLUMNS = {
    *("offset_seconds", "rule", "source", "n", "pool_size", "active_coins", "top1", "top3", "top5", "top10"),
    *("mrr", "mean_percentile", "top5_low", "top5_high"),
}
Files = tuple[Path, Path, Path]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return write_pump_history(tmp_path_factory.mktemp("pumps"), events=3, strength=1.0)


@pytest.fixture(autouse=True)
def few_decoys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "DECOYS_PER_EVENT", 4)


def test_json_has_one_result_per_source_offset_and_rule_and_every_event(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    trades, books, events = files
    backtest(trades, events, books, sources="trades,books", offsets="20,300", pool=8, draws=2, as_json=True)
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"results", "events"}
    keys = [(row["source"], row["offset_seconds"], row["rule"]) for row in answer["results"]]
    assert len(set(keys)) == len(keys)
    assert {(source, offset) for source, offset, _ in keys} == {(source, offset) for source in ("trades", "books") for offset in (20, 300)}
    assert {"default", "paper_before", "paper_after", "best_metric", "volume", "chance"} <= {rule for *_, rule in keys}
    for row in answer["results"]:
        assert set(row) == COLUMNS
        assert row["n"] == 3
        assert row["pool_size"] == 9
    of_one = [row for row in answer["events"] if (row["source"], row["offset_seconds"], row["rule"]) == ("trades", 20, "default")]
    assert len({row["event_id"] for row in of_one}) == len(of_one) == 3
    assert all(1 <= row["mean_rank"] <= 9 for row in answer["events"])


def test_the_table_says_what_it_shows_and_stands_beside_the_papers(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    trades, _, events = files
    backtest(trades, events, offsets="20", pool=8, draws=1)
    shown = capsys.readouterr().out
    assert "TOP-k of 3 pumps, seconds before the announced start" in shown
    assert "Table III" in shown
    assert "Surrogate pools" in shown


@pytest.mark.parametrize("offsets", ["20,0", "-5", "soon", ""])
def test_offsets_that_are_no_seconds_before_the_start_are_refused(files: Files, offsets: str) -> None:
    with pytest.raises(SettingError, match=r"--offsets .*: expected whole seconds before the start"):
        backtest(files[0], files[2], offsets=offsets)


def test_a_file_without_a_column_is_named(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "trades.parquet"
    pl.read_parquet(files[0]).drop("price", "side").write_parquet(path)
    with pytest.raises(
        SourceError, match=r"trades.parquet: missing columns side, price \(it has event_id, timestamp_ms, amount, btc_volume\)"
    ):
        backtest(path, files[2])
