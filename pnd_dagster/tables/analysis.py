"""Schema `out`: what pumps came to, how channels hang together and keep their promises, and how easily a coin is pumped."""

from __future__ import annotations

import sqlalchemy as sa

from pnd_dagster.tables._columns import METADATA, column, key, one_of

OUTCOME_RESOLUTIONS = ("trade", "5 s", "day")
LINK_KINDS = ("copy", "forward", "shared event")
COIN_FLAG_NAMES = (
    "no metadata",
    "unreported cap",
    "self-reported cap",
    "micro cap",
    "unexplained swing",
    "thin trading",
    "new listing",
)

PUMP_OUTCOMES = sa.Table(
    "pump_outcomes",
    METADATA,
    key("event_id", sa.Text, "Event of core.pump_events, or of the file of past pumps where no such event is known"),
    column("exchange", sa.Text, "Exchange, NULL if unknown"),
    column("symbol", sa.Text, "Coin, upper case", nullable=False),
    column("released_at", sa.TIMESTAMP, "Release from which everything is counted", nullable=False),
    column("resolution", sa.Text, "What it is made of: single trades, 5 s buckets, or daily candles, which are coarser; NULL: no data"),
    column("data", sa.Text, "Table or file that the prices are from; NULL: no data"),
    column("quote_symbol", sa.Text, "Currency of prices and values; NULL if the data names none"),
    column("reference_price", sa.Double, "Last price 10 min before the release; of candles the close before", unit="quote currency"),
    column("peak_price", sa.Double, "Highest price in the hour after the release; of candles on its day", unit="quote currency"),
    column("peak_at", sa.TIMESTAMP, "When that was; NULL of candles"),
    column("seconds_to_peak", sa.Double, "From the release to the peak; NULL of candles", unit="s"),
    column("run_up_ratio", sa.Double, "Last price before the release over the reference price, minus 1; NULL of candles", unit="ratio"),
    column("gain_ratio", sa.Double, "Peak over reference price, minus 1", unit="ratio"),
    column(
        "usual_gain_ratio",
        sa.Double,
        "Largest such gain of the 23 hours before the last one, each for itself; of candles of the 7 days before",
        unit="ratio",
    ),
    column("is_moved", sa.Boolean, "True if the gain is at least 5% and above the usual; NULL if either is unknown"),
    column(
        "drawdown_ratio",
        sa.Double,
        "Lowest price in the hour after the peak over the peak, minus 1; of candles the close of the day over its high, minus 1",
        unit="ratio",
    ),
    column("return_1h_ratio", sa.Double, "Last price of the hour after the release over the reference price, minus 1", unit="ratio"),
    column("value_after", sa.Double, "Value traded in the hour after the release; of candles on its day", unit="quote currency"),
    column("value_before", sa.Double, "Mean value of an hour of the day before; of candles of the day before", unit="quote currency"),
    column("volume_ratio", sa.Double, "value_after over value_before; NULL where nothing was traded before", unit="ratio"),
    *(
        column(
            f"bought_{when}_{until}_ratio",
            sa.Double,
            f"Worth of a coin bought {how}, {long} after buying, over what was paid, minus 1",
            unit="ratio",
        )
        for when, how in (
            ("10s", "10 s after the release"),
            ("30s", "30 s after the release"),
            ("60s", "60 s after the release"),
            ("peak", "at the mean price of the peak's minute"),
        )
        for until, long in (("10min", "10 min"), ("1h", "an hour"))
    ),
    column("trade_count", sa.BigInteger, "Trades in the hour after the release; NULL of candles", unit="trades"),
    column("computed_at", sa.TIMESTAMP, "When it was computed", nullable=False, on_update="change"),
    one_of("resolution", OUTCOME_RESOLUTIONS),
    sa.Index(None, "released_at"),
    schema="out",
    comment="What each pump came to: peak, fall, volume, and what late buyers lost. NULL where unknown",
)

