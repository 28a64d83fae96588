"""The paper's Tables XII to XV as data."""

from __future__ import annotations

import csv
import math
from collections import Counter

import pytest

from pnd_dagster.simulator.exchanges.pump_tables import PUMP_TABLES, PumpRow, load_pump_tables

ROWS = load_pump_tables().rows
# Half of the last printed digit, and a little for the source's own rounding.
ROUNDING = 0.0051


def test_every_row_is_used_or_left_out_for_a_reason() -> None:
    tables = load_pump_tables()
    assert Counter(row.table for row, _ in tables.left_out) + Counter(row.table for row in tables.rows) == {
        "XII": 50,
        "XIII": 45,
        "XIV": 79,
        "XV": 83,
    }
    assert len(tables.rows) == 239
    assert Counter(reason for _, reason in tables.left_out) == {
        "blank increase: no trades in the week before": 16,
        "no trades on the pump day": 2,
    }


def test_a_row_reads_as_printed() -> None:
    assert ROWS[0] == PumpRow("XII", "kucoin", "AIEPK", 12965.69, 566719.68, 43.71, 0.0, 0.01, 95.25, 2257.07, 2203.07, 0.98)
    assert ROWS[-1].coin == "ZKF"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.table}-{row.coin}")
def test_volume_ratio_and_printed_increase_agree_within_rounding(row: PumpRow) -> None:
    low = (row.total_volume_pump_day - ROUNDING) / (row.avg_volume_7_days + ROUNDING) - ROUNDING
    high = (row.total_volume_pump_day + ROUNDING) / (row.avg_volume_7_days - ROUNDING) + ROUNDING
    assert row.volume_increase is not None
    assert low <= row.volume_increase <= high


def test_price_increases_are_percent() -> None:
    for row in ROWS:
        if row.avg_price_7_days >= 0.05:
            low = (row.avg_price_pump_day - ROUNDING) / (row.avg_price_7_days + ROUNDING)
            high = (row.avg_price_pump_day + ROUNDING) / (row.avg_price_7_days - ROUNDING)
            assert low <= row.price_ratio <= high, row


def test_order_size_increases_agree_within_rounding_or_were_cut_short() -> None:
    with PUMP_TABLES.open(newline="") as file:
        printed = {tuple(line[:5]): line[-1] for line in list(csv.reader(file))[1:]}
    cut = 0
    for row in ROWS:
        text = printed[row.table, row.exchange, row.coin, *map(str, row[3:5])]
        low = (row.avg_order_size_pump_day - ROUNDING) / (row.avg_order_size_7_days + ROUNDING) - ROUNDING
        high = (row.avg_order_size_pump_day + ROUNDING) / (row.avg_order_size_7_days - ROUNDING) + ROUNDING
        if low <= float(text) <= high:
            assert low <= row.order_size_ratio <= high
            continue
        # What is left of it is the beginning of the number.
        scale = 10 ** len(text.partition(".")[2])
        assert math.floor(low * scale) <= round(float(text) * scale) <= math.floor(high * scale), row
        cut += 1
    assert cut == 24
