"""The backtest: TOP-k of every rule and baseline by source and offset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import polars as pl

from pnd_dagster.backtest.figures import Placing, figures
from pnd_dagster.backtest.market_data import MarketData
from pnd_dagster.backtest.placings import ablations_of, by_best_metric, by_chance, by_volume, placing, rules_of
from pnd_dagster.backtest.pools import Pools, surrogate_pools, without_clock
from pnd_dagster.errors import SettingError
from pnd_dagster.ranking.rules import of_source, rule_by_name
from pnd_dagster.tables import BACKTEST_SOURCES

OFFSETS = (20, 40, 60, 300, 3600)
"""Seconds before the announced start."""


Progress = Callable[[int, int, str], None]
"""Told how many of all parts of what are done."""


class Plan(NamedTuple):
    """What is drawn and ranked.

    Attributes:
        sources: of `BACKTEST_SOURCES`.
        offsets: seconds before the start.
        pool: decoys that are ranked beside the pumped coin.
        draws: pools per event.
        seed: of everything that is drawn.
        has_ablations: whether single metrics, single horizons, and the ranking without a clock are measured too.
    """

    sources: tuple[str, ...] = ("trades",)
    offsets: tuple[int, ...] = OFFSETS
    pool: int = 50
    draws: int = 100
    seed: int = 0
    has_ablations: bool = False


class Backtest(NamedTuple):
    """What came out.

    Attributes:
        results: source, rule, offset_seconds, n, pool_size, active_coins, top1, top3, top5, top10, mrr, mean_percentile, top5_low,
            top5_high; one row per offset, rule and source.
        events: source, rule, offset_seconds, event_id, symbol, mean_rank.
        pools: what was drawn.
    """

    results: pl.DataFrame
    events: pl.DataFrame
    pools: Pools


def backtest(data: MarketData, plan: Plan, on_progress: Progress = lambda done, all_, what: None) -> Backtest:
    """Ranks every event's coin in its pools.

    Args:
        data: events with their trades and books.
        plan: what is drawn and ranked.
        on_progress: told of the progress.

    Raises:
        SettingError: the plan does not fit the data, or holds nothing to do.
        SourceError: there are too few other coins to draw from.
    """
    _check(plan, data)
    pools = surrogate_pools(
        data,
        plan.offsets,
        pool=plan.pool,
        draws=plan.draws,
        seed=plan.seed,
        on_progress=lambda done, all_: on_progress(done, all_, "windows"),
    )
    results, events = list[dict[str, Any]](), list[dict[str, Any]]()
    for source in plan.sources:
        for rule, used, found in _placings(pools, source, plan, on_progress):
            for place, offset in enumerate(plan.offsets):
                key = {"source": source, "rule": rule, "offset_seconds": offset}
                results.append(key | figures(found, place, pools.size, plan.seed))
                mean_ranks = found.rank[:, place].mean(axis=1).tolist()
                for event, mean_rank in zip(used.events, mean_ranks, strict=True):
                    events.append(key | {"event_id": event.event_id, "symbol": event.coin, "mean_rank": mean_rank})
    return Backtest(pl.DataFrame(results), pl.DataFrame(events), pools)


def _placings(pools: Pools, source: str, plan: Plan, on_progress: Progress) -> Iterator[tuple[str, Pools, Placing]]:
    """Rule by rule, baselines last, each with the pools it ranked."""
    rules = rules_of(source) + (ablations_of(source) if plan.has_ablations else [])
    for done, rule in enumerate(rules):
        on_progress(done, len(rules), f"{source}: {rule.name}")
        yield rule.name, pools, placing(pools, rule)
    if plan.has_ablations:
        timeless = without_clock(pools, plan.seed)
        yield "without_clock", timeless, placing(timeless, of_source(rule_by_name("default"), source))
    yield "best_metric", pools, by_best_metric(pools, source)
    if source != "books":
        yield "volume", pools, by_volume(pools)
    yield "chance", pools, by_chance(pools, plan.seed)
    on_progress(len(rules), len(rules), source)


def _check(plan: Plan, data: MarketData) -> None:
    if unknown := [source for source in plan.sources if source not in BACKTEST_SOURCES]:
        raise SettingError(f"--sources: {unknown[0]} is none of {', '.join(BACKTEST_SOURCES)}")
    if not data.books and plan.sources != ("trades",):
        raise SettingError(f"--sources: {', '.join(source for source in plan.sources if source != 'trades')} needs --books")
    if not plan.offsets or min(plan.offsets) <= 0:
        raise SettingError("--offsets: expected seconds before the start, each above 0, such as 20,40,60")


def sources_of(data: MarketData) -> Sequence[str]:
    """What can be ranked: trades, and with books those and both."""
    return BACKTEST_SOURCES if data.books else ("trades",)
