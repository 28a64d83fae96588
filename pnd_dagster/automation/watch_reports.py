"""What a watch's run tells Dagster of the tables it wrote: how it went, how fast its ticks were, who stood in front and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import polars as pl
import sqlalchemy as sa

from pnd_dagster.resources import table_metadata
from pnd_dagster.services.watch_orders import Order
from pnd_dagster.services.watch_results import lags, results
from pnd_dagster.services.watch_rows import WatchEnd

if TYPE_CHECKING:
    from pnd_dagster.services.watch_market import RankedTick

WATCHES = dg.AssetKey(["out", "watches"])
TICKS = dg.AssetKey(["out", "ranking_ticks"])
RANKINGS = dg.AssetKey(["out", "target_rankings"])
LEADERS = 10


def materialisations(
    engine: sa.Engine, order: Order, ended: WatchEnd, last_ticks: Mapping[str, RankedTick]
) -> Iterator[dg.AssetMaterialization]:
    """Of out/watches always, of out/ranking_ticks and out/target_rankings if this run ranked.

    Args:
        engine: the database.
        order: what was watched.
        ended: how it ended; one that another process watches is not ours to tell of.
        last_ticks: the last ranking of each exchange before the announced start, or its first.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """
    if ended.state is None:
        return
    facts = {"watch_id": order.watch_id, "exchanges": ", ".join(order.exchanges), "announced_start": order.scheduled_at.isoformat(" ")}
    told = {
        "state": ended.state,
        "detail": ended.detail,
        "ticks": ended.tick_count,
        "ranks_before_release": results(engine, order.watch_id),
    }
    yield dg.AssetMaterialization(asset_key=WATCHES, metadata={**facts, **told})
    if not last_ticks:
        return
    seconds = lags(engine, order.watch_id)["lag_seconds"]
    quantiles = {f"lag_{name}_seconds": seconds.quantile(share, "nearest") for name, share in (("p50", 0.5), ("p95", 0.95))}
    yield dg.AssetMaterialization(asset_key=TICKS, metadata={**facts, "ticks": ended.tick_count, **quantiles})
    ranked: dict[str, int | float | str | dg.MetadataValue] = {
        "candidates": sum(len(tick.symbols) for tick in last_ticks.values()),
        "candidates_with_history": sum(int(tick.ranking.is_active.sum()) for tick in last_ticks.values()),
        "score_rule": ", ".join({tick.rule.name for tick in last_ticks.values()}),
    }
    for exchange, tick in last_ticks.items():
        ranked[f"{exchange}_leaders"] = table_metadata.preview(leaders(tick), LEADERS)
        ranked[f"{exchange}_lead_seconds"] = tick.lead_seconds
    yield dg.AssetMaterialization(asset_key=RANKINGS, metadata={**facts, **ranked})


def leaders(tick: RankedTick, count: int = LEADERS) -> pl.DataFrame:
    """The first of a ranking: rank, symbol, score, why."""
    from pnd_dagster.ranking.explanation import explain, in_words

    places = np.argsort(tick.ranking.rank, kind="stable")[:count].tolist()
    return pl.DataFrame(
        {
            "rank": [float(tick.ranking.rank[place]) for place in places],
            "symbol": [tick.symbols[place] for place in places],
            "score": [round(float(tick.ranking.score[place]), 2) for place in places],
            "why": [in_words(explain(tick.ranking.z[place], tick.rule)) for place in places],
        }
    )
