"""Jobs: named selections of the graph that people and schedules launch.

The main job is the first four, one after the other. Days and unpartitioned assets are apart because a run over days logs an event for
each day and asset: a job that held the unpartitioned assets too would log thousands for them as well.
"""

from __future__ import annotations

import dagster as dg

from pnd_dagster.automation.partitions import DAILY, MARKET_DAILY

MESSAGES_JOB = dg.define_asset_job(
    "messages",
    selection=dg.AssetSelection.groups("messages"),
    partitions_def=DAILY,
    description="Reads and labels the messages of a span of days; the nightly schedule launches it for what is missing or failed",
    executor_def=dg.in_process_executor,
)

EVENTS_JOB = dg.define_asset_job(
    "pump_events",
    selection=dg.AssetSelection.groups("telegram", "readings", "events"),
    description="From all labelled messages: channels worth watching, pictures, warning signs, announcements, releases and pump events",
    executor_def=dg.in_process_executor,
)

TRAINING_JOB = dg.define_asset_job(
    "training",
    selection=dg.AssetSelection.groups("models"),
    description="Trains the message classifier on all labels; it is promoted only if it is not worse on the frozen test channels",
    executor_def=dg.in_process_executor,
)

COINS_JOB = dg.define_asset_job(
    "coins",
    selection=dg.AssetSelection.assets(
        ["core", "instruments"], ["raw", "lunarcrush_snapshots"], ["raw", "coinmarketcap_snapshots"], ["core", "coin_links"]
    ),
    description="What is listed and what vendors say of it today: markets, snapshots, links from markets to coins",
    executor_def=dg.in_process_executor,
)

MARKET_JOB = dg.define_asset_job(
    "market",
    selection=dg.AssetSelection.assets(
        ["raw", "ohlcv_daily"], ["raw", "coincodex_daily"], ["core", "candidate_coins"], ["core", "metric_rollups"]
    ),
    partitions_def=MARKET_DAILY,
    description="Candles, market capitalisations, candidates and rollups of a span of days",
    executor_def=dg.in_process_executor,
)

CHECKS_JOB = dg.define_asset_job(
    "market_checks",
    selection=dg.AssetSelection.checks_for_assets(["core", "order_book_metrics"], ["core", "trade_metrics"]),
    description="Looks at what collectors wrote in the last hours",
    executor_def=dg.in_process_executor,
)

CONDUCT_JOB = dg.define_asset_job(
    "conduct",
    selection=dg.AssetSelection.groups("conduct"),
    description="What pumps came to, how channels hang together and keep their promises, how easily coins are moved",
    executor_def=dg.in_process_executor,
)

ANALYSIS_JOB = dg.define_asset_job(
    "analysis",
    selection=dg.AssetSelection.groups("analysis"),
    description="The paper's tables and figures on the data at hand, as files",
    executor_def=dg.in_process_executor,
)

WAREHOUSE_JOB = dg.define_asset_job(
    "warehouse",
    selection=dg.AssetSelection.groups("warehouse"),
    description="Views and marts for BI, and their tests: the dbt project",
    executor_def=dg.in_process_executor,
)

BACKTEST_JOB = dg.define_asset_job(
    "backtest",
    selection=dg.AssetSelection.assets(["out", "ranking_backtest"], ["out", "ranking_backtest_events"], ["out", "ranking_signal_curve"]),
    description="Where the coins of past pumps would have stood: TOP-k by offset, and against a made-up signal",
    executor_def=dg.in_process_executor,
)

JOBS = (
    *(MESSAGES_JOB, EVENTS_JOB, COINS_JOB, MARKET_JOB, CONDUCT_JOB, WAREHOUSE_JOB),
    *(ANALYSIS_JOB, CHECKS_JOB, TRAINING_JOB, BACKTEST_JOB),
)