CHANNEL_LINKS = sa.Table(
    "channel_links",
    METADATA,
    key("from_channel_id", sa.BigInteger, "The first: whose texts are copied or forwarded, or who releases first more often"),
    key("to_channel_id", sa.BigInteger, "Channel that came after"),
    key("kind", sa.Text, "copy: nearly the same rare text within a day; forward; shared event: both released one pump"),
    column("count", sa.Integer, "Texts copied, messages forwarded, or events shared", unit="occasions", nullable=False),
    column("first_count", sa.Integer, "Those in which from was strictly first; ties are neither's", unit="occasions", nullable=False),
    column("rarity", sa.Double, "Sum over the copied texts of ln(channels / channels that posted it); NULL of other kinds", unit="nats"),
    column("expected_count", sa.Double, "What two so active channels would share by chance; NULL of forwards", unit="occasions"),
    column("p_value", sa.Double, "Chance of as many or more of them; NULL of forwards", unit="ratio"),
    column("is_linked", sa.Boolean, "True if too many for chance (false discovery rate 1%); forwards: two or more", nullable=False),
    column("median_lag_seconds", sa.Double, "Median time from from's message to to's; negative where to leads; NULL unknown", unit="s"),
    column("first_at", sa.TIMESTAMP, "First occasion", nullable=False),
    column("last_at", sa.TIMESTAMP, "Last occasion", nullable=False),
    column("computed_at", sa.TIMESTAMP, "When it was computed", nullable=False, on_update="change"),
    one_of("kind", LINK_KINDS),
    sa.Index(None, "to_channel_id"),
    schema="out",
    comment="Which channels copy, forward and pump together, who is first, and what chance alone would give",
)

CHANNEL_GROUPS = sa.Table(
    "channel_groups",
    METADATA,
    key("channel_id", sa.BigInteger, "Channel that released an event, or that copies, is copied or forwarded"),
    column("group_id", sa.BigInteger, "Smallest channel id of its organiser group; NULL for a channel that pumps with no other"),
    column("group_size", sa.Integer, "Channels of that group", unit="channels"),
    column("event_count", sa.Integer, "Events it released", unit="events", nullable=False),
    column("shared_event_count", sa.Integer, "Those of them that another channel released too", unit="events", nullable=False),
    column("first_release_count", sa.Integer, "Shared events that it alone released first", unit="events", nullable=False),
    column("median_lag_seconds", sa.Double, "Median time behind the first release of its shared events", unit="s"),
    column("copied_count", sa.Integer, "Rare texts it posted after another channel", unit="texts", nullable=False),
    column("was_copied_count", sa.Integer, "Rare texts that another channel posted after it", unit="texts", nullable=False),
    column("forwarded_count", sa.Integer, "Messages it forwarded from channels whose archive we hold", unit="messages", nullable=False),
    column("was_forwarded_count", sa.Integer, "Its messages that other such channels forwarded", unit="messages", nullable=False),
    column("computed_at", sa.TIMESTAMP, "When it was computed", nullable=False, on_update="change"),
    schema="out",
    comment="Each channel's place among the others: its organiser group, how often it is first, whom it repeats",
)

CHANNEL_HONESTY = sa.Table(
    "channel_honesty",
    METADATA,
    key("channel_id", sa.BigInteger, "Channel that announced or released a pump"),
    column("announced_count", sa.Integer, "Pumps it announced", unit="pumps", nullable=False),
    column("released_announced_count", sa.Integer, "Those of them that it released", unit="pumps", nullable=False),
    column("cancelled_count", sa.Integer, "Those that it cancelled", unit="pumps", nullable=False),
    column("postponed_count", sa.Integer, "Those whose time it changed at least once, whatever came of them", unit="pumps", nullable=False),
    column("never_released_count", sa.Integer, "Those whose time passed without a coin or a word", unit="pumps", nullable=False),
    column("kept_ratio", sa.Double, "Released among those released, cancelled or never released; NULL without any", unit="ratio"),
    column("event_count", sa.Integer, "Events it released, announced or not", unit="events", nullable=False),
    column("outcome_count", sa.Integer, "Those whose outcome is known from trades or 5 s buckets", unit="events", nullable=False),
    column("unmoved_count", sa.Integer, "Those of them whose coin did not move", unit="events", nullable=False),
    column("promised_count", sa.Integer, "Pumps for which a gain was promised", unit="pumps", nullable=False),
    column("promised_median_ratio", sa.Double, "Median gain it promised; of a range the lower end; 1 is +100%", unit="ratio"),
    column("realised_median_ratio", sa.Double, "Median gain at the peak, in the outcomes that are known", unit="ratio"),
    column("compared_count", sa.Integer, "Pumps of which both the promise and the outcome are known", unit="pumps", nullable=False),
    column("realised_over_promised", sa.Double, "Median of realised over promised gain in those; 1 is a promise kept", unit="ratio"),
    column("promise_kept_count", sa.Integer, "Those of them whose peak reached the promise", unit="pumps", nullable=False),
    column("late_buyer_median_ratio", sa.Double, "Median worth of a coin bought 30 s late, an hour after, minus 1", unit="ratio"),
    column("computed_at", sa.TIMESTAMP, "When it was computed", nullable=False, on_update="change"),
    schema="out",
    comment="Promised against realised, by channel: pumps that never came, coins that never moved, gains that were promised and seen",
)

