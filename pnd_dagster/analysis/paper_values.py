"""What the paper (arXiv 2412.18848) reports, by its own numbering, to stand beside ours: other channels, exchanges and years.

Its slips are kept as they are printed: "about 700" KuCoin pumps in section V-A against 181 in Table VIII and 95 in Tables XII and XIII;
volumes of eight days "in Figures 13 and 13" that are Figures 8 and 9; columns of Tables XII to XV that say "Increase %" and hold ratios.
"""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

# rows, coins (channels for Telegram), first day, last day; None where Table I does not say.
TABLE_I = {
    "raw.telegram_channels": (43, None, None, None),
    "raw.telegram_messages": (91_295, None, "2017-12-02", "2024-10-21"),
    "raw.coincodex_daily": (None, 3_958 + 924, "2018-01-01", "2024-07-01"),
    "raw.ohlcv_daily": (365_982, 4_643, "2024-07-01", "2024-10-21"),
}
TABLE_I_RANGES = {
    "core.order_book_metrics": "5 to 44 million rows per exchange, 2024-07-01 to 2024-10-21",
    "core.trade_metrics": "2 to 5 million rows per exchange, 2024-07-01 to 2024-10-21",
}

TABLE_II = {
    "Pump Announcement": 1_184,
    "Countdown": 11_321,
    "Target Coin Release": 1_151,
    "Pump Results": 1_722,
    "Delay/Cancellation": 98,
    "Noise": 5_616,
}

TABLE_VII = (
    ("TOKKI", "CRYPTOKKI", "ERC-20", 9),
    ("DXGM", "DexGame", "ERC-20", 8),
    ("HMR", "Homeros Game Barracks", "ERC-20", 8),
    ("NAR", "Narwhalswap", "BEP-20", 7),
    ("JUSTICE", "AssangeDAO", "ERC-20", 7),
)
"""Symbol, name, standard, pumps; section V-A adds that TOKKI was pumped on 4 exchanges by 5 channels."""

TABLE_VIII = {
    "hotbit": 324,
    "latoken": 304,
    "xt": 268,
    "pancakeswap": 247,
    "poloniex": 246,
    "kucoin": 181,
    "lbank": 150,
    "digifinex": 120,
    "mexc": 72,
    "binance": 45,
    "others": 122,
}
"""Events by our ids of the exchanges, 2,079 in all."""


class OfExchange(NamedTuple):
    """What the paper reports of pumps on one exchange.

    Attributes:
        minutes_to_peak: mean (Figures 5, 6) [min].
        magnitude: mean peak against the mid ten minutes before (Figures 5, 6) [ratio]; the paper does not say whether 1 is subtracted.
        volume_before: mean of the day before the pump (Figures 8, 9) [USD].
        volume_on: mean of the pump day (Figures 8, 9) [USD].
        volume_ratio: of these means [ratio].
        order_size_n: rows of Tables XII to XV with trades in the seven days before.
        order_size_ratio: their median of order sizes on the pump day against the seven days before [ratio]; computed by us from the rows.
        order_size_grew: share of them above 1 [ratio]; likewise.
        week_volume_ratio: their median of the pump day's volume against the mean of the seven days before [ratio]; likewise.
    """

    minutes_to_peak: float
    magnitude: float
    volume_before: float
    volume_on: float
    volume_ratio: float
    order_size_n: int
    order_size_ratio: float
    order_size_grew: float
    week_volume_ratio: float


EXCHANGES = {
    "kucoin": OfExchange(1.49, 4.57, 80_641, 1_867_411, 23.2, 95, 0.58, 0.20, 23.98),
    "poloniex": OfExchange(0.12, 10.85, 77, 4_809, 62.5, 146, 1.495, 0.596, 195.5),
}

TABLES_IV_AND_V = pl.DataFrame(
    [
        ("kucoin", "AIEPK", 2257.07, 2203.07, 0.98),
        ("kucoin", "IZI", 2199.62, 752.08, 0.35),
        ("kucoin", "IZI", 2662.44, 2130.59, 0.80),
        ("kucoin", "KOL", 4202.19, 3471.90, 0.83),
        ("kucoin", "KPOL", 1750.89, 2270.19, 1.30),
        ("kucoin", "MTS", 704.36, 665.11, 0.94),
        ("poloniex", "AMC", 51.69, 49.05, 0.95),
        ("poloniex", "AMC", 20.90, 198.87, 9.51),
        ("poloniex", "COLLAB", 914.13, 884.18, 0.97),
        ("poloniex", "DMT", 182.67, 149.85, 0.82),
        ("poloniex", "GFT", 37.24, 529.65, 14.03),
        ("poloniex", "GFT", 296.42, 214.56, 0.72),
        ("poloniex", "GFT", 808.65, 775.09, 0.96),
    ],
    schema=["exchange", "symbol", "order_size_before", "order_size_on", "order_size_ratio"],
    orient="row",
)
"""Mean order sizes [base units] of selected pumps, as printed in section V-A3; Tables XII and XIV print some of them otherwise."""

FILTER_PUMPED, FILTER_SHARE, FILTER_MEDIAN_USD = 1_431, 0.957, 2.7e6
"""Section V-B: pumped coins, share of them from 0 (unreported) to 60 million USD, their median market capitalisation [USD]."""

STANDARDS = ("ERC-20", "BEP-20", "ERC-721", "BRC-20", "Inscriptions", "Runes")
"""Section VI-B: every pumped coin followed an ERC-20-like standard; of the others none was pumped."""
NEVER_PUMPED = frozenset({"ERC-721", "BRC-20", "Inscriptions", "Runes"})
