"""Pumped coins: the most pumped (paper, Table VII), their size (Figure 4, V-B), and their token standards (VI-B)."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import sqlalchemy as sa

from pnd_dagster.analysis import drawing, intervals
from pnd_dagster.analysis.identity import RESOLVED, coins_of, identities, resolved_events
from pnd_dagster.analysis.paper_values import FILTER_MEDIAN_USD, FILTER_PUMPED, FILTER_SHARE, NEVER_PUMPED, STANDARDS, TABLE_VII
from pnd_dagster.analysis.results import Comparison, Result, beside_paper, compared_share
from pnd_dagster.analysis.sources import Sources, events_of
from pnd_dagster.candidates.market_cap import MAX_CAP_AGE
from pnd_dagster.candidates.names import normalised_name
from pnd_dagster.tables import CANDIDATE_COINS, COINCODEX_DAILY, COINMARKETCAP_SNAPSHOTS

OWN_CHAIN = "own chain or unknown platform"
VALUE_SOURCES = ("coinmarketcap", "coincodex")
"""What a source does not report is taken from the next one."""
VALUES = ("market_cap_usd", "price_usd", "volume_usd")


def most_pumped(events: pl.DataFrame) -> pl.DataFrame:
    """Coins by number of pumps: symbol, name, token_standard, identity, pumps, exchanges, channels, first_pump, last_pump.

    Events without a coin are counted by symbol, which may stand for several coins; identity says so.

    Args:
        events: symbol, exchange, channel_ids, released_at, coin_id, identity, name, token_standard.
    """
    known = pl.col("coin_id").is_not_null()
    keyed = events.with_columns(
        coin=pl.when(known).then(pl.format("coin {}", pl.col("coin_id").fill_null(0))).otherwise(pl.format("symbol {}", "symbol"))
    )
    return (
        keyed.sort("released_at")
        .group_by("coin")
        .agg(
            symbol=pl.col("symbol").last(),
            name=pl.col("name").last(),
            token_standard=pl.col("token_standard").last(),
            identity=pl.col("identity").unique().sort().str.join(", "),
            pumps=pl.len(),
            exchanges=pl.col("exchange").drop_nulls().n_unique(),
            channels=pl.col("channel_ids").list.explode(keep_nulls=False, empty_as_null=False).n_unique(),
            first_pump=pl.col("released_at").first(),
            last_pump=pl.col("released_at").last(),
        )
        .drop("coin")
        .sort("pumps", "channels", "symbol", descending=[True, True, False])
    )


def caps_at(events: pl.DataFrame, values: pl.DataFrame) -> pl.DataFrame:
    """Events with market_cap_usd, price_usd, volume_usd and value_source as last known before the release, NULL where nothing was.

    CoinMarketCap's value counts before CoinCodex's; value_source is that of the capitalisation. Unreported values (NULL or 0) stay NULL;
    `is_valued` says that the coin had a row by then. What is older than 30 days says nothing.

    Args:
        events: event_id, coin_id, released_at, and whatever shall be kept.
        values: coin_id, known_at, market_cap_usd, price_usd, volume_usd, value_source.
    """
    found = events.sort("released_at")
    for source in VALUE_SOURCES:
        own = values.filter(pl.col("value_source") == source).sort("known_at")
        found = found.join_asof(
            own.select("coin_id", "known_at", *(_reported(name).alias(f"{source} {name}") for name in VALUES)),
            left_on="released_at",
            right_on="known_at",
            by="coin_id",
            tolerance=MAX_CAP_AGE,
            coalesce=False,
            allow_exact_matches=False,
            check_sortedness=False,
        ).rename({"known_at": f"{source} known_at"})
    by_source = {name: [f"{source} {name}" for source in VALUE_SOURCES] for name in (*VALUES, "known_at")}
    has_cap = [pl.when(pl.col(f"{source} market_cap_usd").is_not_null()).then(pl.lit(source)) for source in VALUE_SOURCES]
    return found.with_columns(
        *(pl.coalesce(by_source[name]).alias(name) for name in VALUES),
        value_source=pl.coalesce(has_cap),
        is_valued=pl.any_horizontal(pl.col(name).is_not_null() for name in by_source["known_at"]),
    ).drop(name for names in by_source.values() for name in names)


def _reported(name: str) -> pl.Expr:
    """NULL and 0 mean that nothing was reported."""
    return pl.when((pl.col(name) > 0) & pl.col(name).is_finite()).then(name)


def by_channel(valued: pl.DataFrame) -> pl.DataFrame:
    """Medians of what was pumped by channel: channel_id, events, n (with a capitalisation), median market_cap_usd, price_usd, volume_usd.

    Args:
        valued: of `caps_at`, with channel_ids.
    """
    told = valued.explode("channel_ids").select(pl.exclude("channel_ids"), channel_id=pl.col("channel_ids").cast(pl.String))
    return (
        told.group_by("channel_id")
        .agg(events=pl.len(), n=pl.col("market_cap_usd").count(), **{name: pl.col(name).median() for name in VALUES})
        .sort("events", "channel_id", descending=[True, False])
    )


def by_standard(events: pl.DataFrame, coins: pl.DataFrame) -> pl.DataFrame:
    """Token standards of pumped coins against those of all coins: standard, pumps, pumped_coins, coins, pumped_share with
    low and high (95%, Wilson).

    The paper's six standards have a row even where nothing of them is known; coins of a chain of their own have one too. Inscriptions and
    ERC-721 are no coins to CoinMarketCap: 0 of 0 is no evidence.

    Args:
        events: coin_id (NULL if not resolved), token_standard.
        coins: coin_id, token_standard, of every coin there is.
    """
    pumped = events.filter(pl.col("coin_id").is_not_null()).with_columns(standard=pl.col("token_standard").fill_null(OWN_CHAIN))
    counts = pumped.group_by("standard").agg(pumps=pl.len(), pumped_coins=pl.col("coin_id").n_unique())
    # A linked coin that no snapshot knows is a coin too.
    known = pl.concat([coins.select("coin_id", "token_standard"), pumped.select("coin_id", "token_standard")]).unique(
        "coin_id", keep="first", maintain_order=True
    )
    there = known.with_columns(standard=pl.col("token_standard").fill_null(OWN_CHAIN)).group_by("standard").agg(coins=pl.len())
    named = pl.DataFrame({"standard": list(STANDARDS)})
    every = pl.concat([named, counts.select("standard"), there.select("standard")]).unique(maintain_order=True)
    table = every.join(counts, on="standard", how="left", maintain_order="left").join(
        there, on="standard", how="left", maintain_order="left"
    )
    table = table.with_columns(pl.col("pumps", "pumped_coins", "coins").fill_null(0))
    ends = [intervals.of_share(hit, all_) for hit, all_ in table.select("pumped_coins", "coins").iter_rows()]
    return table.with_columns(
        pumped_share=pl.when(pl.col("coins") > 0).then(pl.col("pumped_coins") / pl.col("coins")),
        low=pl.Series([low for low, _ in ends], dtype=pl.Float64),
        high=pl.Series([high for _, high in ends], dtype=pl.Float64),
    )


def top_coins(sources: Sources) -> Result:
    """Table VII: the most pumped coins."""
    events = resolved_events(sources, events_of(sources))
    coins = most_pumped(events)
    own = {row["symbol"]: row["pumps"] for row in reversed(coins.select("symbol", "pumps").to_dicts())}
    rows = [Comparison(f"pumps of {symbol} ({name}, {standard})", own.get(symbol, 0), None, None, coins.height, pumps, "Table VII")
            for symbol, name, standard, pumps in TABLE_VII]  # fmt: skip
    tokki = coins.filter(pl.col("symbol") == "TOKKI").head(1)
    for what, column, paper in (("exchanges", "exchanges", 4), ("channels", "channels", 5)):
        ours = tokki[column][0] if tokki.height else 0
        rows.append(Comparison(f"{what} of TOKKI's pumps", ours, None, None, coins.height, paper, "V-A"))
    return Result({"coins": coins, "paper": beside_paper(rows), "identities": identities(events)}, {}, [*_missing(events), _IDENTITY])


def sizes_by_channel(sources: Sources) -> Result:
    """Figure 4: market capitalisation, price and volume of pumped coins per channel, as last known before each pump."""
    valued = caps_at(resolved_events(sources, events_of(sources)), _values(sources))
    channels = by_channel(valued)
    caps = valued["market_cap_usd"].drop_nulls()
    low, high = intervals.of_median(caps.to_numpy())
    row = Comparison(
        "median market capitalisation at the pump [USD]", _float(caps.median()), low, high, len(caps), FILTER_MEDIAN_USD, "V-B, Figure 4"
    )
    told = valued.explode("channel_ids").with_columns(channel=pl.col("channel_ids").cast(pl.String).fill_null("none"))
    panels = (("market_cap_usd", "market cap, USD"), ("price_usd", "price, USD"), ("volume_usd", "volume of 24 h, USD"))
    picture = drawing.boxes(
        told.drop_nulls("market_cap_usd"), group="channel", columns=panels, title="Pumped coins per channel (paper, Figure 4)"
    )
    events = valued.drop("channel_ids").select(
        "event_id", "symbol", "released_at", "identity", "value_source", "is_valued", *(name for name, _ in panels)
    )
    return Result(
        {"channels": channels, "paper": beside_paper([row]), "events": events, "identities": identities(valued)},
        {"sizes": picture},
        [*_missing(valued), *_valued(valued), _IDENTITY],
    )


def market_cap_filter(sources: Sources) -> Result:
    """V-B: share of pumped coins, and of all, from 0 (unreported) to the filter's limit; median capitalisation of the pumped."""
    limit = sources.settings.market_cap_max_usd
    valued = caps_at(resolved_events(sources, events_of(sources)), _values(sources))
    known = valued.filter(pl.col("coin_id").is_not_null() & pl.col("is_valued")).sort("released_at")
    first = known.unique("coin_id", keep="first", maintain_order=True)
    inside = first.filter(pl.col("market_cap_usd").fill_null(0.0) <= limit).height
    reported = first["market_cap_usd"].drop_nulls()
    everyone, day = _last_candidates(sources)
    everyone_inside = int((everyone["market_cap_usd"].fill_null(0.0) <= limit).sum())
    when = f", on {day}" if day else ""
    rows = [
        compared_share("share of pumped coins inside at their first pump", inside, first.height, FILTER_SHARE, f"V-B, {FILTER_PUMPED:,}"),
        compared_share("of these with a reported capitalisation", len(reported), first.height, None, "not in the paper"),
        Comparison("median capitalisation of pumped coins [USD]", _float(reported.median()), *intervals.of_median(reported.to_numpy()),
                   len(reported), FILTER_MEDIAN_USD, "V-B"),
        compared_share(f"share of all instruments inside{when}", everyone_inside, everyone.height, None, "not in the paper"),
    ]  # fmt: skip
    notes = [*_missing(valued), *_valued(valued), _IDENTITY]
    if everyone.is_empty():
        notes.append("core.candidate_coins is empty: `pnd run core/candidate_coins`")
    else:
        notes.append("the filter that passes all is no filter: read the share of the pumped beside that of all")
    coins = first.select("coin_id", "symbol", "name", "released_at", "market_cap_usd", "value_source", "identity")
    return Result({"paper": beside_paper(rows), "coins": coins, "identities": identities(valued)}, {}, notes)