COIN_VULNERABILITY = sa.Table(
    "coin_vulnerability",
    METADATA,
    key("instrument_id", sa.BigInteger, "Instrument"),
    key("as_of_date", sa.Date, "Day whose books and trades it is made of, UTC"),
    column("exchange", sa.Text, "Exchange, canonical lower-case id", nullable=False),
    column("symbol", sa.Text, "Pair in ccxt's spelling", nullable=False),
    column("book_count", sa.Integer, "Hours with a book, whose last one counts; gaps left out", unit="hours", nullable=False),
    column("relative_spread", sa.Double, "Median spread over the mid price", unit="ratio"),
    column("depth_usd", sa.Double, "Median value of both sides' best 20 levels", unit="USDT"),
    column("ask_depth_usd", sa.Double, "Median value of the best 20 asks", unit="USDT"),
    column("usd_to_move_10pct", sa.Double, "Median cost of buying the asks up to 10% above the mid price, estimated", unit="USDT"),
    column("is_lower_bound", sa.Boolean, "True if the 20 asks end below 10% in most of the books: it takes more than that"),
    column("value_24h_usd", sa.Double, "Value traded that day, 0 if collected but without a trade", unit="USDT"),
    column("market_cap_usd", sa.Double, "Market capitalisation as known that day; NULL if unreported", unit="USD"),
    column("prior_pumps", sa.Integer, "Pumps of the coin's symbol on that exchange known before the day", unit="events", nullable=False),
    column("spread_rank", sa.Double, "Place of the spread among the exchange's instruments: 0 narrowest, 1 widest", unit="ratio"),
    column("depth_rank", sa.Double, "Place of the depth: 0 deepest, 1 thinnest", unit="ratio"),
    column("move_rank", sa.Double, "Place of the cost of 10%: 0 dearest, 1 cheapest", unit="ratio"),
    column("score", sa.Double, "Mean of the three places: 0 least, 1 most easily moved; NULL unless all are known", unit="ratio"),
    column("rank", sa.Integer, "Place of the score on the exchange, 1 the most easily moved"),
    column("computed_at", sa.TIMESTAMP, "When it was computed", nullable=False, on_update="change"),
    sa.Index(None, "as_of_date", "exchange"),
    schema="out",
    comment="How easily each instrument's price is moved: depth, cost of 10%, spread, and their places as one score",
)

COIN_FLAGS = sa.Table(
    "coin_flags",
    METADATA,
    key("instrument_id", sa.BigInteger, "Instrument"),
    key("as_of_date", sa.Date, "Day for which this was decided, with what was known by its end, UTC"),
    key("flag", sa.Text, "Warning sign of the general guides"),
    column("exchange", sa.Text, "Exchange, canonical lower-case id", nullable=False),
    column("symbol", sa.Text, "Pair in ccxt's spelling", nullable=False),
    column("value", sa.Double, "The figure that raised it, in the unit the reason names; NULL where there is none"),
    column("reason", sa.Text, "Why, in words", nullable=False),
    column("computed_at", sa.TIMESTAMP, "When it was computed", nullable=False, on_update="change"),
    one_of("flag", COIN_FLAG_NAMES),
    sa.Index(None, "as_of_date", "exchange"),
    schema="out",
    comment="Warning signs of the general guides per instrument: lack of information, small size, swings that nothing explains",
)
