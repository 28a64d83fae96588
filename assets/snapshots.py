"""Group `snapshots`: what vendors say of coins. A vendor that is not set up is left out, and the log says so."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from pnd_dagster import tables
from pnd_dagster.automation.partitions import MARKET_DAILY, days, window
from pnd_dagster.events.summaries import pumped_symbols
from pnd_dagster.resources import table_checks, table_metadata
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.resources.failures import told_to_dagster, unless_not_set_up
from pnd_dagster.resources.partition_metadata import partitions_materialized
from pnd_dagster.resources.vendors import collected_metadata
from pnd_dagster.snapshots import summaries
from pnd_dagster.snapshots.coincodex import collect_coincodex
from pnd_dagster.snapshots.coinmarketcap import collect_coinmarketcap
from pnd_dagster.snapshots.lunarcrush import collect_lunarcrush

PUMPED_LATELY = timedelta(days=90)
FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=3), warn_window=timedelta(hours=30))


@dg.asset(
    key_prefix="raw",
    kinds={"requests", "postgres"},
    owners=["team:data-platform"],
    deps=[dg.AssetKey(["core", "pump_events"])],
    metadata=table_metadata.declared(tables.LUNARCRUSH_SNAPSHOTS),
    freshness_policy=FRESHNESS,
    output_required=False,
    pool="lunarcrush",
)
def lunarcrush_snapshots(context: dg.AssetExecutionContext, database: DatabaseResource) -> Iterator[dg.MaterializeResult]:
    """Social metrics of all coins that LunarCrush follows, as of now: interactions, dominance, sentiment, posts.

    Posts created and contributors cost a request per coin and are read for the coins that were pumped lately; likes and shares only where
    LunarCrush still tells them.
    """
    now = datetime.now(UTC)
    pumped = pumped_symbols(database.engine, now - PUMPED_LATELY)
    collected = unless_not_set_up(context, lambda: collect_lunarcrush(database.engine, database.settings, now, detailed_symbols=pumped))
    if collected:
        most = summaries.most_talked_of(database.engine, now)
        yield dg.MaterializeResult(
            metadata=collected_metadata(tables.LUNARCRUSH_SNAPSHOTS, collected, database.engine)
            | {"most_interactions": table_metadata.preview(most)}
        )


@dg.asset(
    key_prefix="raw",
    kinds={"requests", "postgres"},
    owners=["team:data-platform"],
    metadata=table_metadata.declared(tables.COINMARKETCAP_SNAPSHOTS),
    freshness_policy=FRESHNESS,
    output_required=False,
    pool="coinmarketcap",
)
def coinmarketcap_snapshots(context: dg.AssetExecutionContext, database: DatabaseResource) -> Iterator[dg.MaterializeResult]:
    """Market capitalisations, self-reported ones too, platform and token standard of all coins that CoinMarketCap knows, as of now."""
    now = datetime.now(UTC)
    if collected := unless_not_set_up(context, lambda: collect_coinmarketcap(database.engine, database.settings, now)):
        yield dg.MaterializeResult(
            metadata=collected_metadata(tables.COINMARKETCAP_SNAPSHOTS, collected, database.engine)
            | {
                "capitalisations": table_metadata.preview(summaries.capitalisations(database.engine, now)),
                "token_standards": table_metadata.preview(summaries.token_standards(database.engine, now)),
            }
        )


@dg.asset(
    key_prefix="raw",
    kinds={"requests", "postgres"},
    owners=["team:data-platform"],
    partitions_def=MARKET_DAILY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    metadata=table_metadata.declared(tables.COINCODEX_DAILY),
    pool="coincodex",
)
def coincodex_daily(context: dg.AssetExecutionContext, database: DatabaseResource) -> dg.MaterializeResult:
    """Historical market capitalisation, price and volume by day, from CoinCodex. Days that are there are not asked for again."""
    with told_to_dagster():
        collected = collect_coincodex(database.engine, database.settings, window(context), on_progress=context.log.info)
    return partitions_materialized(
        context,
        summaries.capitalisations_per_day(database.engine, days(context)),
        collected_metadata(tables.COINCODEX_DAILY, collected, database.engine),
    )


CHECKS = [
    table_checks.schema_check(lunarcrush_snapshots.key, tables.LUNARCRUSH_SNAPSHOTS),
    table_checks.schema_check(coinmarketcap_snapshots.key, tables.COINMARKETCAP_SNAPSHOTS),
    table_checks.schema_check(coincodex_daily.key, tables.COINCODEX_DAILY),
    table_checks.expectation_check(
        lunarcrush_snapshots.key,
        tables.LUNARCRUSH_SNAPSHOTS,
        [
            {"type": "expect_column_values_to_be_between", "column": "sentiment", "min_value": 0, "max_value": 100},
            {"type": "expect_column_values_to_be_between", "column": "social_dominance", "min_value": 0, "max_value": 100},
            {"type": "expect_column_values_to_not_be_null", "column": "interactions", "mostly": 0.5},
        ],
    ),
    table_checks.expectation_check(
        coinmarketcap_snapshots.key,
        tables.COINMARKETCAP_SNAPSHOTS,
        [
            {"type": "expect_column_values_to_be_between", "column": "market_cap_usd", "min_value": 0, "max_value": 1e14},
            {"type": "expect_column_values_to_be_between", "column": "self_reported_market_cap_usd", "min_value": 0},
            {"type": "expect_column_values_to_not_be_null", "column": "price_usd", "mostly": 0.3},
        ],
    ),
    table_checks.expectation_check(
        coincodex_daily.key,
        tables.COINCODEX_DAILY,
        [
            {"type": "expect_column_values_to_be_between", "column": "market_cap_usd", "min_value": 0, "max_value": 1e14},
            {"type": "expect_column_values_to_be_between", "column": "price_usd", "min_value": 0},
        ],
    ),
]
