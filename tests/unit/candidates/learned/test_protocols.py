from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl

from pnd_dagster.candidates.learned.protocols import Protocol, splits
from pnd_dagster.candidates.learned.samples import QUIET_AFTER
from tests.unit.candidates.learned.made_up import START

ROWS = pl.DataFrame(
    {
        "event": [event for event in range(40) for _ in range(3)],
        "symbol": [f"C{(event * 3 + which) % 17}" for event in range(40) for which in range(3)],
        "at": [START + timedelta(days=event) for event in range(40) for _ in range(3)],
        "is_pumped": [which == 0 for _ in range(40) for which in range(3)],
    }
)


def test_random_and_by_coin_test_every_sample_once() -> None:
    for protocol in (Protocol.RANDOM, Protocol.BY_COIN):
        parts = splits(ROWS, protocol)
        assert sorted(np.concatenate([part.test for part in parts]).tolist()) == list(range(120))
        assert all(not set(part.train) & set(part.test) for part in parts)


def test_by_coin_keeps_a_coin_on_one_side_and_random_does_not() -> None:
    def shared(protocol: Protocol) -> int:
        return sum(len(set(ROWS[part.train]["symbol"]) & set(ROWS[part.test]["symbol"])) for part in splits(ROWS, protocol))

    assert shared(Protocol.BY_COIN) == 0
    assert shared(Protocol.RANDOM) > 0


def test_forward_trains_on_events_a_week_earlier_and_tests_the_later_half() -> None:
    parts = splits(ROWS, Protocol.FORWARD)
    assert len(parts) == 4
    for part in parts:
        assert min(ROWS[part.test]["at"]) - max(ROWS[part.train]["at"]) == QUIET_AFTER, "what is known of the others by then"
    assert sorted(np.concatenate([part.test for part in parts]).tolist()) == list(range(60, 120))


def test_too_few_of_a_class_give_no_split() -> None:
    few = ROWS.head(9)
    assert all(splits(few, protocol) == [] for protocol in Protocol)


def test_two_pumped_coins_are_too_few_to_keep_coins_apart() -> None:
    rows = ROWS.with_columns(symbol=pl.when("is_pumped").then(pl.format("P{}", pl.col("event") % 2)).otherwise("symbol"))
    assert [len(splits(rows, protocol)) for protocol in Protocol] == [5, 0, 0]
