"""Tables XII to XV of the paper (arXiv 2412.18848): what 257 pumps did to a coin's volume, price and order size on KuCoin and Poloniex.

In the tables the "increases" of volume and order size are ratios, that of the price is percent. Volumes are in USDT (section V-A1), order
sizes in base units. Prices are printed with two decimals, so that many read 0.0. In the source some order size ratios are cut short ("1.").
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

PUMP_TABLES = Path(__file__).with_name("pump_tables.csv")


class PumpRow(NamedTuple):
    """A row as printed; None where the cell is blank. The ratios to work with are the properties.

    Attributes:
        table: "XII" to "XV".
        exchange: "kucoin" or "poloniex".
        coin: the symbol.
        avg_volume_7_days: mean daily volume of the week before, USDT.
        total_volume_pump_day: USDT.
        volume_increase: ratio, as printed.
        avg_price_7_days, avg_price_pump_day: USDT per base unit, to two decimals.
        price_increase_percent: percent.
        avg_order_size_7_days, avg_order_size_pump_day: base units.
        order_size_increase: ratio, as printed, sometimes cut short.
    """

    table: str
    exchange: str
    coin: str
    avg_volume_7_days: float
    total_volume_pump_day: float
    volume_increase: float | None
    avg_price_7_days: float
    avg_price_pump_day: float
    price_increase_percent: float | None
    avg_order_size_7_days: float
    avg_order_size_pump_day: float
    order_size_increase: float | None

    @property
    def volume_ratio(self) -> float:
        """Volume of the pump day over the week's daily mean, from the two numbers."""
        return self.total_volume_pump_day / self.avg_volume_7_days

    @property
    def price_ratio(self) -> float:
        """Mean price of the pump day over the week's, from the percentage: the prices themselves are too coarse."""
        return 1 + (self.price_increase_percent or 0.0) / 100

    @property
    def order_size_ratio(self) -> float:
        """Mean order size of the pump day over the week's, from the two numbers."""
        return self.avg_order_size_pump_day / self.avg_order_size_7_days

    @property
    def order_value_7_days(self) -> float:
        """Mean value of an order of the week before, USDT. Where both printed prices are 0.0 it is not known: 10, or three orders a day."""
        price = self.avg_price_7_days or self.avg_price_pump_day / self.price_ratio
        return self.avg_order_size_7_days * price or min(10.0, self.avg_volume_7_days / 3)


class PumpTables(NamedTuple):
    """The rows that a pump can be made of, and those that were left out, each with the reason."""

    rows: tuple[PumpRow, ...]
    left_out: tuple[tuple[PumpRow, str], ...]


def load_pump_tables() -> PumpTables:
    """All rows of the four tables, in their order."""
    rows: list[PumpRow] = []
    left_out: list[tuple[PumpRow, str]] = []
    with PUMP_TABLES.open(newline="") as file:
        for cells in list(csv.reader(file))[1:]:
            row = PumpRow(*cells[:3], *(float(cell) if cell else None for cell in cells[3:]))  # pyright: ignore[reportArgumentType]
            reason = _why_not(row)
            if reason is None:
                rows.append(row)
            else:
                left_out.append((row, reason))
    return PumpTables(tuple(rows), tuple(left_out))


def _why_not(row: PumpRow) -> str | None:
    if None in (row.volume_increase, row.price_increase_percent, row.order_size_increase):
        return "blank increase: no trades in the week before"
    if not row.avg_volume_7_days or not row.avg_order_size_7_days:
        return "zero baseline"
    return None if row.total_volume_pump_day else "no trades on the pump day"
