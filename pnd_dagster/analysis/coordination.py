"""How channels hang together: who copies and forwards whom, who pumps with whom and who is first, against what chance would give."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pnd_dagster.analysis.near_duplicates import wordings
from pnd_dagster.events.clusters import SAME_EVENT

COPY_WINDOW = timedelta(days=1)
"""A channel that posts a wording so long after another one's first may have copied it."""
CONTROL_WINDOWS = 28
"""Chance is read off the days after: wordings that two channels share, but 1 to 29 days apart."""
COMMON_SHARE, COMMON_CHANNELS = 0.1, 3
"""A wording of more than a tenth of the channels, and of more than three, is common and no copy."""
FALSE_DISCOVERIES = 0.01
LEAST_OCCASIONS = {"copy": 3, "forward": 2, "shared event": 2}
"""Fewer occasions never make a link."""
_SEED = 0

LINK_COLUMNS = {
    "from_channel_id": pl.Int64,
    "to_channel_id": pl.Int64,
    "kind": pl.String,
    "count": pl.Int64,
    "first_count": pl.Int64,
    "rarity": pl.Float64,
    "expected_count": pl.Float64,
    "p_value": pl.Float64,
    "is_linked": pl.Boolean,
    "median_lag_seconds": pl.Float64,
    "first_at": pl.Datetime("us", "UTC"),
    "last_at": pl.Datetime("us", "UTC"),
}
"""Columns of out.channel_links but the time of computing."""


def first_uses(messages: pl.DataFrame) -> pl.DataFrame:
    """When each channel used each rare wording first: wording, channel_id, at, channels (that used it), rarity (nats).

    Args:
        messages: channel_id, text, occurred_at of the channels' own messages, without forwards.
    """
    channels = messages["channel_id"].n_unique()
    uses = (
        messages.select("channel_id", "occurred_at", wording=wordings(messages["text"]))
        .drop_nulls("wording")
        .group_by("wording", "channel_id")
        .agg(at=pl.col("occurred_at").min())
        .with_columns(channels=pl.len().over("wording").cast(pl.Int64))
    )
    rare = uses.filter(pl.col("channels") <= max(COMMON_CHANNELS, COMMON_SHARE * channels))
    return rare.with_columns(rarity=(channels / pl.col("channels")).log()).sort("wording", "at", "channel_id")


def copy_links(uses: pl.DataFrame) -> pl.DataFrame:
    """Pairs of channels that share wordings within a day, columns of `LINK_COLUMNS`; pairs with a single one are left out.

    Chance: two channels that both take texts from elsewhere share wordings at any distance. How many of theirs lie 1 to 29 days apart, a
    28th of it, is what chance would put within the day (with half a wording added, so that none is no proof). By chance one shared wording
    in 29 lies within the day, so the p-value is binomial, given how many lie within 29 days.

    Args:
        uses: of `first_uses`.
    """
    shared = uses.filter(pl.col("channels") > 1).select("wording", "channel_id", "at", "rarity")
    pairs = _pairs(shared, shared.drop("rarity"), "wording")
    apart = pl.col("lag").abs()
    near = pairs.filter(apart <= COPY_WINDOW)
    far = pairs.filter(apart > COPY_WINDOW, apart <= COPY_WINDOW * (CONTROL_WINDOWS + 1))
    control = far.group_by(low="a", high="b").agg(apart=pl.len().cast(pl.Int64))
    found = _directed(near, "copy").join(control, on=["low", "high"], how="left").with_columns(pl.col("apart").fill_null(0))
    from scipy.stats import binom

    count = found["count"].to_numpy()
    chance: NDArray[np.float64] = binom.sf(count - 1, count + found["apart"].to_numpy(), 1 / (1 + CONTROL_WINDOWS))
    expected = found.with_columns(expected_count=(pl.col("apart") + 0.5) / CONTROL_WINDOWS)
    return _tested(expected.with_columns(p_value=pl.Series(chance, dtype=pl.Float64)), uses["channel_id"].n_unique())


