"""Windows that are renewed bucket by bucket against the same windows computed whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from pnd_dagster.market.moments import Moments, merge, moments
from pnd_dagster.market.windows import HORIZONS, METRICS, STATES, Grid, bucket_count, last_buckets, window_values
from pnd_dagster.ranking.latest import LatestWindows, nothing
from pnd_dagster.ranking.sliding import LONGEST
from tests.unit.ranking.random_grid import part, random_grid

NOON = datetime(2026, 5, 3, 12, tzinfo=UTC)
BUCKET = timedelta(seconds=5)


def made(grid: Grid, first: int, end_at: datetime, states: tuple[str, ...] = STATES) -> LatestWindows:
    """Windows filled with the hour that begins with bucket `first` of the grid."""
    count = len(grid.last_vwaps)
    windows = LatestWindows(np.arange(count), states, end_at)
    hour = last_buckets(part_with_before(grid, first + LONGEST), LONGEST)
    windows.fill(np.arange(count), hour, with_history=True)
    return windows


def part_with_before(grid: Grid, end: int) -> Grid:
    return Grid({name: values[:, :end] for name, values in grid.buckets.items()}, grid.last_vwaps)


def expected(grid: Grid, end: int) -> np.ndarray:
    """[instruments, METRICS, HORIZONS] of the windows that end with bucket `end`, each from its own buckets."""
    upto = part_with_before(grid, end)
    sizes = [bucket_count(horizon) for horizon in HORIZONS]
    return np.stack([window_values(last_buckets(upto, size), size)[:, :, 0].T for size in sizes], axis=-1)


def same(found: np.ndarray, wanted: np.ndarray, rel: float = 1e-9) -> None:
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    np.testing.assert_allclose(found, wanted, rtol=rel, atol=1e-9)


def test_values_are_those_of_windows_computed_whole_however_many_updates_ago_they_were_filled() -> None:
    grid = random_grid(12, 2400)
    windows = made(grid, 0, NOON)
    same(windows.values, expected(grid, LONGEST))
    for start in range(LONGEST, 2400, 48):
        end = min(start + 48 + start // 48 % 5, 2400)
        taken = LONGEST + (windows.bucket_end_at - NOON) // BUCKET
        windows.update(part(grid, taken, end))
        same(windows.values, expected(grid, end))
    assert windows.bucket_end_at == NOON + (2400 - LONGEST) * BUCKET


def test_nothing_is_left_of_a_huge_trade_when_it_has_gone() -> None:
    grid = random_grid(1, 2 * LONGEST, blind_share=0)
    for name in ("volume", "quote_volume", "taker_buy_volume", "taker_sell_volume"):
        grid.buckets[name][:] = 0.1 + 0.2
        grid.buckets[name][0, LONGEST - 1] = 1e15
    grid.buckets["trade_count"][:] = 1
    windows = made(grid, 0, NOON)
    windows.update(part(grid, LONGEST, 2 * LONGEST))
    volume = windows.values[0, METRICS.index("volume")]
    assert volume == pytest.approx([bucket_count(horizon) * (0.1 + 0.2) for horizon in HORIZONS], rel=1e-12)


@pytest.mark.parametrize("passed", [0, 3, 4, 60, 61, 400, 719])
def test_history_is_the_windows_that_lie_end_to_end_since_the_hour_and_have_ended_by_the_latest_ones_start(passed: int) -> None:
    grid = random_grid(6, 2 * LONGEST + 200, seed=passed)
    hour = LONGEST  # the full hour ends with this bucket
    windows = made(grid, passed, NOON + passed * BUCKET)
    earlier = last_hour = nothing((6, len(METRICS), len(HORIZONS)))
    windows.add_history(earlier, last_hour)
    for end in range(hour + passed, 2 * LONGEST + 200, 59):
        if end > hour + passed:
            windows.update(part(grid, end - 59, end))
        same_history(windows.history, history_of(grid, hour, end))


def history_of(grid: Grid, first: int, end: int) -> list[Moments]:
    """Moments [METRICS, instruments] per horizon."""
    found: list[Moments] = []
    for horizon in HORIZONS:
        size = bucket_count(horizon)
        count = max((end - size - first) // size, 0)
        if count == 0:
            found.append(nothing((len(METRICS), len(grid.last_vwaps))))
            continue
        upto = part_with_before(grid, first + count * size)
        found.append(moments(window_values(last_buckets(upto, count * size), size)))
    return found


def same_history(found: Moments, wanted: list[Moments]) -> None:
    for place in range(len(HORIZONS)):
        n, mean, m2 = (array[:, :, place].T for array in found)
        np.testing.assert_array_equal(n, wanted[place].n)
        same(mean, wanted[place].mean)
        same(m2, wanted[place].m2, rel=1e-6)


def test_the_last_hours_rollup_joins_a_horizon_when_its_latest_window_has_left_that_hour() -> None:
    grid = random_grid(3, 2 * LONGEST, blind_share=0)
    shape = (3, len(METRICS), len(HORIZONS))
    rng = np.random.default_rng(0)
    earlier, last_hour = (Moments(np.full(shape, n), rng.normal(size=shape), rng.random(shape)) for n in (700, 10))
    windows = made(grid, 12, NOON + timedelta(seconds=60))
    windows.add_history(earlier, last_hour)
    both = merge(Moments(*(np.stack((one, other)) for one, other in zip(earlier, last_hour, strict=True))))  # pyright: ignore[reportArgumentType]

    pressure = METRICS.index("order_book_pressure")
    n = windows.history.n[0, pressure]
    # 60 s after the hour: two windows of 20 s and none of 60 s have ended by the start of the latest.
    assert n.tolist() == [712, 710, 700, 700, 700]
    assert windows.history.mean[:, pressure, 1] == pytest.approx(both.mean[:, pressure, 1])
    assert windows.history.mean[:, pressure, 2] == pytest.approx(earlier.mean[:, pressure, 2])
    windows.update(part(grid, 12 + LONGEST, 60 + LONGEST))
    # 300 s after it the latest window of 300 s begins with the hour.
    assert windows.history.n[0, pressure, 2:].tolist() == [710, 700, 700]
    assert windows.history.mean[:, pressure, 2] == pytest.approx(both.mean[:, pressure, 2])


def test_states_that_no_rule_counts_stay_unknown_and_the_others_are_the_same() -> None:
    grid = random_grid(4, LONGEST + 50)
    all_states, one = made(grid, 0, NOON), made(grid, 0, NOON, ("relative_spread",))
    for windows in (all_states, one):
        windows.update(part(grid, LONGEST, LONGEST + 50))
    is_left_out = np.isin(METRICS, [name for name in STATES if name != "relative_spread"])
    same(one.values[:, ~is_left_out], all_states.values[:, ~is_left_out])
    assert np.isnan(one.values[:, is_left_out]).all()
    assert not one.history.n[:, is_left_out].any()


def test_an_hour_that_is_filled_in_again_replaces_only_its_instruments() -> None:
    grid, other = random_grid(5, LONGEST + 30), random_grid(5, LONGEST + 30, seed=9)
    windows = made(grid, 0, NOON)
    windows.update(part(grid, LONGEST, LONGEST + 10))
    some = np.array([1, 3])
    corrected = last_buckets(part_with_before(other, LONGEST + 10), LONGEST)
    own = Grid({name: values[some] for name, values in corrected.buckets.items()}, corrected.last_vwaps[some])
    before = windows.history
    windows.fill(some, own, with_history=False)
    for whole, now in zip(before, windows.history, strict=True):
        np.testing.assert_array_equal(whole, now)
    windows.update(
        Grid(
            {
                name: np.where(np.isin(np.arange(5), some)[:, None], other.buckets[name], grid.buckets[name])[:, LONGEST + 10 :]
                for name in grid.buckets
            },
            grid.last_vwaps,
        )
    )
    wanted = expected(grid, LONGEST + 30)
    wanted[some] = expected(other, LONGEST + 30)[some]
    same(windows.values, wanted)
