"""Group `market`: what exchanges list, their candles, and the metrics that collectors write every 5 seconds."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from pnd_dagster import tables
from pnd_dagster.automation.partitions import HOURLY, MARKET_DAILY, days, window
from pnd_dagster.market import summaries
from pnd_dagster.market.instruments import refresh_exchanges
from pnd_dagster.market.ohlcv import collect_candles
from pnd_dagster.market.rollup_days import roll_up_days
from pnd_dagster.resources import market_checks, table_checks, table_metadata
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.resources.failures import told_to_dagster
from pnd_dagster.resources.partition_metadata import partitions_materialized
from pnd_dagster.resources.plots import lines
from pnd_dagster.storage import NOTHING_WRITTEN


@dg.asset(
    key_prefix="core",
    kinds={"ccxt", "postgres"},
    owners=["team:data-platform"],
    metadata=table_metadata.declared(tables.INSTRUMENTS),
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(days=3), warn_window=timedelta(hours=30)),
    pool="exchanges",
)
def instruments(context: dg.AssetExecutionContext, database: DatabaseResource) -> dg.MaterializeResult:
    """Spot USDT markets with the time they were listed; delisted ones are kept, leveraged tokens are marked."""
    with told_to_dagster():
        refreshed = refresh_exchanges(database.engine, database.settings, datetime.now(UTC), on_progress=context.log.info)
    return dg.MaterializeResult(
        metadata=table_metadata.written(tables.INSTRUMENTS, sum(refreshed.written.values(), NOTHING_WRITTEN), database.engine)
        | table_metadata.errors(refreshed.errors)
        | {"listed": table_metadata.preview(summaries.listed(database.engine))}
    )


@dg.asset(
    key_prefix="raw",
    kinds={"ccxt", "postgres"},
    owners=["team:data-platform"],
    deps=[instruments],
    partitions_def=MARKET_DAILY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    metadata=table_metadata.declared(tables.OHLCV_DAILY),
    pool="exchanges",
)
def ohlcv_daily(context: dg.AssetExecutionContext, database: DatabaseResource) -> dg.MaterializeResult:
    """Daily candles of all spot USDT pairs. What is complete is not asked for again; days without a candle are listed, not filled."""
    with told_to_dagster():
        collected = collect_candles(
            database.engine,
            database.settings,
            window(context),
            on_progress=lambda exchange, done, pairs: context.log.info(f"{exchange}: {done} of {pairs} pairs"),
        )
    span = days(context)
    return partitions_materialized(
        context,
        summaries.candles_per_day(database.engine, span),
        table_metadata.written(tables.OHLCV_DAILY, collected.written, database.engine)
        | table_metadata.errors(collected.errors)
        | {
            "exchanges": table_metadata.preview(summaries.candles_per_exchange(database.engine, span)),
            "gaps": table_metadata.preview(summaries.latest_candle_gaps(database.engine, span), 50),
        },
    )


order_book_metrics = dg.AssetSpec(
    ["core", "order_book_metrics"],
    description="Order book metrics per instrument and 5 s bucket, written by `pnd collect`. Exchanges serve no history of order books: "
    "an hour that was missed cannot be backfilled.",
    kinds={"postgres"},
    owners=["team:data-platform"],
    deps=[dg.AssetKey(["core", "candidate_coins"])],
    partitions_def=HOURLY,
    metadata=table_metadata.declared(tables.ORDER_BOOK_METRICS),
)

trade_metrics = dg.AssetSpec(
    ["core", "trade_metrics"],
    description="Trade metrics per instrument and 5 s bucket, written by `pnd collect`. Inside of a gap of the feed a missing "
    "bucket means that nobody looked; exchanges serve only their last trades.",
    kinds={"postgres"},
    owners=["team:data-platform"],
    deps=[dg.AssetKey(["core", "candidate_coins"])],
    partitions_def=HOURLY,
    metadata=table_metadata.declared(tables.TRADE_METRICS),
)


@dg.asset(
    key_prefix="core",
    kinds={"numpy", "postgres"},
    owners=["team:data-platform"],
    deps=[order_book_metrics, trade_metrics],
    partitions_def=MARKET_DAILY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    metadata=table_metadata.declared(tables.METRIC_ROLLUPS),
)
def metric_rollups(context: dg.AssetExecutionContext, database: DatabaseResource) -> dg.MaterializeResult:
    """Mergeable moments of every metric per hour: the history that ranking reads. Collectors write them as hours end; this repairs."""
    with told_to_dagster():
        rolled = roll_up_days(database.engine, window(context), datetime.now(UTC), on_progress=context.log.info)
    last_day = (window(context)[1] - timedelta(days=1), window(context)[1])
    hours = summaries.buckets_per_hour(database.engine, last_day)
    return partitions_materialized(
        context,
        rolled.per_day,
        table_metadata.written(tables.METRIC_ROLLUPS, rolled.written, database.engine)
        | {
            "coverage": lines(
                hours,
                x="hour_end_at",
                y="seen_ratio",
                color="exchange",
                title="Watched coins in sight",
                y_label="share of coins and buckets",
            ),
            "lag": lines(
                hours, x="hour_end_at", y="lag_p99_seconds", color="exchange", title="From a bucket's end to its commit, p99", y_label="s"
            ),
            "spreads": lines(
                summaries.spread_distribution(database.engine, last_day),
                x="spread_ratio",
                y="books",
                color="exchange",
                title="Relative spread (step: a quarter decade)",
                y_label="books",
                is_log=True,
            ),
        },
    )


CHECKS = [
    table_checks.schema_check(instruments.key, tables.INSTRUMENTS),
    table_checks.schema_check(ohlcv_daily.key, tables.OHLCV_DAILY),
    table_checks.schema_check(order_book_metrics.key, tables.ORDER_BOOK_METRICS),
    table_checks.schema_check(trade_metrics.key, tables.TRADE_METRICS),
    table_checks.schema_check(metric_rollups.key, tables.METRIC_ROLLUPS),
    table_checks.expectation_check(
        instruments.key,
        tables.INSTRUMENTS,
        [
            {"type": "expect_column_values_to_match_regex", "column": "symbol", "regex": "/USDT$"},
            {
                "type": "expect_column_pair_values_a_to_be_greater_than_b",
                "column_A": "valid_to",
                "column_B": "valid_from",
                "ignore_row_if": "either_value_is_missing",
            },
            {"type": "expect_column_values_to_be_in_set", "column": "is_derivative", "value_set": [False], "mostly": 0.7},
            {"type": "expect_table_row_count_to_be_between", "min_value": 1},
        ],
    ),
    market_checks.candles_check(ohlcv_daily.key),
    market_checks.never_check(
        order_book_metrics.key,
        tables.ORDER_BOOK_METRICS,
        "spread_is_never_negative",
        "No spread is negative, and none is as wide as twice the mid price",
        (tables.ORDER_BOOK_METRICS.c.bid_ask_spread < 0) | (tables.ORDER_BOOK_METRICS.c.relative_spread >= 2),
    ),
    market_checks.never_check(
        order_book_metrics.key,
        tables.ORDER_BOOK_METRICS,
        "shares_are_shares",
        "Pressure lies in [0, 1], the imbalance of value in [-1, 1]",
        ~tables.ORDER_BOOK_METRICS.c.order_book_pressure.between(0, 1) | ~tables.ORDER_BOOK_METRICS.c.value_imbalance.between(-1, 1),
    ),
    market_checks.never_check(
        trade_metrics.key,
        tables.TRADE_METRICS,
        "prices_stand_in_order",
        "low <= vwap <= high, and takers' imbalance lies in [-1, 1]",
        ~tables.TRADE_METRICS.c.vwap.between(tables.TRADE_METRICS.c.low_price, tables.TRADE_METRICS.c.high_price)
        | ~tables.TRADE_METRICS.c.taker_imbalance.between(-1.000001, 1.000001),
    ),
    market_checks.buckets_follow_check(order_book_metrics.key),
    market_checks.coverage_check(order_book_metrics.key),
    market_checks.freshness_check(order_book_metrics.key),
]