def shared_event_links(releases: pl.DataFrame) -> pl.DataFrame:
    """Pairs of channels that released the same events, columns of `LINK_COLUMNS`; pairs with a single one are left out.

    Chance: each time both release anything within two hours of each other they might name one coin by accident, as likely as two events
    drawn at random are of one coin. That they are awake at the same hour is granted to chance, though they may have arranged it.

    Args:
        releases: channel_id, event_id, symbol, released_at.
    """
    first = releases.group_by("channel_id", "event_id").agg(pl.col("symbol").first(), at=pl.col("released_at").min())
    pairs = _pairs(first, first.drop("symbol"), "event_id")
    found = _directed(pairs.with_columns(rarity=pl.lit(None, pl.Float64)), "shared event")
    sizes = first.unique("event_id")["symbol"].value_counts().sort("symbol")["count"].to_numpy().astype(np.float64)
    same_coin = float(((sizes / sizes.sum()) ** 2).sum()) if len(sizes) else 0.0
    found = found.join(_chances(first), on=["low", "high"], how="left").with_columns(
        pl.max_horizontal(pl.col("chances").fill_null(0), "count").alias("chances")
    )
    from scipy.stats import binom

    chance: NDArray[np.float64] = binom.sf(found["count"].to_numpy() - 1, found["chances"].to_numpy(), same_coin)
    return _tested(
        found.with_columns(p_value=pl.Series(chance, dtype=pl.Float64), expected_count=pl.col("chances") * same_coin),
        first["channel_id"].n_unique(),
    )


def forward_links(forwards: pl.DataFrame) -> pl.DataFrame:
    """Who forwards whom, columns of `LINK_COLUMNS`: a forward names its source, so nothing is left to chance but a single one is no habit.

    Args:
        forwards: from_channel_id (the source), to_channel_id, at, source_at (NULL where the source's message is not known).
    """
    lag = (pl.col("at") - pl.col("source_at")).dt.total_microseconds() / 1e6
    links = (
        forwards.filter(pl.col("from_channel_id") != pl.col("to_channel_id"))
        .group_by("from_channel_id", "to_channel_id")
        .agg(count=pl.len(), first_count=pl.len(), median_lag_seconds=lag.median(), first_at=pl.col("at").min(), last_at=pl.col("at").max())
        .with_columns(kind=pl.lit("forward"), is_linked=pl.col("count") >= LEAST_OCCASIONS["forward"])
    )
    return _as_links(links)


def organiser_groups(links: pl.DataFrame) -> pl.DataFrame:
    """Channels that pump together: channel_id, group_id (the smallest id of the group), group_size.

    Communities of the graph whose edges are the links by shared events, weighted by how many (Louvain, a fixed seed).

    Args:
        links: of `shared_event_links`.
    """
    import networkx as nx

    edges = links.filter(pl.col("is_linked") & (pl.col("kind") == "shared event")).sort("from_channel_id", "to_channel_id")
    graph: Any = nx.Graph()
    graph.add_weighted_edges_from(edges.select("from_channel_id", "to_channel_id", "count").iter_rows())
    groups: list[set[int]] = nx.community.louvain_communities(graph, weight="weight", seed=_SEED) if graph.number_of_edges() else []
    rows = [(channel, min(group), len(group)) for group in groups for channel in group]
    return pl.DataFrame(rows, schema={"channel_id": pl.Int64, "group_id": pl.Int64, "group_size": pl.Int64}, orient="row").sort(
        "channel_id"
    )


def release_order(releases: pl.DataFrame) -> pl.DataFrame:
    """Who releases first: channel_id, event_count, shared_event_count, first_release_count (alone first), median_lag_seconds.

    Args:
        releases: channel_id, event_id, released_at.
    """
    first = releases.group_by("channel_id", "event_id").agg(at=pl.col("released_at").min())
    at, least = pl.col("at"), pl.col("at").min().over("event_id")
    ranked = first.with_columns(
        is_shared=pl.len().over("event_id") > 1,
        lag=(at - least).dt.total_microseconds() / 1e6,
        is_first=(at == least) & ((at == least).sum().over("event_id") == 1),
    )
    return (
        ranked.group_by("channel_id")
        .agg(
            event_count=pl.len(),
            shared_event_count=pl.col("is_shared").sum(),
            first_release_count=(pl.col("is_shared") & pl.col("is_first")).sum(),
            median_lag_seconds=pl.col("lag").filter("is_shared").median(),
        )
        .sort("channel_id")
    )


