"""What vendors say of coins, which coin an instrument trades, and which instruments are candidates for a pump."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from pnd_dagster.tables._columns import BIGINT_ARRAY, METADATA, column, key, one_of

CAP_SOURCES = ("coinmarketcap", "self-reported", "coincodex", "unreported", "unlinked")
LINK_METHODS = ("contract", "name", "symbol", "none")

LUNARCRUSH_SNAPSHOTS = sa.Table(
    "lunarcrush_snapshots",
    METADATA,
    key("coin_id", sa.BigInteger, "LunarCrush's id of the coin"),
    key("snapshot_at", sa.TIMESTAMP, "When the snapshot was asked for"),
    column("symbol", sa.Text, "Symbol; no identity", nullable=False),
    column("name", sa.Text, "Name of the coin"),
    column("price_usd", sa.Double, "Price", unit="USD"),
    column("market_cap_usd", sa.Double, "Market capitalisation", unit="USD"),
    column("volume_24h_usd", sa.Double, "Value traded in 24 h", unit="USD"),
    column("likes", sa.BigInteger, "Likes in 24 h", unit="likes"),
    column("shares", sa.BigInteger, "Shares in 24 h", unit="shares"),
    column("interactions", sa.BigInteger, "Interactions in 24 h", unit="interactions"),
    column("social_dominance", sa.Double, "Share of all social volume", unit="percent"),
    column("sentiment", sa.Double, "Share of posts that are positive, weighted by interactions", unit="percent"),
    column("posts_created", sa.BigInteger, "Posts created in 24 h", unit="posts"),
    column("posts_active", sa.BigInteger, "Posts with interactions in 24 h", unit="posts"),
    column("contributors", sa.BigInteger, "People who posted in 24 h", unit="people"),
    column("galaxy_score", sa.Double, "LunarCrush's Galaxy Score", unit="score"),
    column("alt_rank", sa.Integer, "LunarCrush's AltRank", unit="rank"),
    column("payload", pg.JSONB, "The vendor's own object", nullable=False),
    schema="raw",
    comment="Social metrics of coins as LunarCrush gave them at a time",
)

COINMARKETCAP_SNAPSHOTS = sa.Table(
    "coinmarketcap_snapshots",
    METADATA,
    key("coin_id", sa.BigInteger, "CoinMarketCap's id of the coin: the identity of a coin in this database"),
    key("snapshot_at", sa.TIMESTAMP, "When the snapshot was asked for"),
    column("symbol", sa.Text, "Symbol; no identity: several coins share one", nullable=False),
    column("name", sa.Text, "Name of the coin", nullable=False),
    column("slug", sa.Text, "Name in CoinMarketCap's addresses", nullable=False),
    column("price_usd", sa.Double, "Price", unit="USD"),
    column("market_cap_usd", sa.Double, "Market capitalisation; NULL or 0 where CoinMarketCap verified none", unit="USD"),
    column("self_reported_market_cap_usd", sa.Double, "Market capitalisation as the project reports it", unit="USD"),
    column("circulating_supply", sa.Double, "Circulating supply", unit="coins"),
    column("self_reported_circulating_supply", sa.Double, "Circulating supply as the project reports it", unit="coins"),
    column("volume_24h_usd", sa.Double, "Value traded in 24 h", unit="USD"),
    column("rank", sa.Integer, "CoinMarketCap's rank", unit="rank"),
    column("platform_name", sa.Text, "Platform a token lives on, e.g. Ethereum; NULL for a coin of its own chain"),
    column("contract_address", sa.Text, "The token's contract on that platform, lower case"),
    column("token_standard", sa.Text, "Token standard that follows from the platform, e.g. ERC-20"),
    column("added_at", sa.TIMESTAMP, "When CoinMarketCap listed it"),
    column("is_active", sa.Boolean, "False once CoinMarketCap no longer tracks it", nullable=False),
    column("payload", pg.JSONB, "The vendor's own object", nullable=False),
    sa.Index(None, "symbol"),
    schema="raw",
    comment="Market capitalisation and metadata of coins as CoinMarketCap gave them at a time",
)

COINCODEX_DAILY = sa.Table(
    "coincodex_daily",
    METADATA,
    key("coin_id", sa.Text, "CoinCodex's own short name of the coin"),
    key("day", sa.Date, "Day, UTC"),
    column("symbol", sa.Text, "Symbol; no identity", nullable=False),
    column("name", sa.Text, "Name of the coin"),
    column("price_usd", sa.Double, "Price at the day's end", unit="USD"),
    column("market_cap_usd", sa.Double, "Market capitalisation at the day's end", unit="USD"),
    column("volume_usd", sa.Double, "Value traded that day", unit="USD"),
    column("payload", pg.JSONB, "The vendor's own rows of that day", nullable=False),
    column("ingested_at", sa.TIMESTAMP, "When it was read", nullable=False, on_update="change"),
    sa.Index(None, "day"),
    schema="raw",
    comment="Historical market capitalisation, price and volume by day, from CoinCodex",
)

VENDOR_QUOTAS = sa.Table(
    "vendor_quotas",
    METADATA,
    key("vendor", sa.Text, "Vendor, lower case"),
    key("day", sa.Date, "Day, UTC"),
    column("requests", sa.BigInteger, "Requests sent, retries included", unit="requests", nullable=False),
    column("credits", sa.BigInteger, "Credits the vendor says they cost", unit="credits", nullable=False),
    column("refusals", sa.BigInteger, "Answers 429 and 402", unit="requests", nullable=False),
    column("last_request_at", sa.TIMESTAMP, "Last request", nullable=False),
    schema="raw",
    comment="What was asked of each vendor per day, against its quota",
)

COIN_LINKS = sa.Table(
    "coin_links",
    METADATA,
    key("instrument_id", sa.BigInteger, "Instrument"),
    column("coin_id", sa.BigInteger, "CoinMarketCap's id of the coin it trades; NULL where none could be linked"),
    column("method", sa.Text, "How it was linked: by contract, by symbol and name, by a symbol only one coin has, or not", nullable=False),
    column("rivals", BIGINT_ARRAY, "Other coins that share the symbol", nullable=False),
    column("reason", sa.Text, "In words: what decided, or why nothing did", nullable=False),
    column("linked_at", sa.TIMESTAMP, "When this was decided", nullable=False, on_update="change"),
    one_of("method", LINK_METHODS),
    sa.Index(None, "coin_id"),
    schema="core",
    comment="Which coin an instrument trades; instruments that could not be linked stand here too, with the reason",
)

CANDIDATE_COINS = sa.Table(
    "candidate_coins",
    METADATA,
    key("instrument_id", sa.BigInteger, "Instrument"),
    key("as_of_date", sa.Date, "Day for which this was decided, with what was known by its end, UTC"),
    column("exchange", sa.Text, "Exchange, canonical lower-case id", nullable=False),
    column("symbol", sa.Text, "Pair in ccxt's spelling", nullable=False),
    column("coin_id", sa.BigInteger, "CoinMarketCap's id of the coin, if linked"),
    column("market_cap_usd", sa.Double, "Market capitalisation as known that day; NULL if unreported", unit="USD"),
    column("cap_source", sa.Text, "Where the market capitalisation comes from", nullable=False),
    column("cap_as_of", sa.TIMESTAMP, "Time of the snapshot it was read from"),
    column("is_candidate", sa.Boolean, "True when the coin is watched and ranked", nullable=False),
    column("reason", sa.Text, "Why it is in or out", nullable=False),
    one_of("cap_source", CAP_SOURCES),
    sa.Index(None, "as_of_date", "exchange"),
    schema="core",
    comment="The market-cap filter of the paper's section V-B: each instrument's decision per day, with its reason",
)