def token_standards(sources: Sources) -> Result:
    """VI-B: which share of the coins of each token standard was ever pumped."""
    events = resolved_events(sources, events_of(sources))
    table = by_standard(events, coins_of(sources))
    pumps = dict(table.select("standard", "pumps").iter_rows())
    all_pumps = int(table["pumps"].sum())
    rows = [
        compared_share(f"share of pumps that hit {name}", pumps[name], all_pumps, 0.0 if name in NEVER_PUMPED else None, "VI-B")
        for name in STANDARDS
    ]
    notes = [*_missing(events), _IDENTITY, "the paper saw none of the last four pumped, and says all targets were ERC-20-like"]
    notes.append(
        "ERC-721 and Inscriptions are no coins to CoinMarketCap: 0 of 0 is no evidence; a coin's standard is that of its first platform"
    )
    return Result({"standards": table, "paper": beside_paper(rows), "identities": identities(events)}, {}, notes)


_IDENTITY = "a symbol is no identity: events whose coin our links do not tell are counted apart (table identities)"


def _missing(events: pl.DataFrame) -> list[str]:
    if events.is_empty():
        return ["core.pump_events is empty: `pnd import` messages, then `pnd run`"]
    resolved = events.filter(pl.col("identity").is_in(RESOLVED)).height
    hint = "" if resolved else ": `pnd run raw/coinmarketcap_snapshots` (needs PND_COINMARKETCAP_KEY) and core/coin_links tell coins apart"
    return [f"{resolved:,} of {events.height:,} events have a coin{hint}"]