def _pairs(ones: pl.DataFrame, others: pl.DataFrame, on: str) -> pl.DataFrame:
    """Channels a < b that both have `on`, with their times `at` and `at_other`, and the lag from a's to b's."""
    both = ones.join(others, on=on, suffix="_other").filter(pl.col("channel_id") < pl.col("channel_id_other"))
    return both.rename({"channel_id": "a", "channel_id_other": "b"}).with_columns(lag=pl.col("at_other") - pl.col("at"))


def _directed(pairs: pl.DataFrame, kind: str) -> pl.DataFrame:
    """One row per pair, from the channel that was first more often, on a tie from the smaller id."""
    zero = timedelta(0)
    lag = pl.col("lag").dt.total_microseconds() / 1e6
    counts = (
        pairs.group_by("a", "b")
        .agg(
            count=pl.len().cast(pl.Int64),
            a_first=(pl.col("lag") > zero).sum().cast(pl.Int64),
            b_first=(pl.col("lag") < zero).sum().cast(pl.Int64),
            rarity=pl.col("rarity").sum().round(6),  # sums depend on the order of adding
            median=lag.median(),
            first_at=pl.min_horizontal("at", "at_other").min(),
            last_at=pl.max_horizontal("at", "at_other").max(),
        )
        .sort("a", "b")
    )
    is_a = pl.col("a_first") >= pl.col("b_first")
    return counts.with_columns(
        low="a",
        high="b",
        kind=pl.lit(kind),
        from_channel_id=pl.when(is_a).then("a").otherwise("b"),
        to_channel_id=pl.when(is_a).then("b").otherwise("a"),
        first_count=pl.max_horizontal("a_first", "b_first"),
        median_lag_seconds=pl.when(is_a).then("median").otherwise(0.0 - pl.col("median")),
        rarity=pl.when(pl.lit(kind == "copy")).then("rarity"),
    )


def _chances(first: pl.DataFrame) -> pl.DataFrame:
    """How often two channels released anything within two hours of each other: low, high, chances."""
    rows = first.sort("at")
    at, window = rows["at"].dt.epoch("us").to_numpy(), SAME_EVENT // timedelta(microseconds=1)
    channels, place = np.unique(rows["channel_id"].to_numpy(), return_inverse=True)
    parts: list[pl.DataFrame] = []
    # Channel by channel: all pairs of releases at once would be millions where many channels tell everything.
    for number, channel in enumerate(channels):
        own = at[place == number]
        near = np.searchsorted(own, at + window, side="right") - np.searchsorted(own, at - window, side="left")
        chances = np.bincount(place, weights=near, minlength=len(channels))[number + 1 :].astype(np.int64)
        parts.append(pl.DataFrame({"low": np.full(len(chances), channel), "high": channels[number + 1 :], "chances": chances}))
    none = pl.DataFrame(schema={"low": pl.Int64, "high": pl.Int64, "chances": pl.Int64})
    return pl.concat([none, *parts]).filter(pl.col("chances") > 0)


def _tested(links: pl.DataFrame, channels: int) -> pl.DataFrame:
    """Marks the links that chance does not explain, then drops those of one occasion.

    Benjamini and Hochberg over every pair of so many channels: those that share nothing were looked at too.
    """
    ordered = links.sort("p_value")
    n = channels * (channels - 1) // 2
    passes = (ordered["p_value"] <= FALSE_DISCOVERIES * pl.int_range(1, ordered.height + 1, eager=True) / max(n, 1)).to_list()
    last = max((place for place, passed in enumerate(passes) if passed), default=-1)
    least = pl.col("kind").replace_strict(LEAST_OCCASIONS, return_dtype=pl.Int64)
    marked = ordered.with_columns(is_linked=(pl.int_range(pl.len()) <= last) & (pl.col("count") >= least))
    return _as_links(marked.filter(pl.col("count") > 1))


def _as_links(links: pl.DataFrame) -> pl.DataFrame:
    columns = [(pl.col(name) if name in links.columns else pl.lit(None)).cast(dtype).alias(name) for name, dtype in LINK_COLUMNS.items()]
    return links.select(columns).sort("from_channel_id", "to_channel_id", "kind")
