"""What a simulated exchange sent, so that what arrived can be held against it.

Rows are packed into fixed records and written out to unnamed temporary files, so that memory stays flat however long it runs.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pnd_dagster.simulator.exchanges.market import Market, Trade

_ROWS = 16_384
_BOOK = np.dtype(
    [
        ("connection", "<i4"),
        ("market", "<u4"),
        ("sequence", "<i8"),
        ("sent_at", "<f8"),
        ("mid_price", "<f8"),
        ("bid_quantity", "<f8"),
        ("ask_quantity", "<f8"),
        ("bid_levels", "<u2"),
        ("ask_levels", "<u2"),
        ("hash", "<i8"),
    ]
)
_TRADE = np.dtype(
    [
        ("connection", "<i4"),
        ("market", "<u4"),
        ("trade_id", "<i8"),
        ("sent_at", "<f8"),
        ("price", "<f8"),
        ("quantity", "<f8"),
        ("is_buy", "?"),
    ]
)
_FAULTS = pl.Schema(
    {
        "kind": pl.String,
        "connection": pl.Int32,
        "exchange": pl.String,
        "bases": pl.List(pl.String),
        "at": pl.Float64,
        "detail": pl.String,
    }
)


class _Records:
    """Fixed-size records: the newest in memory, the rest in a file that nobody else sees and that goes with the process."""

    def __init__(self, record: str, dtype: np.dtype[Any]) -> None:
        self._struct = struct.Struct(record)
        assert self._struct.size == dtype.itemsize  # noqa: S101
        self._dtype = dtype
        self._buffer = bytearray(_ROWS * dtype.itemsize)
        self._offset = 0
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        self.pack_into = self._struct.pack_into

    def add(self, *values: float) -> None:
        self.pack_into(self._buffer, self._offset, *values)
        self._offset += self._struct.size
        if self._offset == len(self._buffer):
            self._file.write(self._buffer)
            self._offset = 0

    def __len__(self) -> int:
        return (self._file.tell() + self._offset) // self._struct.size

    def columns(self) -> dict[str, np.ndarray[Any, Any]]:
        """The records by column; only the columns are in memory, not the file."""
        newest = np.frombuffer(self._buffer[: self._offset], self._dtype)
        written = np.memmap(self._file, self._dtype, mode="r") if self._file.tell() else newest[:0]
        return {name: np.concatenate((written[name], newest[name])) for name in self._dtype.names or ()}


class Ledger:
    """An append-only record of books, trades and faults. Times are Unix seconds at which bytes were handed to a connection.

    A connection is a number that the server gives; -1 stands for none in particular. A market is known by its exchange and base.
    """

    def __init__(self) -> None:
        self._books = _Records("<iIqddddHHq", _BOOK)
        self._trades = _Records("<iIqddd?", _TRADE)
        self._faults: list[tuple[str, int, str, list[str], float, str]] = []
        self._names: dict[int, tuple[str, str]] = {}

    def book(self, market: Market, at: float, *, connection: int = -1, depth: int = 20) -> None:
        """The market's present book was sent with up to `depth` levels a side."""
        index = market.index
        if index not in self._names:
            self._names[index] = market.exchange, market.base
        self._books.add(connection, index, market.sequence, at, *market.summary(depth))

    def trade(self, market: Market, trade: Trade, at: float, *, connection: int = -1) -> None:
        """A trade was sent."""
        index = market.index
        if index not in self._names:
            self._names[index] = market.exchange, market.base
        self._trades.add(connection, index, trade.trade_id, at, float(trade.price), float(trade.quantity), trade.side == "buy")

    def fault(self, kind: str, at: float, *, exchange: str, bases: Sequence[str] = (), connection: int = -1, detail: str = "") -> None:
        """A fault was done: its kind, and what it touched; no bases means all of the exchange's or the connection's."""
        self._faults.append((kind, connection, exchange, list(bases), at, detail))

    def __len__(self) -> int:
        """Books and trades so far."""
        return len(self._books) + len(self._trades)

    def books(self) -> pl.DataFrame:
        """All books: exchange, base, connection, sequence, sent_at, mid_price, bid_quantity, ask_quantity, bid_levels, ask_levels, hash."""
        return self._frame(self._books)

    def trades(self) -> pl.DataFrame:
        """All trades: exchange, base, connection, trade_id, sent_at, price, quantity, side ("buy", "sell")."""
        side = pl.when("is_buy").then(pl.lit("buy")).otherwise(pl.lit("sell")).alias("side")
        return self._frame(self._trades).with_columns(side).drop("is_buy")

    def faults(self) -> pl.DataFrame:
        """All faults: kind, connection, exchange, bases, at, detail."""
        return pl.DataFrame(self._faults, schema=_FAULTS, orient="row")

    def write(self, folder: Path) -> None:
        """Writes `books.parquet`, `trades.parquet` and `faults.parquet` into the folder, which is made if it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        self.books().write_parquet(folder / "books.parquet")
        self.trades().write_parquet(folder / "trades.parquet")
        self.faults().write_parquet(folder / "faults.parquet")

    def _frame(self, records: _Records) -> pl.DataFrame:
        names = pl.DataFrame(
            [(index, exchange, base) for index, (exchange, base) in self._names.items()],
            schema={"market": pl.UInt32, "exchange": pl.Categorical, "base": pl.Categorical},
            orient="row",
        )
        frame = pl.DataFrame(records.columns()).join(names, on="market", how="left", maintain_order="left").drop("market")
        return frame.select("exchange", "base", pl.exclude("exchange", "base"))