def _valued(valued: pl.DataFrame) -> list[str]:
    known = int(valued["is_valued"].sum())
    return [
        f"{known:,} of {valued.height:,} events have a snapshot of their coin from the 30 days before the release; the others are left out"
    ]


def _values(sources: Sources) -> pl.DataFrame:
    """CoinMarketCap's snapshots and CoinCodex's days, by CoinMarketCap's id: what `caps_at` reads."""
    snapshot, day = COINMARKETCAP_SNAPSHOTS.c, COINCODEX_DAILY.c
    cap = sa.func.coalesce(sa.func.nullif(snapshot.market_cap_usd, 0), snapshot.self_reported_market_cap_usd)
    ours = sources.select(
        sa.select(
            snapshot.coin_id,
            snapshot.snapshot_at.label("known_at"),
            sa.cast(cap, sa.Double).label("market_cap_usd"),
            snapshot.price_usd,
            snapshot.volume_24h_usd.label("volume_usd"),
        )
    ).with_columns(value_source=pl.lit("coinmarketcap"))
    codex = sources.select(
        sa.select(day.coin_id.label("codex_id"), day.symbol, day.name, day.day, day.market_cap_usd, day.price_usd, day.volume_usd)
    )
    pairs = _keyed(coins_of(sources).select("coin_id", "symbol", "name")).join(
        _keyed(codex.select("codex_id", "symbol", "name").unique()).select("codex_id", "symbol_key", "name_key"),
        on=["symbol_key", "name_key"],
    )
    single = pairs.select("coin_id", "codex_id").unique().filter((pl.len().over("coin_id") == 1) & (pl.len().over("codex_id") == 1))
    # A day's values are known at its end.
    theirs = codex.join(single, on="codex_id").select(
        "coin_id",
        (pl.col("day") + timedelta(days=1)).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("known_at"),
        "market_cap_usd",
        "price_usd",
        "volume_usd",
        value_source=pl.lit("coincodex"),
    )
    return pl.concat([ours, theirs])


def _keyed(coins: pl.DataFrame) -> pl.DataFrame:
    names = pl.col("name").map_elements(normalised_name, return_dtype=pl.String)
    return coins.with_columns(symbol_key=pl.col("symbol").str.to_uppercase(), name_key=names).filter(pl.col("name_key") != "")


def _last_candidates(sources: Sources) -> tuple[pl.DataFrame, str]:
    """Instruments of the last day that was decided, without derivatives, and that day."""
    candidate = CANDIDATE_COINS.c
    last = sa.select(sa.func.max(candidate.as_of_date)).scalar_subquery()
    frame = sources.select(
        sa.select(candidate.market_cap_usd, candidate.as_of_date).where(
            candidate.as_of_date == last, ~candidate.reason.startswith("derivative")
        )
    )
    return frame, str(frame["as_of_date"][0]) if frame.height else ""


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
