"""watches rankings alerts and backtests

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "metric_rollup_blocks",
        sa.Column("instrument_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Instrument"),
        sa.Column(
            "block_end_at",
            sa.TIMESTAMP(timezone=True),
            autoincrement=False,
            nullable=False,
            comment="End of the six hours, at 0, 6, 12 or 18 h UTC",
        ),
        sa.Column(
            "layout",
            sa.SmallInteger(),
            autoincrement=False,
            nullable=False,
            comment="Which metrics and horizons the arrays hold, in which order",
        ),
        sa.Column("n", postgresql.ARRAY(sa.SmallInteger()), autoincrement=False, nullable=False, comment="Windows, by metric and horizon"),
        sa.Column(
            "mean", postgresql.ARRAY(sa.Double()), autoincrement=False, nullable=False, comment="Mean over those windows, NULL without any"
        ),
        sa.Column(
            "m2",
            postgresql.ARRAY(sa.Double()),
            autoincrement=False,
            nullable=False,
            comment="Sum of squared distances from that mean, NULL without any",
        ),
        sa.PrimaryKeyConstraint("instrument_id", "block_end_at", name=op.f("metric_rollup_blocks_pkey")),
        schema="core",
        comment="core.metric_rollups of six hours pooled: what a watch reads of them instead. Written with each of their hours",
    )
    op.create_index(op.f("metric_rollup_blocks_block_end_at_idx"), "metric_rollup_blocks", ["block_end_at"], unique=False, schema="core")
    op.create_table(
        "alert_mutes",
        sa.Column(
            "scope",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="all, stage:NAME, exchange:ID, symbol:BASE, channel:NAME or pump:ID",
        ),
        sa.Column(
            "until",
            sa.TIMESTAMP(timezone=True),
            autoincrement=False,
            nullable=False,
            comment="Alerts of that scope are not delivered before",
        ),
        sa.Column("reason", sa.Text(), autoincrement=False, nullable=True, comment="Why, in somebody's words"),
        sa.Column("muted_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When it was said"),
        sa.PrimaryKeyConstraint("scope", name=op.f("alert_mutes_pkey")),
        schema="out",
        comment="What nobody wants to be alerted of for a while",
    )
    op.create_table(
        "alerts",
        sa.Column(
            "alert_id",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="Hash of stage, subject and occasion: the same alert is queued once",
        ),
        sa.Column("channel", sa.Text(), autoincrement=False, nullable=False, comment="Where it goes: webhook, file, log, e-mail"),
        sa.Column("stage", sa.Text(), autoincrement=False, nullable=False, comment="Stage of the pump"),
        sa.Column("subject_id", sa.Text(), autoincrement=False, nullable=False, comment="Pump, watch or detection it tells of"),
        sa.Column("exchange", sa.Text(), autoincrement=False, nullable=True, comment="Exchange, canonical lower-case id"),
        sa.Column("symbol", sa.Text(), autoincrement=False, nullable=True, comment="Coin it names, upper case"),
        sa.Column("title", sa.Text(), autoincrement=False, nullable=False, comment="One line"),
        sa.Column(
            "body",
            postgresql.JSONB(astext_type=sa.Text()),
            autoincrement=False,
            nullable=False,
            comment="Evidence, ranking and disclaimer, as it is sent",
        ),
        sa.Column("state", sa.Text(), autoincrement=False, nullable=False, comment="Whether it was delivered"),
        sa.Column("attempts", sa.Integer(), autoincrement=False, nullable=False, comment="Deliveries that were tried"),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When it was queued"),
        sa.Column("next_attempt_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="Not to be tried before"),
        sa.Column("sent_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=True, comment="When the other side accepted it"),
        sa.Column("last_error", sa.Text(), autoincrement=False, nullable=True, comment="Why the last attempt failed, or why it is muted"),
        sa.CheckConstraint(
            "stage IN ('announced', 'candidates', 'target suspected', 'released', 'over', 'cancelled', 'detected', 'test')",
            name=op.f("alerts_stage_check"),
        ),
        sa.CheckConstraint("state IN ('pending', 'sent', 'failed', 'muted')", name=op.f("alerts_state_check")),
        sa.PrimaryKeyConstraint("alert_id", "channel", name=op.f("alerts_pkey")),
        schema="out",
        comment="Outbox of alerts: delivered at least once, under a key by which a receiver knows repetitions",
    )
    op.create_index(op.f("alerts_state_next_attempt_at_idx"), "alerts", ["state", "next_attempt_at"], unique=False, schema="out")
    op.create_index(op.f("alerts_subject_id_idx"), "alerts", ["subject_id"], unique=False, schema="out")
    op.create_table(
        "detected_pumps",
        sa.Column("detection_id", sa.Text(), autoincrement=False, nullable=False, comment="Hash of instrument and first bucket"),
        sa.Column("instrument_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Instrument"),
        sa.Column("exchange", sa.Text(), autoincrement=False, nullable=False, comment="Exchange, canonical lower-case id"),
        sa.Column("symbol", sa.Text(), autoincrement=False, nullable=False, comment="Base symbol, upper case"),
        sa.Column(
            "detected_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="End of the bucket that raised it"
        ),
        sa.Column("volume_z", sa.REAL(), autoincrement=False, nullable=False, comment="z of what takers bought"),
        sa.Column("trades_z", sa.REAL(), autoincrement=False, nullable=False, comment="z of the number of trades"),
        sa.Column("price_change", sa.REAL(), autoincrement=False, nullable=False, comment="Price over that of the window before, minus 1"),
        sa.Column("reason", sa.Text(), autoincrement=False, nullable=False, comment="What stood out, in words"),
        sa.Column("pump_id", sa.Text(), autoincrement=False, nullable=True, comment="Scheduled pump that was announced for then, if any"),
        sa.PrimaryKeyConstraint("detection_id", name=op.f("detected_pumps_pkey")),
        schema="out",
        comment="Pumps seen on the streams after their start, announced or not",
    )
    op.create_index(op.f("detected_pumps_detected_at_idx"), "detected_pumps", ["detected_at"], unique=False, schema="out")
    op.create_table(
        "ranking_backtest",
        sa.Column("data", sa.Text(), autoincrement=False, nullable=False, comment="Name of the data"),
        sa.Column(
            "pool",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="Whom the coin is ranked against: surrogate, or the exchange's candidates",
        ),
        sa.Column("source", sa.Text(), autoincrement=False, nullable=False, comment="Metrics that were used: trades, books, both"),
        sa.Column("rule", sa.Text(), autoincrement=False, nullable=False, comment="Score rule, baselines included"),
        sa.Column("offset_seconds", sa.Integer(), autoincrement=False, nullable=False, comment="Seconds before the announced start"),
        sa.Column(
            "is_synthetic",
            sa.Boolean(),
            autoincrement=False,
            nullable=False,
            comment="True for simulated markets: proves machinery, never skill",
        ),
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False, comment="Events"),
        sa.Column("pool_size", sa.Integer(), autoincrement=False, nullable=False, comment="Coins that are ranked, the pumped one included"),
        sa.Column(
            "active_coins", sa.REAL(), autoincrement=False, nullable=False, comment="Mean number of coins of a pool that had any score"
        ),
        sa.Column("top1", sa.Double(), autoincrement=False, nullable=False, comment="Share of events whose coin is among the first 1"),
        sa.Column("top3", sa.Double(), autoincrement=False, nullable=False, comment="Share of events whose coin is among the first 3"),
        sa.Column("top5", sa.Double(), autoincrement=False, nullable=False, comment="Share of events whose coin is among the first 5"),
        sa.Column("top10", sa.Double(), autoincrement=False, nullable=False, comment="Share of events whose coin is among the first 10"),
        sa.Column("mrr", sa.Double(), autoincrement=False, nullable=False, comment="Mean reciprocal rank"),
        sa.Column(
            "mean_percentile", sa.Double(), autoincrement=False, nullable=False, comment="Mean of (pool size - rank) / (pool size - 1)"
        ),
        sa.Column(
            "top5_low", sa.Double(), autoincrement=False, nullable=False, comment="Lower end of top5's 95% interval, bootstrap by event"
        ),
        sa.Column("top5_high", sa.Double(), autoincrement=False, nullable=False, comment="Upper end of it"),
        sa.Column("data_hash", sa.Text(), autoincrement=False, nullable=False, comment="Hash of the data and of what ranks"),
        sa.Column("computed_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When it was computed"),
        sa.CheckConstraint("source IN ('trades', 'books', 'both')", name=op.f("ranking_backtest_source_check")),
        sa.PrimaryKeyConstraint("data", "pool", "source", "rule", "offset_seconds", name=op.f("ranking_backtest_pkey")),
        schema="out",
        comment="TOP-k of the ranking by offset, source and rule (paper, Table III)",
    )
    op.create_table(
        "ranking_backtest_events",
        sa.Column("data", sa.Text(), autoincrement=False, nullable=False, comment="Name of the data"),
        sa.Column("pool", sa.Text(), autoincrement=False, nullable=False, comment="Whom the coin is ranked against"),
        sa.Column("source", sa.Text(), autoincrement=False, nullable=False, comment="Metrics that were used: trades, books, both"),
        sa.Column("rule", sa.Text(), autoincrement=False, nullable=False, comment="Score rule, baselines included"),
        sa.Column("offset_seconds", sa.Integer(), autoincrement=False, nullable=False, comment="Seconds before the announced start"),
        sa.Column("event_id", sa.Text(), autoincrement=False, nullable=False, comment="Event of the data"),
        sa.Column("symbol", sa.Text(), autoincrement=False, nullable=False, comment="Coin"),
        sa.Column(
            "mean_rank",
            sa.Double(),
            autoincrement=False,
            nullable=False,
            comment="Mean rank over the draws; a missing score counts as last",
        ),
        sa.CheckConstraint("source IN ('trades', 'books', 'both')", name=op.f("ranking_backtest_events_source_check")),
        sa.PrimaryKeyConstraint("data", "pool", "source", "rule", "offset_seconds", "event_id", name=op.f("ranking_backtest_events_pkey")),
        schema="out",
        comment="Where each event's coin stood in the backtest",
    )
    op.create_table(
        "ranking_ticks",
        sa.Column("ranking_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Hash of watch, exchange and bucket"),
        sa.Column("watch_id", sa.Text(), autoincrement=False, nullable=False, comment="Watch"),
        sa.Column("exchange", sa.Text(), autoincrement=False, nullable=False, comment="Exchange, canonical lower-case id"),
        sa.Column(
            "bucket_end_at",
            sa.TIMESTAMP(timezone=True),
            autoincrement=False,
            nullable=False,
            comment="End of the last bucket that was ranked",
        ),
        sa.Column(
            "lead_seconds",
            sa.Double(),
            autoincrement=False,
            nullable=False,
            comment="From the bucket's end to the announced start; negative after it",
        ),
        sa.Column("score_rule", sa.Text(), autoincrement=False, nullable=False, comment="Rule that scored"),
        sa.Column("candidates", sa.Integer(), autoincrement=False, nullable=False, comment="Instruments that were ranked"),
        sa.Column(
            "active",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="Those that had any score; the others stand at the neutral one",
        ),
        sa.Column("lag_seconds", sa.Double(), autoincrement=False, nullable=False, comment="From the bucket's end to this row"),
        sa.Column("lease_epoch", sa.BigInteger(), autoincrement=False, nullable=False, comment="Epoch of the watch's lease"),
        sa.PrimaryKeyConstraint("ranking_id", name=op.f("ranking_ticks_pkey")),
        schema="out",
        comment="Ticks that were ranked: the rows of target_rankings and this row are one transaction",
    )
    op.create_index(op.f("ranking_ticks_bucket_end_at_idx"), "ranking_ticks", ["bucket_end_at"], unique=False, schema="out")
    op.create_index(
        op.f("ranking_ticks_watch_id_exchange_bucket_end_at_idx"),
        "ranking_ticks",
        ["watch_id", "exchange", "bucket_end_at"],
        unique=False,
        schema="out",
    )
    op.create_table(
        "target_rankings",
        sa.Column("ranking_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Tick, see ranking_ticks"),
        sa.Column("instrument_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Instrument"),
        sa.Column(
            "bucket_end_at",
            sa.TIMESTAMP(timezone=True),
            autoincrement=False,
            nullable=False,
            comment="End of the last bucket that was ranked",
        ),
        sa.Column(
            "rank",
            sa.REAL(),
            autoincrement=False,
            nullable=False,
            comment="Rank among the exchange's candidates, 1 is the most suspected; ties have their mean rank",
        ),
        sa.Column(
            "score",
            sa.REAL(),
            autoincrement=False,
            nullable=False,
            comment="Score, normalised across the exchange's candidates; 0 is neutral",
        ),
        sa.Column(
            "is_active",
            sa.Boolean(),
            autoincrement=False,
            nullable=False,
            comment="False where nothing was known: the score is the neutral one",
        ),
        sa.Column(
            "z",
            postgresql.ARRAY(sa.REAL()),
            autoincrement=False,
            nullable=True,
            comment="z by metric and horizon in the rule's order, for the best 50 and at reported offsets; NaN if unknown",
        ),
        sa.PrimaryKeyConstraint("ranking_id", "instrument_id", "bucket_end_at", name=op.f("target_rankings_pkey")),
        schema="out",
        comment="Rank of each candidate at each tick of a watch",
        postgresql_partition_by="RANGE (bucket_end_at)",
    )
    op.create_index(
        op.f("target_rankings_bucket_end_at_idx"), "target_rankings", ["bucket_end_at"], unique=False, schema="out", postgresql_using="brin"
    )
    op.create_table(
        "watch_results",
        sa.Column("watch_id", sa.Text(), autoincrement=False, nullable=False, comment="Watch"),
        sa.Column("event_id", sa.Text(), autoincrement=False, nullable=False, comment="Event that was released"),
        sa.Column(
            "offset_seconds", sa.Integer(), autoincrement=False, nullable=False, comment="Seconds before the release that are looked at"
        ),
        sa.Column("exchange", sa.Text(), autoincrement=False, nullable=False, comment="Exchange of the released coin"),
        sa.Column("symbol", sa.Text(), autoincrement=False, nullable=False, comment="Coin, upper case"),
        sa.Column(
            "instrument_id",
            sa.BigInteger(),
            autoincrement=False,
            nullable=True,
            comment="Instrument of the coin; NULL if it is no candidate",
        ),
        sa.Column(
            "bucket_end_at",
            sa.TIMESTAMP(timezone=True),
            autoincrement=False,
            nullable=True,
            comment="Last tick ranked by then; NULL if there was none",
        ),
        sa.Column("rank", sa.REAL(), autoincrement=False, nullable=True, comment="Rank at that tick; NULL if it was not ranked"),
        sa.Column("score", sa.REAL(), autoincrement=False, nullable=True, comment="Score at that tick"),
        sa.Column("candidates", sa.Integer(), autoincrement=False, nullable=True, comment="Instruments that were ranked then"),
        sa.Column("evaluated_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When it was found out"),
        sa.PrimaryKeyConstraint("watch_id", "event_id", "offset_seconds", name=op.f("watch_results_pkey")),
        schema="out",
        comment="Where the released coin stood so many seconds before its release: what a watch was worth",
    )
    op.create_table(
        "watches",
        sa.Column(
            "watch_id",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="pump_id:schedule_revision, or manual:exchange:time of one started by hand",
        ),
        sa.Column("pump_id", sa.Text(), autoincrement=False, nullable=True, comment="Scheduled pump; NULL for a watch started by hand"),
        sa.Column(
            "schedule_revision",
            sa.Integer(),
            autoincrement=False,
            nullable=True,
            comment="Revision of the schedule that is watched; NULL for a watch started by hand",
        ),
        sa.Column(
            "exchanges",
            postgresql.ARRAY(sa.Text()),
            autoincrement=False,
            nullable=False,
            comment="Exchanges that are ranked; all that are collected where the announcement names none",
        ),
        sa.Column("scheduled_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="Announced start of the pump"),
        sa.Column("started_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="First attempt"),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False, comment="How often it was started, from 1"),
        sa.Column("state", sa.Text(), autoincrement=False, nullable=False, comment="State: running, or how it ended"),
        sa.Column("ended_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=True, comment="When it ended; NULL while it runs"),
        sa.Column("event_id", sa.Text(), autoincrement=False, nullable=True, comment="Event that was released during it"),
        sa.Column("symbol", sa.Text(), autoincrement=False, nullable=True, comment="Coin that was released, upper case"),
        sa.Column("tick_count", sa.Integer(), autoincrement=False, nullable=False, comment="Ticks that were ranked, all exchanges"),
        sa.Column("detail", sa.Text(), autoincrement=False, nullable=True, comment="Why it ended so"),
        sa.CheckConstraint(
            "state IN ('running', 'postponed', 'cancelled', 'released', 'over', 'failed')", name=op.f("watches_state_check")
        ),
        sa.PrimaryKeyConstraint("watch_id", name=op.f("watches_pkey")),
        schema="out",
        comment="Watches of announced pumps: one per pump and revision of its schedule, however many channels announce it",
    )
    op.create_index(op.f("watches_scheduled_at_idx"), "watches", ["scheduled_at"], unique=False, schema="out")


def downgrade() -> None:
    op.drop_index(op.f("metric_rollup_blocks_block_end_at_idx"), table_name="metric_rollup_blocks", schema="core")
    op.drop_table("metric_rollup_blocks", schema="core")
    op.drop_index(op.f("watches_scheduled_at_idx"), table_name="watches", schema="out")
    op.drop_table("watches", schema="out")
    op.drop_table("watch_results", schema="out")
    op.drop_index(op.f("target_rankings_bucket_end_at_idx"), table_name="target_rankings", schema="out", postgresql_using="brin")
    op.drop_table("target_rankings", schema="out")
    op.drop_index(op.f("ranking_ticks_watch_id_exchange_bucket_end_at_idx"), table_name="ranking_ticks", schema="out")
    op.drop_index(op.f("ranking_ticks_bucket_end_at_idx"), table_name="ranking_ticks", schema="out")
    op.drop_table("ranking_ticks", schema="out")
    op.drop_table("ranking_backtest_events", schema="out")
    op.drop_table("ranking_backtest", schema="out")
    op.drop_index(op.f("detected_pumps_detected_at_idx"), table_name="detected_pumps", schema="out")
    op.drop_table("detected_pumps", schema="out")
    op.drop_index(op.f("alerts_subject_id_idx"), table_name="alerts", schema="out")
    op.drop_index(op.f("alerts_state_next_attempt_at_idx"), table_name="alerts", schema="out")
    op.drop_table("alerts", schema="out")
    op.drop_table("alert_mutes", schema="out")
