"""Exchanges are found by name and by site; names that are also words or coins only where they mean the exchange."""

from __future__ import annotations

import time

import pytest

from pnd_dagster.venues import VENUES, find_venues, venue_by_alias, venue_by_domain, venue_by_id


def ids(text: str) -> list[str]:
    return [mention.venue.id for mention in find_venues(text)]


def test_ids_are_unique_and_every_name_belongs_to_one_venue() -> None:
    assert len({venue.id for venue in VENUES}) == len(VENUES)
    names = [name for venue in VENUES for name in (*venue.aliases, *venue.ambiguous_aliases)]
    assert sorted(names) == sorted(set(names))
    domains = [domain for venue in VENUES for domain in venue.domains]
    assert sorted(domains) == sorted(set(domains))


def test_every_name_and_domain_leads_back_to_its_venue() -> None:
    for venue in VENUES:
        assert venue_by_id(venue.id) is venue
        assert all(venue_by_alias(name.upper()) is venue for name in (*venue.aliases, *venue.ambiguous_aliases)), venue
        assert all(venue_by_domain(f"www.{domain}") is venue for domain in venue.domains), venue


@pytest.mark.parametrize("venue_id", ["hotbit", "cryptopia", "yobit", "bittrex", "ftx", "coinexchange", "crex24"])
def test_exchanges_that_closed_are_kept_and_marked(venue_id: str) -> None:
    venue = venue_by_alias(venue_id)
    assert venue is not None
    assert venue.id == venue_id
    assert venue.is_defunct


@pytest.mark.parametrize("venue_id", ["pancakeswap", "uniswap", "poocoin", "raydium", "idex"])
def test_decentralised_exchanges_are_of_kind_dex(venue_id: str) -> None:
    venue = venue_by_alias(venue_id)
    assert venue is not None
    assert venue.kind == "dex"


def test_subdomains_belong_to_the_exchange_and_lookalike_hosts_do_not() -> None:
    venue = venue_by_domain("trade.kucoin.com")
    assert venue is not None
    assert venue.id == "kucoin"
    assert venue_by_domain("kucoin.com.evil.example") is None
    assert venue_by_domain("notkucoin.com") is None
    assert venue_by_domain("localhost") is None
    assert venue_by_domain("") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("We pump on Binance tonight", ["binance"]),
        ("YOBIT.net, then Hotbit.io", ["yobit", "hotbit"]),
        ("buy it on pancake swap", ["pancakeswap"]),
        ("Binance_CEX and PancakeSwap_DEX", ["binance", "pancakeswap"]),
        ("Cryptopia.co.nz", ["cryptopia"]),
        ("Gate.io/Kucoin", ["gate.io", "kucoin"]),
        ("TRADE_URL(xt ABC/USDT) EXCHANGE_URL(gate.io)", ["xt", "gate.io"]),
        ("see binance.Then wait", ["binance"]),
        ("nothing here", []),
        ("", []),
    ],
)
def test_mentions_are_found_in_order(text: str, expected: list[str]) -> None:
    assert ids(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Exchange: MXC", "mexc"),
        ("Our pump will be on XT at 17:00", "xt"),
        ("exchange - gate", "gate.io"),
        ("on the Gate exchange", "gate.io"),
        ("Exchange name is Hoo", "hoo"),
        ("tomorrow on FTX", "ftx"),
        ("on HTX at 5", "huobi"),
        ("traded on IDEX", "idex"),
        ("Polo exchange", "poloniex"),
        ("Biconomy exchange", "biconomy"),
        ("on crypto.com", "crypto.com"),
        ("xt_CEX", "xt"),
    ],
)
def test_ambiguous_names_count_where_they_mean_the_exchange(text: str, expected: str) -> None:
    assert ids(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "$MXC is flying",
        "#XT",
        "buy MXC/BTC now",
        "IDEX coin is the pick",
        "on IDEX/BTC the chart looks good",
        "the gate is open, go through the gate",
        "on curve for a big win",
        "BICO and biconomy have news",
        "polo shirts",
        "hoo hoo hoo",
        "liquid market",
        "release the kraken",
        "crypto.com visa card",
        "FTX",
    ],
)
def test_ambiguous_names_do_not_count_as_words_or_coins(text: str) -> None:
    assert ids(text) == []


def test_an_ambiguous_name_counts_beside_another_exchange_in_a_list() -> None:
    assert ids("Binance, MXC & Gate") == ["binance", "mexc", "gate.io"]
    assert ids("Binance fees rise while MXC falls") == ["binance"]


def test_the_span_of_a_mention_includes_its_tag() -> None:
    text = "go to Kucoin_CEX now"
    (mention,) = find_venues(text)
    assert text[mention.start : mention.end] == "Kucoin_CEX"


def test_a_very_long_text_takes_linear_time() -> None:
    started_at = time.perf_counter()
    for hostile in ("gate " * 20_000, "binance " * 12_500, "a." * 50_000, "trader " * 14_000):
        find_venues(hostile)
    assert time.perf_counter() - started_at < 5
