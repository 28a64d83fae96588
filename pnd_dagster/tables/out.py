"""Schema `out`: results. Watches and their rankings, what was detected after its start, alerts, and backtests."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from pnd_dagster.tables._columns import METADATA, TEXT_ARRAY, column, key, one_of

WATCH_STATES = ("running", "postponed", "cancelled", "released", "over", "failed")
ALERT_STAGES = ("announced", "candidates", "target suspected", "released", "over", "cancelled", "detected", "test")
ALERT_STATES = ("pending", "sent", "failed", "muted")
BACKTEST_SOURCES = ("trades", "books", "both")

_SCORE_COLUMNS = (
    column("rank", sa.REAL, "Rank among the exchange's candidates, 1 is the most suspected; ties have their mean rank", nullable=False),
    column(
        "score", sa.REAL, "Score, normalised across the exchange's candidates; 0 is neutral", unit="standard deviations", nullable=False
    ),
)

WATCHES = sa.Table(
    "watches",
    METADATA,
    key("watch_id", sa.Text, "pump_id:schedule_revision, or manual:exchange:time of one started by hand"),
    column("pump_id", sa.Text, "Scheduled pump; NULL for a watch started by hand"),
    column("schedule_revision", sa.Integer, "Revision of the schedule that is watched; NULL for a watch started by hand"),
    column("exchanges", TEXT_ARRAY, "Exchanges that are ranked; all that are collected where the announcement names none", nullable=False),
    column("scheduled_at", sa.TIMESTAMP, "Announced start of the pump", nullable=False),
    column("started_at", sa.TIMESTAMP, "First attempt", nullable=False, on_update="first"),
    column("attempt", sa.Integer, "How often it was started, from 1", unit="attempts", nullable=False),
    column("state", sa.Text, "State: running, or how it ended", nullable=False),
    column("ended_at", sa.TIMESTAMP, "When it ended; NULL while it runs"),
    column("event_id", sa.Text, "Event that was released during it"),
    column("symbol", sa.Text, "Coin that was released, upper case"),
    column("tick_count", sa.Integer, "Ticks that were ranked, all exchanges", unit="ticks", nullable=False),
    column("detail", sa.Text, "Why it ended so"),
    one_of("state", WATCH_STATES),
    sa.Index(None, "scheduled_at"),
    schema="out",
    comment="Watches of announced pumps: one per pump and revision of its schedule, however many channels announce it",
)

RANKING_TICKS = sa.Table(
    "ranking_ticks",
    METADATA,
    key("ranking_id", sa.BigInteger, "Hash of watch, exchange and bucket"),
    column("watch_id", sa.Text, "Watch", nullable=False),
    column("exchange", sa.Text, "Exchange, canonical lower-case id", nullable=False),
    column("bucket_end_at", sa.TIMESTAMP, "End of the last bucket that was ranked", nullable=False),
    column("lead_seconds", sa.Double, "From the bucket's end to the announced start; negative after it", unit="s", nullable=False),
    column("score_rule", sa.Text, "Rule that scored", nullable=False),
    column("candidates", sa.Integer, "Instruments that were ranked", unit="instruments", nullable=False),
    column("active", sa.Integer, "Those that had any score; the others stand at the neutral one", unit="instruments", nullable=False),
    column("lag_seconds", sa.Double, "From the bucket's end to this row", unit="s", nullable=False),
    column("lease_epoch", sa.BigInteger, "Epoch of the watch's lease", nullable=False),
    sa.Index(None, "watch_id", "exchange", "bucket_end_at"),
    sa.Index(None, "bucket_end_at"),
    schema="out",
    comment="Ticks that were ranked: the rows of target_rankings and this row are one transaction",
)

TARGET_RANKINGS = sa.Table(
    "target_rankings",
    METADATA,
    key("ranking_id", sa.BigInteger, "Tick, see ranking_ticks"),
    key("instrument_id", sa.BigInteger, "Instrument"),
    key("bucket_end_at", sa.TIMESTAMP, "End of the last bucket that was ranked"),
    *_SCORE_COLUMNS,
    column("is_active", sa.Boolean, "False where nothing was known: the score is the neutral one", nullable=False),
    column("z", pg.ARRAY(sa.REAL), "z by metric and horizon in the rule's order, for the best 50 and at reported offsets; NaN if unknown"),
    sa.Index(None, "bucket_end_at", postgresql_using="brin"),
    schema="out",
    comment="Rank of each candidate at each tick of a watch",
    postgresql_partition_by="RANGE (bucket_end_at)",
)

WATCH_RESULTS = sa.Table(
    "watch_results",
    METADATA,
    key("watch_id", sa.Text, "Watch"),
    key("event_id", sa.Text, "Event that was released"),
    key("offset_seconds", sa.Integer, "Seconds before the release that are looked at", unit="s"),
    column("exchange", sa.Text, "Exchange of the released coin", nullable=False),
    column("symbol", sa.Text, "Coin, upper case", nullable=False),
    column("instrument_id", sa.BigInteger, "Instrument of the coin; NULL if it is no candidate"),
    column("bucket_end_at", sa.TIMESTAMP, "Last tick ranked by then; NULL if there was none"),
    column("rank", sa.REAL, "Rank at that tick; NULL if it was not ranked"),
    column("score", sa.REAL, "Score at that tick", unit="standard deviations"),
    column("candidates", sa.Integer, "Instruments that were ranked then", unit="instruments"),
    column("evaluated_at", sa.TIMESTAMP, "When it was found out", nullable=False, on_update="change"),
    schema="out",
    comment="Where the released coin stood so many seconds before its release: what a watch was worth",
)

DETECTED_PUMPS = sa.Table(
    "detected_pumps",
    METADATA,
    key("detection_id", sa.Text, "Hash of instrument and first bucket"),
    column("instrument_id", sa.BigInteger, "Instrument", nullable=False),
    column("exchange", sa.Text, "Exchange, canonical lower-case id", nullable=False),
    column("symbol", sa.Text, "Base symbol, upper case", nullable=False),
    column("detected_at", sa.TIMESTAMP, "End of the bucket that raised it", nullable=False),
    column("volume_z", sa.REAL, "z of what takers bought", unit="standard deviations", nullable=False),
    column("trades_z", sa.REAL, "z of the number of trades", unit="standard deviations", nullable=False),
    column("price_change", sa.REAL, "Price over that of the window before, minus 1", unit="ratio", nullable=False),
    column("reason", sa.Text, "What stood out, in words", nullable=False),
    column("pump_id", sa.Text, "Scheduled pump that was announced for then, if any"),
    sa.Index(None, "detected_at"),
    schema="out",
    comment="Pumps seen on the streams after their start, announced or not",
)

ALERTS = sa.Table(
    "alerts",
    METADATA,
    key("alert_id", sa.Text, "Hash of stage, subject and occasion: the same alert is queued once"),
    key("channel", sa.Text, "Where it goes: webhook, file, log, e-mail"),
    column("stage", sa.Text, "Stage of the pump", nullable=False),
    column("subject_id", sa.Text, "Pump, watch or detection it tells of", nullable=False),
    column("exchange", sa.Text, "Exchange, canonical lower-case id"),
    column("symbol", sa.Text, "Coin it names, upper case"),
    column("title", sa.Text, "One line", nullable=False),
    column("body", pg.JSONB, "Evidence, ranking and disclaimer, as it is sent", nullable=False),
    column("state", sa.Text, "Whether it was delivered", nullable=False),
    column("attempts", sa.Integer, "Deliveries that were tried", unit="attempts", nullable=False),
    column("created_at", sa.TIMESTAMP, "When it was queued", nullable=False, on_update="first"),
    column("next_attempt_at", sa.TIMESTAMP, "Not to be tried before", nullable=False),
    column("sent_at", sa.TIMESTAMP, "When the other side accepted it"),
    column("last_error", sa.Text, "Why the last attempt failed, or why it is muted"),
    one_of("stage", ALERT_STAGES),
    one_of("state", ALERT_STATES),
    sa.Index(None, "state", "next_attempt_at"),
    sa.Index(None, "subject_id"),
    schema="out",
    comment="Outbox of alerts: delivered at least once, under a key by which a receiver knows repetitions",
)

ALERT_MUTES = sa.Table(
    "alert_mutes",
    METADATA,
    key("scope", sa.Text, "all, stage:NAME, exchange:ID, symbol:BASE, channel:NAME or pump:ID"),
    column("until", sa.TIMESTAMP, "Alerts of that scope are not delivered before", nullable=False),
    column("reason", sa.Text, "Why, in somebody's words"),
    column("muted_at", sa.TIMESTAMP, "When it was said", nullable=False, on_update="change"),
    schema="out",
    comment="What nobody wants to be alerted of for a while",
)

RANKING_BACKTEST = sa.Table(
    "ranking_backtest",
    METADATA,
    key("data", sa.Text, "Name of the data"),
    key("pool", sa.Text, "Whom the coin is ranked against: surrogate, or the exchange's candidates"),
    key("source", sa.Text, "Metrics that were used: trades, books, both"),
    key("rule", sa.Text, "Score rule, baselines included"),
    key("offset_seconds", sa.Integer, "Seconds before the announced start", unit="s"),
    column("is_synthetic", sa.Boolean, "True for simulated markets: proves machinery, never skill", nullable=False),
    column("n", sa.Integer, "Events", unit="events", nullable=False),
    column("pool_size", sa.Integer, "Coins that are ranked, the pumped one included", unit="coins", nullable=False),
    column("active_coins", sa.REAL, "Mean number of coins of a pool that had any score", unit="coins", nullable=False),
    *(
        column(f"top{k}", sa.Double, f"Share of events whose coin is among the first {k}", unit="ratio", nullable=False)
        for k in (1, 3, 5, 10)
    ),
    column("mrr", sa.Double, "Mean reciprocal rank", unit="ratio", nullable=False),
    column("mean_percentile", sa.Double, "Mean of (pool size - rank) / (pool size - 1)", unit="ratio", nullable=False),
    column("top5_low", sa.Double, "Lower end of top5's 95% interval, bootstrap by event", unit="ratio", nullable=False),
    column("top5_high", sa.Double, "Upper end of it", unit="ratio", nullable=False),
    column("data_hash", sa.Text, "Hash of the data and of what ranks", nullable=False),
    column("computed_at", sa.TIMESTAMP, "When it was computed", nullable=False, on_update="change"),
    one_of("source", BACKTEST_SOURCES),
    schema="out",
    comment="TOP-k of the ranking by offset, source and rule (paper, Table III)",
)

RANKING_BACKTEST_EVENTS = sa.Table(
    "ranking_backtest_events",
    METADATA,
    key("data", sa.Text, "Name of the data"),
    key("pool", sa.Text, "Whom the coin is ranked against"),
    key("source", sa.Text, "Metrics that were used: trades, books, both"),
    key("rule", sa.Text, "Score rule, baselines included"),
    key("offset_seconds", sa.Integer, "Seconds before the announced start", unit="s"),
    key("event_id", sa.Text, "Event of the data"),
    column("symbol", sa.Text, "Coin", nullable=False),
    column("mean_rank", sa.Double, "Mean rank over the draws; a missing score counts as last", nullable=False),
    one_of("source", BACKTEST_SOURCES),
    schema="out",
    comment="Where each event's coin stood in the backtest",
)
