"""Group `candidates`: which coin an instrument trades, and which instruments are watched."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from pnd_dagster import tables
from pnd_dagster.automation.partitions import MARKET_DAILY, days
from pnd_dagster.candidates import summaries
from pnd_dagster.candidates.links import link_instruments
from pnd_dagster.candidates.store import choose_candidates_of_days, pass_shares
from pnd_dagster.resources import table_checks, table_metadata
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.resources.partition_metadata import partitions_materialized

INSTRUMENTS = dg.AssetKey(["core", "instruments"])
COINMARKETCAP = dg.AssetKey(["raw", "coinmarketcap_snapshots"])
COINCODEX = dg.AssetKey(["raw", "coincodex_daily"])
EVENTS = dg.AssetKey(["core", "pump_events"])


@dg.asset(
    key_prefix="core",
    kinds={"polars", "postgres"},
    owners=["team:data-platform"],
    deps=[INSTRUMENTS, COINMARKETCAP],
    metadata=table_metadata.declared(tables.COIN_LINKS),
)
def coin_links(database: DatabaseResource) -> dg.MaterializeResult:
    """Which CoinMarketCap coin each instrument trades: by contract, by symbol and name, by a symbol only one coin has; or why none."""
    written = link_instruments(database.engine, datetime.now(UTC))
    return dg.MaterializeResult(
        metadata=table_metadata.written(tables.COIN_LINKS, written, database.engine)
        | {
            "methods": table_metadata.preview(summaries.link_methods(database.engine), 30),
            "not_linked": table_metadata.preview(summaries.not_linked(database.engine), 50),
        }
    )


@dg.asset(
    key_prefix="core",
    kinds={"polars", "postgres"},
    owners=["team:data-platform"],
    deps=[coin_links, COINCODEX, EVENTS],
    partitions_def=MARKET_DAILY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    metadata=table_metadata.declared(tables.CANDIDATE_COINS),
)
def candidate_coins(context: dg.AssetExecutionContext, database: DatabaseResource) -> dg.MaterializeResult:
    """The market-cap filter (paper, V-B): unreported to 60 million USD, as known that day; each decision with its reason."""
    first, end = days(context)
    chosen = choose_candidates_of_days(database.engine, (first, end), database.settings.market_cap_max_usd)
    last = end - timedelta(days=1)
    shares = pass_shares(database.engine, last)
    return partitions_materialized(
        context,
        summaries.decisions_per_day(database.engine, (first, end)),
        table_metadata.written(tables.CANDIDATE_COINS, chosen, database.engine)
        | {
            "decisions_of_the_last_day": table_metadata.preview(summaries.decisions(database.engine, last), 50),
            "candidates": f"{shares.candidates} of {shares.instruments} instruments",
            "pumped_candidates": f"{shares.pumped_candidates} of {shares.pumped} instruments that were ever pumped",
            "candidates_ratio": shares.share,
            "pumped_candidates_ratio": shares.pumped_share,
        },
    )


CHECKS = [
    table_checks.schema_check(coin_links.key, tables.COIN_LINKS),
    table_checks.schema_check(candidate_coins.key, tables.CANDIDATE_COINS),
    table_checks.expectation_check(
        coin_links.key,
        tables.COIN_LINKS,
        [
            {"type": "expect_column_values_to_be_in_set", "column": "method", "value_set": list(tables.LINK_METHODS)},
            {"type": "expect_column_values_to_not_be_null", "column": "coin_id", "mostly": 0.6},
        ],
    ),
    table_checks.expectation_check(
        candidate_coins.key,
        tables.CANDIDATE_COINS,
        [
            {"type": "expect_column_values_to_be_in_set", "column": "cap_source", "value_set": list(tables.CAP_SOURCES)},
            {"type": "expect_column_values_to_be_in_set", "column": "is_candidate", "value_set": [True], "mostly": 0.3},
        ],
    ),
]
