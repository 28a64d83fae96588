"""Market plane: instruments, metrics, snapshots, candidates

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bucket_commits",
        sa.Column("exchange", sa.Text(), autoincrement=False, nullable=False, comment="Exchange, canonical lower-case id"),
        sa.Column("shard", sa.Text(), autoincrement=False, nullable=False, comment="Part of the exchange's instruments, i/n"),
        sa.Column("bucket_end_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="End of the 5 s bucket"),
        sa.Column("watched", sa.Integer(), autoincrement=False, nullable=False, comment="Instruments of the shard"),
        sa.Column(
            "blind",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="Instruments the feed was blind for, in a part of the bucket",
        ),
        sa.Column("book_rows", sa.Integer(), autoincrement=False, nullable=False, comment="Rows written to order_book_metrics"),
        sa.Column("trade_rows", sa.Integer(), autoincrement=False, nullable=False, comment="Rows written to trade_metrics"),
        sa.Column("book_updates", sa.Integer(), autoincrement=False, nullable=False, comment="Books received"),
        sa.Column("trades", sa.Integer(), autoincrement=False, nullable=False, comment="Trades received"),
        sa.Column(
            "unusable_books",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="Empty, one-sided or crossed books among the last ones",
        ),
        sa.Column("rejected_frames", sa.Integer(), autoincrement=False, nullable=False, comment="Frames refused as malformed or absurd"),
        sa.Column(
            "duplicates",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="Frames and trades dropped because they came twice or too late",
        ),
        sa.Column("is_gap", sa.Boolean(), autoincrement=False, nullable=False, comment="True when any instrument was blind"),
        sa.Column("is_spilled", sa.Boolean(), autoincrement=False, nullable=False, comment="True when it waited on disk for the database"),
        sa.Column("lag_seconds", sa.Double(), autoincrement=False, nullable=False, comment="From the bucket's end to the commit"),
        sa.Column(
            "clock_offset_seconds", sa.Double(), autoincrement=False, nullable=True, comment="Exchange's clock minus ours, as last measured"
        ),
        sa.Column(
            "lease_epoch", sa.BigInteger(), autoincrement=False, nullable=False, comment="Epoch of the lease under which it was written"
        ),
        sa.Column("committed_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When it was written"),
        sa.PrimaryKeyConstraint("exchange", "shard", "bucket_end_at", name=op.f("bucket_commits_pkey")),
        schema="core",
        comment="One row per bucket that was written whole: its metric rows and this row are one transaction",
    )
    op.create_index(op.f("bucket_commits_bucket_end_at_idx"), "bucket_commits", ["bucket_end_at"], unique=False, schema="core")
    op.create_table(
        "candidate_coins",
        sa.Column("instrument_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Instrument"),
        sa.Column(
            "as_of_date",
            sa.Date(),
            autoincrement=False,
            nullable=False,
            comment="Day for which this was decided, with what was known by its end, UTC",
        ),
        sa.Column("exchange", sa.Text(), autoincrement=False, nullable=False, comment="Exchange, canonical lower-case id"),
        sa.Column("symbol", sa.Text(), autoincrement=False, nullable=False, comment="Pair in ccxt's spelling"),
        sa.Column("coin_id", sa.BigInteger(), autoincrement=False, nullable=True, comment="CoinMarketCap's id of the coin, if linked"),
        sa.Column(
            "market_cap_usd",
            sa.Double(),
            autoincrement=False,
            nullable=True,
            comment="Market capitalisation as known that day; NULL if unreported",
        ),
        sa.Column("cap_source", sa.Text(), autoincrement=False, nullable=False, comment="Where the market capitalisation comes from"),
        sa.Column(
            "cap_as_of", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=True, comment="Time of the snapshot it was read from"
        ),
        sa.Column("is_candidate", sa.Boolean(), autoincrement=False, nullable=False, comment="True when the coin is watched and ranked"),
        sa.Column("reason", sa.Text(), autoincrement=False, nullable=False, comment="Why it is in or out"),
        sa.CheckConstraint(
            "cap_source IN ('coinmarketcap', 'self-reported', 'coincodex', 'unreported', 'unlinked')",
            name=op.f("candidate_coins_cap_source_check"),
        ),
        sa.PrimaryKeyConstraint("instrument_id", "as_of_date", name=op.f("candidate_coins_pkey")),
        schema="core",
        comment="The market-cap filter of the paper's section V-B: each instrument's decision per day, with its reason",
    )
    op.create_index(
        op.f("candidate_coins_as_of_date_exchange_idx"), "candidate_coins", ["as_of_date", "exchange"], unique=False, schema="core"
    )
    op.create_table(
        "coin_links",
        sa.Column("instrument_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Instrument"),
        sa.Column(
            "coin_id",
            sa.BigInteger(),
            autoincrement=False,
            nullable=True,
            comment="CoinMarketCap's id of the coin it trades; NULL where none could be linked",
        ),
        sa.Column(
            "method",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="How it was linked: by contract, by symbol and name, by a symbol only one coin has, or not",
        ),
        sa.Column(
            "rivals", postgresql.ARRAY(sa.BigInteger()), autoincrement=False, nullable=False, comment="Other coins that share the symbol"
        ),
        sa.Column("reason", sa.Text(), autoincrement=False, nullable=False, comment="In words: what decided, or why nothing did"),
        sa.Column("linked_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When this was decided"),
        sa.CheckConstraint("method IN ('contract', 'name', 'symbol', 'none')", name=op.f("coin_links_method_check")),
        sa.PrimaryKeyConstraint("instrument_id", name=op.f("coin_links_pkey")),
        schema="core",
        comment="Which coin an instrument trades; instruments that could not be linked stand here too, with the reason",
    )
    op.create_index(op.f("coin_links_coin_id_idx"), "coin_links", ["coin_id"], unique=False, schema="core")
    op.create_table(
        "feed_gaps",
        sa.Column("gap_id", sa.Text(), autoincrement=False, nullable=False, comment="Hash of exchange, shard, first instrument and start"),
        sa.Column("exchange", sa.Text(), autoincrement=False, nullable=False, comment="Exchange, canonical lower-case id"),
        sa.Column("shard", sa.Text(), autoincrement=False, nullable=False, comment="Part of the exchange's instruments, i/n"),
        sa.Column(
            "instrument_ids",
            postgresql.ARRAY(sa.BigInteger()),
            autoincrement=False,
            nullable=False,
            comment="Instruments that were not seen",
        ),
        sa.Column(
            "started_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="Last moment they were known to be seen"
        ),
        sa.Column(
            "ended_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=True, comment="First book after it; NULL while it lasts"
        ),
        sa.Column(
            "reason",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="Why: start, killed, stalled, unwatched, spill full, or what the connection suffered",
        ),
        sa.PrimaryKeyConstraint("gap_id", name=op.f("feed_gaps_pkey")),
        schema="core",
        comment="Spans in which a feed was blind for some instruments",
    )
    op.create_index(op.f("feed_gaps_exchange_started_at_idx"), "feed_gaps", ["exchange", "started_at"], unique=False, schema="core")
    op.create_table(
        "instruments",
        sa.Column(
            "instrument_id",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="Hash of exchange, the exchange's own id of the market and valid_from",
        ),
        sa.Column("exchange", sa.Text(), autoincrement=False, nullable=False, comment="Exchange, canonical lower-case id"),
        sa.Column("market_id", sa.Text(), autoincrement=False, nullable=False, comment="The exchange's own id of the market"),
        sa.Column("symbol", sa.Text(), autoincrement=False, nullable=False, comment="Pair in ccxt's spelling, e.g. ABC/USDT"),
        sa.Column(
            "base_symbol",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="Base currency, upper case; no identity: several coins share one",
        ),
        sa.Column("quote_symbol", sa.Text(), autoincrement=False, nullable=False, comment="Quote currency, upper case"),
        sa.Column(
            "base_id",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="The exchange's own id of the base currency, e.g. LATOKEN's uuid",
        ),
        sa.Column("quote_id", sa.Text(), autoincrement=False, nullable=False, comment="The exchange's own id of the quote currency"),
        sa.Column(
            "base_name",
            sa.Text(),
            autoincrement=False,
            nullable=True,
            comment="The exchange's name of the base currency, where it gives one",
        ),
        sa.Column(
            "contract_address",
            sa.Text(),
            autoincrement=False,
            nullable=True,
            comment="Contract of the base currency, lower case, where the exchange gives one",
        ),
        sa.Column("price_increment", sa.Double(), autoincrement=False, nullable=True, comment="Smallest step of the price"),
        sa.Column("amount_increment", sa.Double(), autoincrement=False, nullable=True, comment="Smallest step of the quantity"),
        sa.Column(
            "is_derivative",
            sa.Boolean(),
            autoincrement=False,
            nullable=False,
            comment="True for leveraged, inverse and other derivative tokens",
        ),
        sa.Column("derivative_of", sa.Text(), autoincrement=False, nullable=True, comment="Base coin of the derivative token"),
        sa.Column("valid_from", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When we first saw the listing"),
        sa.Column(
            "valid_to", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=True, comment="When it was gone; NULL while it is listed"
        ),
        sa.PrimaryKeyConstraint("instrument_id", name=op.f("instruments_pkey")),
        schema="core",
        comment="Spot USDT markets of the exchanges with the time they were listed; a market that comes back is a new instrument",
    )
    op.create_index(op.f("instruments_exchange_market_id_idx"), "instruments", ["exchange", "market_id"], unique=False, schema="core")
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), autoincrement=False, nullable=False, comment="What is leased, e.g. collect:kucoin:1/1"),
        sa.Column("holder", sa.Text(), autoincrement=False, nullable=False, comment="Host and process that holds it"),
        sa.Column(
            "epoch", sa.BigInteger(), autoincrement=False, nullable=False, comment="Grows with every new holder; checked in every write"
        ),
        sa.Column(
            "expires_at",
            sa.TIMESTAMP(timezone=True),
            autoincrement=False,
            nullable=False,
            comment="Free for others from then on, by the database's clock",
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("leases_pkey")),
        schema="core",
        comment="Who may write what: one holder per shard or watch, fenced by an increasing epoch",
    )
    op.create_table(
        "metric_rollups",
        sa.Column("instrument_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Instrument"),
        sa.Column("hour_end_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="End of the hour"),
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
        sa.PrimaryKeyConstraint("instrument_id", "hour_end_at", name=op.f("metric_rollups_pkey")),
        schema="core",
        comment="Mergeable moments of every metric over the hour's non-overlapping windows of each horizon: the history that ranking reads",
    )
    op.create_index(op.f("metric_rollups_hour_end_at_idx"), "metric_rollups", ["hour_end_at"], unique=False, schema="core")
    op.create_table(
        "order_book_metrics",
        sa.Column("instrument_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Instrument"),
        sa.Column(
            "bucket_end_at",
            sa.TIMESTAMP(timezone=True),
            autoincrement=False,
            nullable=False,
            comment="End of the 5 s bucket, by our clock; the state is that of the last book in it",
        ),
        sa.Column("mid_price", sa.Double(), autoincrement=False, nullable=True, comment="Middle of the best bid and ask"),
        sa.Column(
            "bid_ask_spread", sa.Double(), autoincrement=False, nullable=True, comment="Lowest ask minus highest bid (paper, Table IX)"
        ),
        sa.Column("relative_spread", sa.REAL(), autoincrement=False, nullable=True, comment="Spread divided by the mid price"),
        sa.Column(
            "average_order_size",
            sa.REAL(),
            autoincrement=False,
            nullable=True,
            comment="Mean quantity of a level, both sides (paper, Table IX)",
        ),
        sa.Column("average_order_value", sa.REAL(), autoincrement=False, nullable=True, comment="Mean value of a level, both sides"),
        sa.Column(
            "imbalance", sa.REAL(), autoincrement=False, nullable=True, comment="Bid quantity divided by ask quantity (paper, Table IX)"
        ),
        sa.Column("log_imbalance", sa.REAL(), autoincrement=False, nullable=True, comment="Natural logarithm of imbalance"),
        sa.Column(
            "imbalance_ratio",
            sa.REAL(),
            autoincrement=False,
            nullable=True,
            comment="mid (Vb - Va) / (Vb + Va), V the value of a side (paper, Table IX)",
        ),
        sa.Column("value_imbalance", sa.REAL(), autoincrement=False, nullable=True, comment="(Vb - Va) / (Vb + Va), in [-1, 1]"),
        sa.Column(
            "order_book_pressure",
            sa.REAL(),
            autoincrement=False,
            nullable=True,
            comment="Bid quantity divided by the quantity of both sides (paper, Table IX)",
        ),
        sa.Column(
            "order_book_slope",
            sa.REAL(),
            autoincrement=False,
            nullable=True,
            comment="Median over levels of the steps' difference, bid minus ask (paper, Table IX)",
        ),
        sa.Column("relative_slope", sa.REAL(), autoincrement=False, nullable=True, comment="Slope divided by the mean quantity of a level"),
        sa.Column(
            "order_flow_imbalance",
            sa.REAL(),
            autoincrement=False,
            nullable=True,
            comment="Bid quantity minus ask quantity (paper, Table IX)",
        ),
        sa.Column(
            "best_level_flow",
            sa.REAL(),
            autoincrement=False,
            nullable=True,
            comment="Cont-Kukanov-Stoikov order flow imbalance, over the bucket's updates",
        ),
        sa.Column(
            "bid_levels", sa.SmallInteger(), autoincrement=False, nullable=False, comment="Bid levels the metrics are made of, at most 20"
        ),
        sa.Column(
            "ask_levels", sa.SmallInteger(), autoincrement=False, nullable=False, comment="Ask levels the metrics are made of, at most 20"
        ),
        sa.Column("update_count", sa.Integer(), autoincrement=False, nullable=False, comment="Books received in the bucket"),
        sa.Column(
            "is_gap", sa.Boolean(), autoincrement=False, nullable=False, comment="True when the feed was blind for a part of the bucket"
        ),
        sa.PrimaryKeyConstraint("instrument_id", "bucket_end_at", name=op.f("order_book_metrics_pkey")),
        schema="core",
        comment="Order book metrics per instrument and 5 s bucket in which a book came; NULL for an empty, one-sided or crossed book",
        postgresql_partition_by="RANGE (bucket_end_at)",
    )
    op.create_index(
        op.f("order_book_metrics_bucket_end_at_idx"),
        "order_book_metrics",
        ["bucket_end_at"],
        unique=False,
        schema="core",
        postgresql_using="brin",
    )
    op.create_table(
        "trade_metrics",
        sa.Column("instrument_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Instrument"),
        sa.Column(
            "bucket_end_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="End of the 5 s bucket, by our clock"
        ),
        sa.Column("trade_count", sa.Integer(), autoincrement=False, nullable=True, comment="Number of trades"),
        sa.Column("volume", sa.REAL(), autoincrement=False, nullable=True, comment="Quantity traded"),
        sa.Column("quote_volume", sa.REAL(), autoincrement=False, nullable=True, comment="Value traded"),
        sa.Column("taker_buy_volume", sa.REAL(), autoincrement=False, nullable=True, comment="Quantity bought by takers"),
        sa.Column("taker_sell_volume", sa.REAL(), autoincrement=False, nullable=True, comment="Quantity sold by takers"),
        sa.Column(
            "taker_imbalance", sa.REAL(), autoincrement=False, nullable=True, comment="(taker buys - taker sells) / volume, in [-1, 1]"
        ),
        sa.Column(
            "average_trade_size",
            sa.REAL(),
            autoincrement=False,
            nullable=True,
            comment="Mean quantity of a trade (paper, Table IX: average order size)",
        ),
        sa.Column("average_trade_value", sa.REAL(), autoincrement=False, nullable=True, comment="Mean value of a trade"),
        sa.Column(
            "liquidity_consumption",
            sa.REAL(),
            autoincrement=False,
            nullable=True,
            comment="Executed quantity (paper, Table IX), here the same as volume",
        ),
        sa.Column("liquidity_consumption_value", sa.REAL(), autoincrement=False, nullable=True, comment="Executed value"),
        sa.Column(
            "market_orders_impact", sa.REAL(), autoincrement=False, nullable=True, comment="Taker buys plus taker sells (paper, Table IX)"
        ),
        sa.Column("vwap", sa.Double(), autoincrement=False, nullable=True, comment="Volume-weighted average price"),
        sa.Column(
            "vwap_log_return",
            sa.REAL(),
            autoincrement=False,
            nullable=True,
            comment="Natural logarithm of vwap over the vwap of the last bucket that traded",
        ),
        sa.Column("first_price", sa.Double(), autoincrement=False, nullable=True, comment="Price of the first trade"),
        sa.Column("last_price", sa.Double(), autoincrement=False, nullable=True, comment="Price of the last trade"),
        sa.Column("high_price", sa.Double(), autoincrement=False, nullable=True, comment="Highest price"),
        sa.Column("low_price", sa.Double(), autoincrement=False, nullable=True, comment="Lowest price"),
        sa.Column("high_low_spread", sa.Double(), autoincrement=False, nullable=True, comment="Highest minus lowest price (paper)"),
        sa.Column("relative_high_low_spread", sa.REAL(), autoincrement=False, nullable=True, comment="High-low spread divided by vwap"),
        sa.Column(
            "relative_impact",
            sa.REAL(),
            autoincrement=False,
            nullable=True,
            comment="(last - first price) / first price of the bucket's trades (paper, Table IX)",
        ),
        sa.Column(
            "walk_impact",
            sa.REAL(),
            autoincrement=False,
            nullable=True,
            comment="Relative change of the best price if takers' net quantity walked the book before the bucket",
        ),
        sa.Column(
            "is_gap", sa.Boolean(), autoincrement=False, nullable=False, comment="True when the feed was blind for a part of the bucket"
        ),
        sa.PrimaryKeyConstraint("instrument_id", "bucket_end_at", name=op.f("trade_metrics_pkey")),
        schema="core",
        comment="Trade metrics per instrument and 5 s bucket in which it traded",
        postgresql_partition_by="RANGE (bucket_end_at)",
    )
    op.create_index(
        op.f("trade_metrics_bucket_end_at_idx"), "trade_metrics", ["bucket_end_at"], unique=False, schema="core", postgresql_using="brin"
    )
    op.create_table(
        "coincodex_daily",
        sa.Column("coin_id", sa.Text(), autoincrement=False, nullable=False, comment="CoinCodex's own short name of the coin"),
        sa.Column("day", sa.Date(), autoincrement=False, nullable=False, comment="Day, UTC"),
        sa.Column("symbol", sa.Text(), autoincrement=False, nullable=False, comment="Symbol; no identity"),
        sa.Column("name", sa.Text(), autoincrement=False, nullable=True, comment="Name of the coin"),
        sa.Column("price_usd", sa.Double(), autoincrement=False, nullable=True, comment="Price at the day's end"),
        sa.Column("market_cap_usd", sa.Double(), autoincrement=False, nullable=True, comment="Market capitalisation at the day's end"),
        sa.Column("volume_usd", sa.Double(), autoincrement=False, nullable=True, comment="Value traded that day"),
        sa.Column(
            "payload",
            postgresql.JSONB(astext_type=sa.Text()),
            autoincrement=False,
            nullable=False,
            comment="The vendor's own rows of that day",
        ),
        sa.Column("ingested_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When it was read"),
        sa.PrimaryKeyConstraint("coin_id", "day", name=op.f("coincodex_daily_pkey")),
        schema="raw",
        comment="Historical market capitalisation, price and volume by day, from CoinCodex",
    )
    op.create_index(op.f("coincodex_daily_day_idx"), "coincodex_daily", ["day"], unique=False, schema="raw")
    op.create_table(
        "coinmarketcap_snapshots",
        sa.Column(
            "coin_id",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="CoinMarketCap's id of the coin: the identity of a coin in this database",
        ),
        sa.Column(
            "snapshot_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When the snapshot was asked for"
        ),
        sa.Column("symbol", sa.Text(), autoincrement=False, nullable=False, comment="Symbol; no identity: several coins share one"),
        sa.Column("name", sa.Text(), autoincrement=False, nullable=False, comment="Name of the coin"),
        sa.Column("slug", sa.Text(), autoincrement=False, nullable=False, comment="Name in CoinMarketCap's addresses"),
        sa.Column("price_usd", sa.Double(), autoincrement=False, nullable=True, comment="Price"),
        sa.Column(
            "market_cap_usd",
            sa.Double(),
            autoincrement=False,
            nullable=True,
            comment="Market capitalisation; NULL or 0 where CoinMarketCap verified none",
        ),
        sa.Column(
            "self_reported_market_cap_usd",
            sa.Double(),
            autoincrement=False,
            nullable=True,
            comment="Market capitalisation as the project reports it",
        ),
        sa.Column("circulating_supply", sa.Double(), autoincrement=False, nullable=True, comment="Circulating supply"),
        sa.Column(
            "self_reported_circulating_supply",
            sa.Double(),
            autoincrement=False,
            nullable=True,
            comment="Circulating supply as the project reports it",
        ),
        sa.Column("volume_24h_usd", sa.Double(), autoincrement=False, nullable=True, comment="Value traded in 24 h"),
        sa.Column("rank", sa.Integer(), autoincrement=False, nullable=True, comment="CoinMarketCap's rank"),
        sa.Column(
            "platform_name",
            sa.Text(),
            autoincrement=False,
            nullable=True,
            comment="Platform a token lives on, e.g. Ethereum; NULL for a coin of its own chain",
        ),
        sa.Column(
            "contract_address", sa.Text(), autoincrement=False, nullable=True, comment="The token's contract on that platform, lower case"
        ),
        sa.Column(
            "token_standard",
            sa.Text(),
            autoincrement=False,
            nullable=True,
            comment="Token standard that follows from the platform, e.g. ERC-20",
        ),
        sa.Column("added_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=True, comment="When CoinMarketCap listed it"),
        sa.Column("is_active", sa.Boolean(), autoincrement=False, nullable=False, comment="False once CoinMarketCap no longer tracks it"),
        sa.Column(
            "payload", postgresql.JSONB(astext_type=sa.Text()), autoincrement=False, nullable=False, comment="The vendor's own object"
        ),
        sa.PrimaryKeyConstraint("coin_id", "snapshot_at", name=op.f("coinmarketcap_snapshots_pkey")),
        schema="raw",
        comment="Market capitalisation and metadata of coins as CoinMarketCap gave them at a time",
    )
    op.create_index(op.f("coinmarketcap_snapshots_symbol_idx"), "coinmarketcap_snapshots", ["symbol"], unique=False, schema="raw")
    op.create_table(
        "lunarcrush_snapshots",
        sa.Column("coin_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="LunarCrush's id of the coin"),
        sa.Column(
            "snapshot_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When the snapshot was asked for"
        ),
        sa.Column("symbol", sa.Text(), autoincrement=False, nullable=False, comment="Symbol; no identity"),
        sa.Column("name", sa.Text(), autoincrement=False, nullable=True, comment="Name of the coin"),
        sa.Column("price_usd", sa.Double(), autoincrement=False, nullable=True, comment="Price"),
        sa.Column("market_cap_usd", sa.Double(), autoincrement=False, nullable=True, comment="Market capitalisation"),
        sa.Column("volume_24h_usd", sa.Double(), autoincrement=False, nullable=True, comment="Value traded in 24 h"),
        sa.Column("likes", sa.BigInteger(), autoincrement=False, nullable=True, comment="Likes in 24 h"),
        sa.Column("shares", sa.BigInteger(), autoincrement=False, nullable=True, comment="Shares in 24 h"),
        sa.Column("interactions", sa.BigInteger(), autoincrement=False, nullable=True, comment="Interactions in 24 h"),
        sa.Column("social_dominance", sa.Double(), autoincrement=False, nullable=True, comment="Share of all social volume"),
        sa.Column(
            "sentiment",
            sa.Double(),
            autoincrement=False,
            nullable=True,
            comment="Share of posts that are positive, weighted by interactions",
        ),
        sa.Column("posts_created", sa.BigInteger(), autoincrement=False, nullable=True, comment="Posts created in 24 h"),
        sa.Column("posts_active", sa.BigInteger(), autoincrement=False, nullable=True, comment="Posts with interactions in 24 h"),
        sa.Column("contributors", sa.BigInteger(), autoincrement=False, nullable=True, comment="People who posted in 24 h"),
        sa.Column("galaxy_score", sa.Double(), autoincrement=False, nullable=True, comment="LunarCrush's Galaxy Score"),
        sa.Column("alt_rank", sa.Integer(), autoincrement=False, nullable=True, comment="LunarCrush's AltRank"),
        sa.Column(
            "payload", postgresql.JSONB(astext_type=sa.Text()), autoincrement=False, nullable=False, comment="The vendor's own object"
        ),
        sa.PrimaryKeyConstraint("coin_id", "snapshot_at", name=op.f("lunarcrush_snapshots_pkey")),
        schema="raw",
        comment="Social metrics of coins as LunarCrush gave them at a time",
    )
    op.create_table(
        "ohlcv_daily",
        sa.Column("exchange", sa.Text(), autoincrement=False, nullable=False, comment="Exchange, canonical lower-case id"),
        sa.Column("symbol", sa.Text(), autoincrement=False, nullable=False, comment="Pair in ccxt's spelling, e.g. ABC/USDT"),
        sa.Column("day", sa.Date(), autoincrement=False, nullable=False, comment="Day, UTC"),
        sa.Column("open", sa.Double(), autoincrement=False, nullable=False, comment="First price"),
        sa.Column("high", sa.Double(), autoincrement=False, nullable=False, comment="Highest price"),
        sa.Column("low", sa.Double(), autoincrement=False, nullable=False, comment="Lowest price"),
        sa.Column("close", sa.Double(), autoincrement=False, nullable=False, comment="Last price"),
        sa.Column("volume", sa.Double(), autoincrement=False, nullable=False, comment="Quantity traded"),
        sa.Column("quote_volume", sa.Double(), autoincrement=False, nullable=True, comment="Value traded, where the source gives it"),
        sa.Column(
            "trade_count", sa.BigInteger(), autoincrement=False, nullable=True, comment="Number of trades, where the source gives it"
        ),
        sa.Column(
            "source",
            sa.Text(),
            autoincrement=False,
            nullable=False,
            comment="ohlcv: the exchange's candles; trades, ticker: made from those, where it has no candles",
        ),
        sa.Column(
            "is_complete",
            sa.Boolean(),
            autoincrement=False,
            nullable=False,
            comment="False while the day lasts, or when the source did not reach back to its start",
        ),
        sa.Column("ingested_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When it was read"),
        sa.CheckConstraint("source IN ('ohlcv', 'trades', 'ticker')", name=op.f("ohlcv_daily_source_check")),
        sa.PrimaryKeyConstraint("exchange", "symbol", "day", name=op.f("ohlcv_daily_pkey")),
        schema="raw",
        comment="Daily candles of spot USDT pairs, as the exchanges give them; gaps are listed in raw.ohlcv_gaps, never filled",
    )
    op.create_index(op.f("ohlcv_daily_day_idx"), "ohlcv_daily", ["day"], unique=False, schema="raw")
    op.create_table(
        "ohlcv_gaps",
        sa.Column("exchange", sa.Text(), autoincrement=False, nullable=False, comment="Exchange, canonical lower-case id"),
        sa.Column("symbol", sa.Text(), autoincrement=False, nullable=False, comment="Pair in ccxt's spelling"),
        sa.Column("day", sa.Date(), autoincrement=False, nullable=False, comment="Day, UTC"),
        sa.Column("reason", sa.Text(), autoincrement=False, nullable=False, comment="Why there is no candle"),
        sa.Column("detail", sa.Text(), autoincrement=False, nullable=True, comment="What the exchange said"),
        sa.Column("asked_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="When we asked last"),
        sa.CheckConstraint("reason IN ('no candle', 'not listed', 'refused')", name=op.f("ohlcv_gaps_reason_check")),
        sa.PrimaryKeyConstraint("exchange", "symbol", "day", name=op.f("ohlcv_gaps_pkey")),
        schema="raw",
        comment="Days for which a pair was asked for its candle and gave none",
    )
    op.create_table(
        "vendor_quotas",
        sa.Column("vendor", sa.Text(), autoincrement=False, nullable=False, comment="Vendor, lower case"),
        sa.Column("day", sa.Date(), autoincrement=False, nullable=False, comment="Day, UTC"),
        sa.Column("requests", sa.BigInteger(), autoincrement=False, nullable=False, comment="Requests sent, retries included"),
        sa.Column("credits", sa.BigInteger(), autoincrement=False, nullable=False, comment="Credits the vendor says they cost"),
        sa.Column("refusals", sa.BigInteger(), autoincrement=False, nullable=False, comment="Answers 429 and 402"),
        sa.Column("last_request_at", sa.TIMESTAMP(timezone=True), autoincrement=False, nullable=False, comment="Last request"),
        sa.PrimaryKeyConstraint("vendor", "day", name=op.f("vendor_quotas_pkey")),
        schema="raw",
        comment="What was asked of each vendor per day, against its quota",
    )


def downgrade() -> None:
    op.drop_table("vendor_quotas", schema="raw")
    op.drop_table("ohlcv_gaps", schema="raw")
    op.drop_index(op.f("ohlcv_daily_day_idx"), table_name="ohlcv_daily", schema="raw")
    op.drop_table("ohlcv_daily", schema="raw")
    op.drop_table("lunarcrush_snapshots", schema="raw")
    op.drop_index(op.f("coinmarketcap_snapshots_symbol_idx"), table_name="coinmarketcap_snapshots", schema="raw")
    op.drop_table("coinmarketcap_snapshots", schema="raw")
    op.drop_index(op.f("coincodex_daily_day_idx"), table_name="coincodex_daily", schema="raw")
    op.drop_table("coincodex_daily", schema="raw")
    op.drop_index(op.f("trade_metrics_bucket_end_at_idx"), table_name="trade_metrics", schema="core", postgresql_using="brin")
    op.drop_table("trade_metrics", schema="core")
    op.drop_index(op.f("order_book_metrics_bucket_end_at_idx"), table_name="order_book_metrics", schema="core", postgresql_using="brin")
    op.drop_table("order_book_metrics", schema="core")
    op.drop_index(op.f("metric_rollups_hour_end_at_idx"), table_name="metric_rollups", schema="core")
    op.drop_table("metric_rollups", schema="core")
    op.drop_table("leases", schema="core")
    op.drop_index(op.f("instruments_exchange_market_id_idx"), table_name="instruments", schema="core")
    op.drop_table("instruments", schema="core")
    op.drop_index(op.f("feed_gaps_exchange_started_at_idx"), table_name="feed_gaps", schema="core")
    op.drop_table("feed_gaps", schema="core")
    op.drop_index(op.f("coin_links_coin_id_idx"), table_name="coin_links", schema="core")
    op.drop_table("coin_links", schema="core")
    op.drop_index(op.f("candidate_coins_as_of_date_exchange_idx"), table_name="candidate_coins", schema="core")
    op.drop_table("candidate_coins", schema="core")
    op.drop_index(op.f("bucket_commits_bucket_end_at_idx"), table_name="bucket_commits", schema="core")
    op.drop_table("bucket_commits", schema="core")
