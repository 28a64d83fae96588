"""Made-up pumps: the signal that is declared is there, and nothing else differs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from pnd_dagster.simulator.pump_history import SIGNAL_MS, make_coin, write_pump_history

AT = 1_704_906_000_000


def last_hour(seed: int, strength: float) -> tuple[int, float, float]:
    """Trades, share of purchases, and the size of the last book's bids in those of its asks."""
    trades, books = make_coin(seed, AT, hours_before=6, strength=strength)
    is_late = trades.times > AT - SIGNAL_MS
    return int(is_late.sum()), float((trades.sides[is_late] > 0).mean()), float(books.bid_amounts[-1].sum() / books.ask_amounts[-1].sum())


def test_the_same_arguments_write_the_same_files(tmp_path: Path) -> None:
    first = write_pump_history(tmp_path / "a", events=2, strength=0.5, hours_before=3)
    again = write_pump_history(tmp_path / "b", events=2, strength=0.5, hours_before=3)
    other = write_pump_history(tmp_path / "c", events=2, strength=0.5, hours_before=3, seed=1)
    for one, same, different in zip(first[:2], again[:2], other[:2], strict=True):
        assert pl.read_parquet(one).equals(pl.read_parquet(same))
        assert not pl.read_parquet(one).equals(pl.read_parquet(different))


def test_files_have_the_columns_and_units_of_real_ones(tmp_path: Path) -> None:
    trades, books, events = write_pump_history(tmp_path, events=2, strength=0.5, hours_before=3)
    rows = pl.read_parquet(trades)
    assert rows.columns == ["event_id", "timestamp_ms", "side", "price", "amount", "btc_volume"]
    assert set(rows["side"]) == {"buy", "sell"}
    assert np.allclose(rows["price"] * rows["amount"], rows["btc_volume"])
    assert (rows["price"] > 0).all()
    levels = pl.read_parquet(books)
    best = levels.filter(pl.col("level") == 0).pivot(on="side", index=["event_id", "timestamp_ms"], values="price")
    assert (best["bid"] < best["ask"]).all()
    assert pl.read_csv(events)["event_id"].n_unique() == 2


def test_the_signal_grows_with_its_strength_and_is_confined_to_the_last_hour() -> None:
    none, weak, strong = (np.array([last_hour(seed, strength) for seed in range(12)]).mean(axis=0) for strength in (0.0, 0.3, 1.0))
    assert (none < weak).all()
    assert (weak < strong).all()
    assert strong[0] > 2 * none[0]
    quiet, loud = (make_coin(3, AT, hours_before=6, strength=strength).trades for strength in (0.0, 1.0))
    before, also_before = (trades.times[trades.times < AT - SIGNAL_MS] for trades in (quiet, loud))
    assert np.array_equal(before, also_before)


def test_a_pump_follows_where_one_is_asked_for() -> None:
    trades = make_coin(1, AT, hours_before=3, is_pumped=True).trades
    assert (trades.times > AT).sum() > 100
    assert not (make_coin(1, AT, hours_before=3).trades.times > AT).any()
