"""Every table and figure of the paper that is computed here, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pnd_dagster.analysis import coins, events, holdings, order_sizes, social, spikes, volumes
from pnd_dagster.analysis.results import Result
from pnd_dagster.analysis.sources import Sources


class Analysis(NamedTuple):
    """One analysis.

    Attributes:
        name: its asset's.
        stem: what its files begin with, after the paper's table, figure or section.
        title: for people.
        reads: tables it stands on, `schema.table`.
        compute: what computes it.
    """

    name: str
    stem: str
    title: str
    reads: tuple[str, ...]
    compute: Callable[[Sources], Result]


_COINS = ("core.pump_events", "core.instruments", "core.coin_links", "raw.coinmarketcap_snapshots")
_CAPS = (*_COINS, "raw.coincodex_daily")
_MARKET = ("core.pump_events", "raw.ohlcv_daily")
_METRICS = ("core.instruments", "core.trade_metrics", "core.order_book_metrics")
_RAW = ("raw.telegram_channels", "raw.telegram_messages", "raw.lunarcrush_snapshots", "raw.coinmarketcap_snapshots", "raw.coincodex_daily")

ANALYSES = (
    Analysis(
        "data_sources",
        "table-i",
        "Data sources with rows, coins and date range (paper, Table I)",
        (*_RAW, "raw.ohlcv_daily", "core.pump_events", *_METRICS[1:]),
        holdings.data_sources,
    ),
    Analysis(
        "label_distribution", "table-ii", "Distribution of labels (paper, Table II)", ("core.message_labels",), holdings.label_distribution
    ),
    Analysis("events_by_exchange", "table-viii", "Pump events by exchange (paper, Table VIII)", ("core.pump_events",), events.by_exchange),
    Analysis("events_by_month", "figure-3", "Pump events by month and exchange (paper, Figure 3)", ("core.pump_events",), events.by_month),
    Analysis("most_pumped_coins", "table-vii", "Most pumped coins and their token standards (paper, Table VII)", _COINS, coins.top_coins),
    Analysis(
        "coin_sizes_by_channel",
        "figure-4",
        "Market capitalisation, price and volume of pumped coins per channel (paper, Figure 4)",
        _CAPS,
        coins.sizes_by_channel,
    ),
    Analysis(
        "price_spikes",
        "figures-5-6",
        "Prices ten minutes before to ten minutes after the start (paper, Figures 5 and 6)",
        ("core.pump_events", *_METRICS),
        spikes.analysed,
    ),
    Analysis(
        "daily_volumes",
        "figures-8-9",
        "Volumes over eight days, the pump on the eighth, by exchange (paper, Figures 8 and 9)",
        _MARKET,
        volumes.by_exchange,
    ),
    Analysis(
        "daily_volumes_by_channel", "figures-10-11", "The same by Telegram channel (paper, Figures 10 and 11)", _MARKET, volumes.by_channel
    ),
    Analysis(
        "order_sizes",
        "tables-iv-v-xii-xv",
        "Order sizes in the seven days before and on the day (paper, Tables IV, V, XII to XV, Figures 12 and 13)",
        (*_MARKET, *_METRICS),
        order_sizes.analysed,
    ),
    Analysis(
        "social_features",
        "section-iv-d",
        "Social features against market trends and around pumps (paper, section IV-D)",
        ("core.pump_events", "raw.lunarcrush_snapshots"),
        social.analysed,
    ),
    Analysis(
        "market_cap_filter",
        "section-v-b",
        "Share of pumped and of all coins inside the market-cap filter (paper, section V-B)",
        (*_CAPS, "core.candidate_coins"),
        coins.market_cap_filter,
    ),
    Analysis("token_standards", "section-vi-b", "Susceptibility of token standards (paper, section VI-B)", _COINS, coins.token_standards),
)


def analysis_by_name(name: str) -> Analysis:
    """The analysis of that name.

    Raises:
        KeyError: there is none.
    """
    return {analysis.name: analysis for analysis in ANALYSES}[name]
