"""What exchanges list and trade: instruments, daily candles, metrics per bucket, and how complete they are.

Buckets and hours carry their *end*. Metric rows are sparse: outside a gap a missing bucket means that nothing traded and that the
last book stood; inside a gap it means that nobody looked.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from pnd_dagster.tables._columns import BIGINT_ARRAY, METADATA, column, key, one_of

OHLCV_SOURCES = ("ohlcv", "trades", "ticker")
GAP_REASONS = ("no candle", "not listed", "refused")
BUCKET_SECONDS = 5
# Order book metrics read the best levels of each side, at most this many.
BOOK_LEVELS = 20

OHLCV_DAILY = sa.Table(
    "ohlcv_daily",
    METADATA,
    key("exchange", sa.Text, "Exchange, canonical lower-case id"),
    key("symbol", sa.Text, "Pair in ccxt's spelling, e.g. ABC/USDT"),
    key("day", sa.Date, "Day, UTC"),
    column("open", sa.Double, "First price", unit="USDT", nullable=False),
    column("high", sa.Double, "Highest price", unit="USDT", nullable=False),
    column("low", sa.Double, "Lowest price", unit="USDT", nullable=False),
    column("close", sa.Double, "Last price", unit="USDT", nullable=False),
    column("volume", sa.Double, "Quantity traded", unit="base units", nullable=False),
    column("quote_volume", sa.Double, "Value traded, where the source gives it", unit="USDT"),
    column("trade_count", sa.BigInteger, "Number of trades, where the source gives it", unit="trades"),
    column("source", sa.Text, "ohlcv: the exchange's candles; trades, ticker: made from those, where it has no candles", nullable=False),
    column("is_complete", sa.Boolean, "False while the day lasts, or when the source did not reach back to its start", nullable=False),
    column("ingested_at", sa.TIMESTAMP, "When it was read", nullable=False, on_update="change"),
    one_of("source", OHLCV_SOURCES),
    sa.Index(None, "day"),
    schema="raw",
    comment="Daily candles of spot USDT pairs, as the exchanges give them; gaps are listed in raw.ohlcv_gaps, never filled",
)

OHLCV_GAPS = sa.Table(
    "ohlcv_gaps",
    METADATA,
    key("exchange", sa.Text, "Exchange, canonical lower-case id"),
    key("symbol", sa.Text, "Pair in ccxt's spelling"),
    key("day", sa.Date, "Day, UTC"),
    column("reason", sa.Text, "Why there is no candle", nullable=False),
    column("detail", sa.Text, "What the exchange said"),
    column("asked_at", sa.TIMESTAMP, "When we asked last", nullable=False, on_update="change"),
    one_of("reason", GAP_REASONS),
    schema="raw",
    comment="Days for which a pair was asked for its candle and gave none",
)

INSTRUMENTS = sa.Table(
    "instruments",
    METADATA,
    key("instrument_id", sa.BigInteger, "Hash of exchange, the exchange's own id of the market and valid_from"),
    column("exchange", sa.Text, "Exchange, canonical lower-case id", nullable=False),
    column("market_id", sa.Text, "The exchange's own id of the market", nullable=False),
    column("symbol", sa.Text, "Pair in ccxt's spelling, e.g. ABC/USDT", nullable=False),
    column("base_symbol", sa.Text, "Base currency, upper case; no identity: several coins share one", nullable=False),
    column("quote_symbol", sa.Text, "Quote currency, upper case", nullable=False),
    column("base_id", sa.Text, "The exchange's own id of the base currency, e.g. LATOKEN's uuid", nullable=False),
    column("quote_id", sa.Text, "The exchange's own id of the quote currency", nullable=False),
    column("base_name", sa.Text, "The exchange's name of the base currency, where it gives one", on_update="known"),
    column("contract_address", sa.Text, "Contract of the base currency, lower case, where the exchange gives one", on_update="known"),
    column("price_increment", sa.Double, "Smallest step of the price", unit="USDT"),
    column("amount_increment", sa.Double, "Smallest step of the quantity", unit="base units"),
    column("is_derivative", sa.Boolean, "True for leveraged, inverse and other derivative tokens", nullable=False),
    column("derivative_of", sa.Text, "Base coin of the derivative token"),
    column("valid_from", sa.TIMESTAMP, "When we first saw the listing", nullable=False, on_update="first"),
    column("valid_to", sa.TIMESTAMP, "When it was gone; NULL while it is listed"),
    sa.Index(None, "exchange", "market_id"),
    schema="core",
    comment="Spot USDT markets of the exchanges with the time they were listed; a market that comes back is a new instrument",
)

BOOK_METRIC_COLUMNS = (
    column("mid_price", sa.Double, "Middle of the best bid and ask", unit="USDT"),
    column("bid_ask_spread", sa.Double, "Lowest ask minus highest bid (paper, Table IX)", unit="USDT"),
    column("relative_spread", sa.REAL, "Spread divided by the mid price", unit="ratio"),
    column("average_order_size", sa.REAL, "Mean quantity of a level, both sides (paper, Table IX)", unit="base units"),
    column("average_order_value", sa.REAL, "Mean value of a level, both sides", unit="USDT"),
    column("imbalance", sa.REAL, "Bid quantity divided by ask quantity (paper, Table IX)", unit="ratio"),
    column("log_imbalance", sa.REAL, "Natural logarithm of imbalance", unit="ln ratio"),
    column("imbalance_ratio", sa.REAL, "mid (Vb - Va) / (Vb + Va), V the value of a side (paper, Table IX)", unit="USDT"),
    column("value_imbalance", sa.REAL, "(Vb - Va) / (Vb + Va), in [-1, 1]", unit="ratio"),
    column("order_book_pressure", sa.REAL, "Bid quantity divided by the quantity of both sides (paper, Table IX)", unit="ratio"),
    column("order_book_slope", sa.REAL, "Median over levels of the steps' difference, bid minus ask (paper, Table IX)", unit="base units"),
    column("relative_slope", sa.REAL, "Slope divided by the mean quantity of a level", unit="ratio"),
    column("order_flow_imbalance", sa.REAL, "Bid quantity minus ask quantity (paper, Table IX)", unit="base units"),
    column("best_level_flow", sa.REAL, "Cont-Kukanov-Stoikov order flow imbalance, over the bucket's updates", unit="base units"),
)

ORDER_BOOK_METRICS = sa.Table(
    "order_book_metrics",
    METADATA,
    key("instrument_id", sa.BigInteger, "Instrument"),
    key("bucket_end_at", sa.TIMESTAMP, "End of the 5 s bucket, by our clock; the state is that of the last book in it"),
    *BOOK_METRIC_COLUMNS,
    column("bid_levels", sa.SmallInteger, "Bid levels the metrics are made of, at most 20", unit="levels", nullable=False),
    column("ask_levels", sa.SmallInteger, "Ask levels the metrics are made of, at most 20", unit="levels", nullable=False),
    column("update_count", sa.Integer, "Books received in the bucket", unit="books", nullable=False),
    column("is_gap", sa.Boolean, "True when the feed was blind for a part of the bucket", nullable=False),
    sa.Index(None, "bucket_end_at", postgresql_using="brin"),
    schema="core",
    comment="Order book metrics per instrument and 5 s bucket in which a book came; NULL for an empty, one-sided or crossed book",
    postgresql_partition_by="RANGE (bucket_end_at)",
)

TRADE_METRIC_COLUMNS = (
    column("trade_count", sa.Integer, "Number of trades", unit="trades"),
    column("volume", sa.REAL, "Quantity traded", unit="base units"),
    column("quote_volume", sa.REAL, "Value traded", unit="USDT"),
    column("taker_buy_volume", sa.REAL, "Quantity bought by takers", unit="base units"),
    column("taker_sell_volume", sa.REAL, "Quantity sold by takers", unit="base units"),
    column("taker_imbalance", sa.REAL, "(taker buys - taker sells) / volume, in [-1, 1]", unit="ratio"),
    column("average_trade_size", sa.REAL, "Mean quantity of a trade (paper, Table IX: average order size)", unit="base units"),
    column("average_trade_value", sa.REAL, "Mean value of a trade", unit="USDT"),
    column("liquidity_consumption", sa.REAL, "Executed quantity (paper, Table IX), here the same as volume", unit="base units"),
    column("liquidity_consumption_value", sa.REAL, "Executed value", unit="USDT"),
    column("market_orders_impact", sa.REAL, "Taker buys plus taker sells (paper, Table IX)", unit="base units"),
    column("vwap", sa.Double, "Volume-weighted average price", unit="USDT"),
    column("vwap_log_return", sa.REAL, "Natural logarithm of vwap over the vwap of the last bucket that traded", unit="ln ratio"),
    column("first_price", sa.Double, "Price of the first trade", unit="USDT"),
    column("last_price", sa.Double, "Price of the last trade", unit="USDT"),
    column("high_price", sa.Double, "Highest price", unit="USDT"),
    column("low_price", sa.Double, "Lowest price", unit="USDT"),
    column("high_low_spread", sa.Double, "Highest minus lowest price (paper)", unit="USDT"),
    column("relative_high_low_spread", sa.REAL, "High-low spread divided by vwap", unit="ratio"),
    column("relative_impact", sa.REAL, "(last - first price) / first price of the bucket's trades (paper, Table IX)", unit="ratio"),
    column(
        "walk_impact", sa.REAL, "Relative change of the best price if takers' net quantity walked the book before the bucket", unit="ratio"
    ),
)

TRADE_METRICS = sa.Table(
    "trade_metrics",
    METADATA,
    key("instrument_id", sa.BigInteger, "Instrument"),
    key("bucket_end_at", sa.TIMESTAMP, "End of the 5 s bucket, by our clock"),
    *TRADE_METRIC_COLUMNS,
    column("is_gap", sa.Boolean, "True when the feed was blind for a part of the bucket", nullable=False),
    sa.Index(None, "bucket_end_at", postgresql_using="brin"),
    schema="core",
    comment="Trade metrics per instrument and 5 s bucket in which it traded",
    postgresql_partition_by="RANGE (bucket_end_at)",
)


def _moments() -> tuple[sa.Column[Any], ...]:
    return (
        column("layout", sa.SmallInteger, "Which metrics and horizons the arrays hold, in which order", nullable=False),
        column("n", pg.ARRAY(sa.SmallInteger), "Windows, by metric and horizon", unit="windows", nullable=False),
        column("mean", pg.ARRAY(sa.Double), "Mean over those windows, NULL without any", nullable=False),
        column("m2", pg.ARRAY(sa.Double), "Sum of squared distances from that mean, NULL without any", nullable=False),
    )


METRIC_ROLLUPS = sa.Table(
    "metric_rollups",
    METADATA,
    key("instrument_id", sa.BigInteger, "Instrument"),
    key("hour_end_at", sa.TIMESTAMP, "End of the hour"),
    *_moments(),
    sa.Index(None, "hour_end_at"),
    schema="core",
    comment="Mergeable moments of every metric over the hour's non-overlapping windows of each horizon: the history that ranking reads",
)

METRIC_ROLLUP_BLOCKS = sa.Table(
    "metric_rollup_blocks",
    METADATA,
    key("instrument_id", sa.BigInteger, "Instrument"),
    key("block_end_at", sa.TIMESTAMP, "End of the six hours, at 0, 6, 12 or 18 h UTC"),
    *_moments(),
    sa.Index(None, "block_end_at"),
    schema="core",
    comment="core.metric_rollups of six hours pooled: what a watch reads of them instead. Written with each of their hours",
)

BUCKET_COMMITS = sa.Table(
    "bucket_commits",
    METADATA,
    key("exchange", sa.Text, "Exchange, canonical lower-case id"),
    key("shard", sa.Text, "Part of the exchange's instruments, i/n"),
    key("bucket_end_at", sa.TIMESTAMP, "End of the 5 s bucket"),
    column("watched", sa.Integer, "Instruments of the shard", unit="instruments", nullable=False),
    column("blind", sa.Integer, "Instruments the feed was blind for, in a part of the bucket", unit="instruments", nullable=False),
    column("book_rows", sa.Integer, "Rows written to order_book_metrics", unit="rows", nullable=False),
    column("trade_rows", sa.Integer, "Rows written to trade_metrics", unit="rows", nullable=False),
    column("book_updates", sa.Integer, "Books received", unit="books", nullable=False),
    column("trades", sa.Integer, "Trades received", unit="trades", nullable=False),
    column("unusable_books", sa.Integer, "Empty, one-sided or crossed books among the last ones", unit="books", nullable=False),
    column("rejected_frames", sa.Integer, "Frames refused as malformed or absurd", unit="frames", nullable=False),
    column("duplicates", sa.Integer, "Frames and trades dropped because they came twice or too late", unit="frames", nullable=False),
    column("is_gap", sa.Boolean, "True when any instrument was blind", nullable=False),
    column("is_spilled", sa.Boolean, "True when it waited on disk for the database", nullable=False),
    column("lag_seconds", sa.Double, "From the bucket's end to the commit", unit="s", nullable=False),
    column("clock_offset_seconds", sa.Double, "Exchange's clock minus ours, as last measured", unit="s"),
    column("lease_epoch", sa.BigInteger, "Epoch of the lease under which it was written", nullable=False),
    column("committed_at", sa.TIMESTAMP, "When it was written", nullable=False),
    sa.Index(None, "bucket_end_at"),
    schema="core",
    comment="One row per bucket that was written whole: its metric rows and this row are one transaction",
)

FEED_GAPS = sa.Table(
    "feed_gaps",
    METADATA,
    key("gap_id", sa.Text, "Hash of exchange, shard, first instrument and start"),
    column("exchange", sa.Text, "Exchange, canonical lower-case id", nullable=False),
    column("shard", sa.Text, "Part of the exchange's instruments, i/n", nullable=False),
    column("instrument_ids", BIGINT_ARRAY, "Instruments that were not seen", nullable=False),
    column("started_at", sa.TIMESTAMP, "Last moment they were known to be seen", nullable=False),
    column("ended_at", sa.TIMESTAMP, "First book after it; NULL while it lasts"),
    column("reason", sa.Text, "Why: start, killed, stalled, unwatched, spill full, or what the connection suffered", nullable=False),
    sa.Index(None, "exchange", "started_at"),
    schema="core",
    comment="Spans in which a feed was blind for some instruments",
)

LEASES = sa.Table(
    "leases",
    METADATA,
    key("name", sa.Text, "What is leased, e.g. collect:kucoin:1/1"),
    column("holder", sa.Text, "Host and process that holds it", nullable=False),
    column("epoch", sa.BigInteger, "Grows with every new holder; checked in every write", nullable=False),
    column("expires_at", sa.TIMESTAMP, "Free for others from then on, by the database's clock", nullable=False),
    schema="core",
    comment="Who may write what: one holder per shard or watch, fenced by an increasing epoch",
)
