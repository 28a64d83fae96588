"""Group `rankings`: what watches and detection write, alerts, and where pumped coins stood in the backtest."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import polars as pl
import sqlalchemy as sa

from pnd_dagster import tables
from pnd_dagster.backtest.detection import backtest_detection_of_files
from pnd_dagster.backtest.paper import beside_paper, paper_columns
from pnd_dagster.backtest.report import Report, rank_distribution, scores_around_pumps, store_backtest, store_signal_curve
from pnd_dagster.resources import ranking_checks, table_checks, table_metadata
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.resources.failures import told_to_dagster
from pnd_dagster.resources.plots import highlighted, lines, stacked_bars
from pnd_dagster.settings import Settings

SYNTHETIC = "made-up markets: it proves the machinery, never skill"


def _key(schema: str, name: str) -> dg.AssetKey:
    return dg.AssetKey([schema, name])


def _spec(table: sa.Table, description: str, deps: list[dg.AssetKey], kinds: set[str] | None = None) -> dg.AssetSpec:
    return dg.AssetSpec(
        _key("out", table.name),
        description=description,
        kinds=kinds or {"postgres"},
        owners=["team:data-platform"],
        deps=deps,
        metadata=table_metadata.declared(table),
    )


METRICS = [_key("core", name) for name in ("order_book_metrics", "trade_metrics", "metric_rollups", "candidate_coins")]
WATCHES, TICKS, EVENTS = _key("out", "watches"), _key("out", "ranking_ticks"), _key("core", "pump_events")
BACKTEST, BACKTEST_EVENTS = _key("out", "ranking_backtest"), _key("out", "ranking_backtest_events")

watches = _spec(
    tables.WATCHES,
    "Watches of announced pumps, written by `watch_pump_job` and `pnd watch`: one per pump and revision of its schedule.",
    [_key("core", "scheduled_pumps")],
)
ranking_ticks = _spec(tables.RANKING_TICKS, "Ticks that a watch ranked, with their lag and lead, written with the rankings.", [WATCHES])
target_rankings = _spec(
    tables.TARGET_RANKINGS,
    "Rank and score of every candidate at every tick of a watch, written within the watch; dropped by day like the metrics. Ticks, results "
    "and alerts, which hold the leaders and the reasons given, stay.",
    [TICKS, *METRICS],
)
watch_results = _spec(
    tables.WATCH_RESULTS,
    "Where the released coin stood 300, 60, 40 and 20 s before its release, written when a watch ends or the coin becomes known later.",
    [_key("out", "target_rankings"), EVENTS],
)
detected_pumps = _spec(
    tables.DETECTED_PUMPS, "Pumps seen on the streams after their start, announced or not, written by `pnd detect`.", METRICS
)
alerts = _spec(
    tables.ALERTS,
    "The outbox of alerts: queued with what they tell of, delivered by `pnd deliver` at least once.",
    [_key("core", "scheduled_pumps"), _key("out", "target_rankings"), _key("out", "detected_pumps"), EVENTS],
)


@dg.multi_asset(
    name="ranking_backtest",
    specs=[
        _spec(
            tables.RANKING_BACKTEST,
            "TOP-k of every score rule and baseline on past pumps, by the code that ranks live (paper, Table III): on the files of "
            "PND_BACKTEST_TRADES and PND_BACKTEST_EVENTS, without them on made-up markets.",
            [],
            {"numpy", "postgres"},
        ),
        _spec(tables.RANKING_BACKTEST_EVENTS, "Where each pump's coin stood in the backtest.", [], {"numpy", "postgres"}),
    ],
)
def ranking_backtest(context: dg.AssetExecutionContext, database: DatabaseResource) -> Iterator[dg.MaterializeResult]:
    """Ranks the coins of past pumps against surrogate pools."""
    with told_to_dagster():
        report = store_backtest(database.engine, database.settings, datetime.now(UTC), context.log.info)
        detection = _detection(database.settings)
    yield dg.MaterializeResult(
        asset_key=BACKTEST,
        metadata=table_metadata.written(tables.RANKING_BACKTEST, report.written, database.engine) | _shown(report) | detection,
    )
    worst_first = report.found.events.filter(pl.col("rule") == "default").sort("mean_rank", descending=True)
    yield dg.MaterializeResult(asset_key=BACKTEST_EVENTS, metadata={"data": report.data, "worst": table_metadata.preview(worst_first, 20)})


class SignalCurveConfig(dg.Config):
    """The made-up market.

    Attributes:
        coins: in the whole market, the pumped one included; at least 51.
        events: pumps, each of a coin of its own, at each strength.
    """

    coins: int = 1_100
    events: int = 40


@dg.asset(
    key_prefix="out", kinds={"numpy", "postgres"}, owners=["team:data-platform"], metadata=table_metadata.declared(tables.RANKING_BACKTEST)
)
def ranking_signal_curve(context: dg.AssetExecutionContext, config: SignalCurveConfig, database: DatabaseResource) -> dg.MaterializeResult:
    """TOP-k against the declared strength of a made-up signal, for trades, books and both, among 51 coins and among a whole market."""
    with told_to_dagster():
        curve = store_signal_curve(database.engine, datetime.now(UTC), config.coins, config.events, context.log.info)
    return dg.MaterializeResult(
        metadata={
            "markets": SYNTHETIC,
            "n": config.events,
            "curve": lines(
                curve.with_columns(line=pl.format("{}, {}", "source", "pool")),
                x="strength",
                y="top5",
                color="line",
                title=f"TOP5 20 s before {config.events} made-up pumps, by strength of the signal",
                y_label="share of pumps",
            ),
            "figures": table_metadata.preview(curve, 100),
            "paper_table_iii": table_metadata.preview(paper_columns()),
        }
    )


def _detection(settings: Settings) -> dict[str, dg.MetadataValue | str]:
    """How the detector does on the pumps of the installation's files; nothing where there are none."""
    if not (settings.backtest_trades and settings.backtest_events):
        return {}
    found = backtest_detection_of_files(settings.backtest_events, settings.backtest_trades)
    return {
        "detection": table_metadata.preview(found.table),
        "detection_thresholds": ", ".join(f"{name} {value:g}" for name, value in found.thresholds._asdict().items()),
        "detection_caveat": "Thresholds were chosen on every other coin and are judged on the rest; the detector's design had seen both.",
    }


def _shown(report: Report) -> dict[str, dg.MetadataValue | str]:
    first, *_ = report.found.results["source"].unique(maintain_order=True)
    title = f"{report.data}{' (synthetic)' if report.is_synthetic else ''}"
    shown: dict[str, dg.MetadataValue | str] = {
        "data": title,
        "markets": SYNTHETIC if report.is_synthetic else "real trades; pools are surrogates, other coins at quiet times of their own",
        "notes": "; ".join(report.notes) or "none",
        "top_k": table_metadata.preview(beside_paper(report.found.results), 200),
        "paper_table_iii": table_metadata.preview(paper_columns()),
        "rank_distribution": stacked_bars(
            rank_distribution(report.found, first),
            x="rank",
            y="events",
            color="offset",
            title=f"{title}: mean rank of the pumped coin, {first} (first of five; the paper's Figure 7)",
            y_label="events, all offsets",
        ),
        "relative_scores": highlighted(
            scores_around_pumps(report.found, first),
            x="event_id",
            y="score",
            is_marked="is_pumped",
            title=f"{title}: scores of a pool before each pump, {first} (the paper's Figure 2)",
            y_label="standard deviations",
            mark="pumped coin",
        ),
    }
    if report.from_onset is not None:
        shown["top_k_from_onset"] = table_metadata.preview(beside_paper(report.from_onset.results), 200)
    return shown


CHECKS = [
    table_checks.schema_check(watches.key, tables.WATCHES),
    table_checks.schema_check(ranking_ticks.key, tables.RANKING_TICKS),
    table_checks.schema_check(target_rankings.key, tables.TARGET_RANKINGS),
    table_checks.schema_check(watch_results.key, tables.WATCH_RESULTS),
    table_checks.schema_check(detected_pumps.key, tables.DETECTED_PUMPS),
    table_checks.schema_check(alerts.key, tables.ALERTS),
    table_checks.schema_check(BACKTEST, tables.RANKING_BACKTEST),
    table_checks.schema_check(BACKTEST_EVENTS, tables.RANKING_BACKTEST_EVENTS),
    table_checks.schema_check(ranking_signal_curve.key, tables.RANKING_BACKTEST),
    ranking_checks.chance_check(BACKTEST),
    ranking_checks.volume_check(BACKTEST),
]
