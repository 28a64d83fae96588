"""Schema `mart` as its contract declares it, with made-up rows: for pages that shall show something without a build of the warehouse."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg import sql

CONTRACTS = Path(__file__).parents[3] / "dbt/models/marts"
HOSTILE = "<img src=x onerror=\"document.title='owned'\"> **bold** [link](javascript:alert(1)) =HYPERLINK(1) <b>b</b>"
EXCHANGES = ("kucoin", "latoken", "poloniex", "mexc", "xt", "hotbit", "some new one")
Row = dict[str, Any]


def create(connection: psycopg.Connection) -> dict[str, list[str]]:
    """Makes the tables of the contract, without rows.

    Returns:
        The columns of each table.
    """
    connection.execute("CREATE SCHEMA IF NOT EXISTS mart")
    made: dict[str, list[str]] = {}
    for file in sorted(CONTRACTS.glob("*.yml")):
        for model in yaml.safe_load(file.read_text()).get("models", []):
            columns = [sql.SQL("{} {}").format(sql.Identifier(c["name"]), sql.SQL(c["data_type"])) for c in model["columns"]]
            connection.execute(sql.SQL("CREATE TABLE mart.{} ({})").format(sql.Identifier(model["name"]), sql.SQL(", ").join(columns)))
            made[model["name"]] = [c["name"] for c in model["columns"]]
    return made


def fill(connection: psycopg.Connection, events: int = 2_000, channels: int = 60, curves: int = 8) -> None:
    """Fills the tables: so many events until now, of the newest the `curves`, a pump announced for in ten minutes, one watch."""
    draw = random.Random(7)
    now = datetime.now(UTC).replace(microsecond=0)
    titles = {-1000 - n: f"Made-up pumps {n}" for n in range(channels)} | {-999: HOSTILE}
    ids = list(titles)
    released = sorted((now - timedelta(minutes=draw.randrange(60, 3_000_000)) for _ in range(events)), reverse=True)
    happened = [_event(number, at, draw, ids, titles) for number, at in enumerate(released)]
    if happened:
        happened[0] |= {"channel_ids": [-999], "channel_titles": [HOSTILE], "channel_count": 1}
    put(connection, "fct_pump_event", happened)
    put(
        connection,
        "fct_event_channel",
        ({"event_id": e["event_id"], "channel_id": c, "released_at": e["released_at"]} for e in happened for c in e["channel_ids"]),
    )
    put(connection, "fct_event_message", (row for event in happened for row in _messages(event)))
    put(connection, "dim_channel", (_channel(key, title, draw, now) for key, title in titles.items()))
    put(connection, "fct_message_daily", (_day(key, now.date() - timedelta(days=7 * n), draw) for key in ids for n in range(52)))
    put(connection, "fct_channel_link", (_link(draw, ids, now) for _ in range(40)))
    for event in happened[:curves]:
        _curves(connection, event, draw)
    put(connection, "fct_pump_outcome", (_outcome(number, event, draw) for number, event in enumerate(happened)))
    signs = ("promised gain", "urgency", HOSTILE)
    put(
        connection,
        "fct_channel_warning_sign",
        ({"channel_id": key, "sign": sign, "message_count": 900, "signed_count": draw.randrange(300)} for key in ids for sign in signs),
    )
    _coins(connection, now, draw)
    _radar(connection, now, titles, draw)
    _models(connection, now)
    _pipeline(connection, now, draw)


def fill_sparsely(connection: psycopg.Connection) -> None:
    """One row in each table, NULL wherever it may be, and numbers that are none."""
    now = datetime.now(UTC)
    event: Row = {"event_id": "e", "symbol": "X", "released_at": now, "released_on": now.date(), "released_month": now.date()}
    link = {"from_channel_id": 1, "to_channel_id": 2, "kind": "copy", "count": 1, "first_count": 0, "is_linked": True}
    coin = {"instrument_id": 1, "as_of_date": now.date(), "exchange": "x", "symbol": "X/USDT"}
    backtest: Row = {"data": "d", "is_synthetic": False, "pool": "p", "source": "both", "rule": "r", "offset_seconds": 20, "n": 0}
    counts = {"channel_count": 0, "channel_ids": [], "channel_titles": [], "previous_event_count": 0, "alert_count": 0}
    rows: dict[str, Row] = {
        "dim_channel": {"channel_id": 1, "display_title": "", "is_vanished": False, "message_count": 1, "announcement_count": 0}
        | {f"{name}_count": 0 for name in ("cancelled_announcement", "expired_announcement", "event", "first_release", "shared_event")},
        "fct_message_daily": {"channel_id": 1, "day": now.date(), "message_count": 0}
        | {f"{name}_count": 0 for name in ("announcement", "countdown", "release", "result", "delay", "noise", "unlabelled")},
        "fct_pump_event": event | counts,
        "fct_event_channel": {"event_id": "e", "channel_id": 1, "released_at": now},
        "fct_event_message": {"event_id": "e", "channel_id": 1, "message_id": 1, "role": "release", "occurred_at": now},
        "fct_event_market": {"event_id": "e", "bucket_end_at": now, "seconds_to_release": float("nan")},
        "fct_event_rank": {"event_id": "e", "bucket_end_at": now, "seconds_to_release": 0.0},
        "fct_event_zscore": {"event_id": "e", "bucket_end_at": now, "seconds_to_release": 1.0, "metric": "m", "horizon_seconds": 5}
        | {"z": float("inf")},
        "fct_pump_outcome": {"event_id": "e", "released_at": now, "symbol": "X", "resolution": "trade", "gain_ratio": float("nan")},
        "fct_channel_link": link,
        "fct_channel_warning_sign": {"channel_id": 1, "sign": "s", "message_count": 0, "signed_count": 0},
        "fct_coin_vulnerability": coin | {"book_count": 0, "prior_pumps": 0, "usd_to_move_10pct": float("nan")},
        "fct_coin_flag": coin | {"flag": "f", "reason": "r"},
        "fct_scheduled_pump": {"pump_id": "p", "scheduled_at": now, "status": "scheduled", "is_open": True, "schedule_revision": 0}
        | {"channel_count": 0, "channel_titles": []},
        "fct_watch": {"watch_id": "w", "state": "failed", "exchanges": [], "started_at": now, "tick_count": 0},
        "fct_watch_result": {"watch_id": "w", "event_id": "e", "offset_seconds": 20, "exchange": "x", "symbol": "X"},
        "fct_live_ranking": {"watch_id": "w", "exchange": "x", "bucket_end_at": now, "rank": 1.0},
        "fct_alert": {"alert_id": "a", "created_at": now, "stage": "announced", "title": "", "state": "muted"},
        "fct_detected_pump": {"detection_id": "d", "exchange": "x", "symbol": "X", "detected_at": now},
        "fct_label_quality": {"labeller_a": "a", "labeller_b": "b", "is_human_pair": False, "message_count": 1, "kappa": 0.5},
        "fct_labeller_label": {"labeller": "a", "labeller_version": "1", "label_count": 0, "abstained_count": 1},
        "fct_ranking_backtest": backtest,
        "fct_service_health": {"name": "listen", "beat_at": now, "state": "silent"},
        "fct_table_freshness": {"table_name": "raw.x", "layer": "raw"},
        "fct_collection_hour": {"exchange": "x", "hour_end_at": now},
        "fct_feed_gap": {"gap_id": "g", "exchange": "x", "started_at": now},
        "fct_refused_input": {"source": "s", "day": now.date(), "reason": "", "refused_count": 1, "last_refused_at": now},
    }
    for table, row in rows.items():
        put(connection, table, [row])


def put(connection: psycopg.Connection, table: str, rows: Iterable[Row]) -> None:
    """Appends rows, whose missing columns are NULL."""
    rows = list(rows)
    if not rows:
        return
    columns = list(dict.fromkeys(name for row in rows for name in row))
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    with connection.cursor().copy(sql.SQL("COPY mart.{} ({}) FROM STDIN").format(sql.Identifier(table), names)) as copy:
        for row in rows:
            copy.write_row([row.get(name) for name in columns])


def _event(number: int, at: datetime, draw: random.Random, ids: list[int], titles: dict[int, str]) -> Row:
    chosen = draw.sample(ids, draw.choice((1, 1, 1, 2, 3)))
    exchange, symbol = draw.choice(EXCHANGES), f"MU{draw.randrange(300)}"
    return {
        "event_id": f"event-{number}",
        "paper_event_key": f"{exchange}:{symbol}:{at:%Y%m%d%H}",
        "exchange": exchange if number % 17 != 3 else None,
        "symbol": symbol,
        "pair": f"{symbol}/USDT",
        "released_at": at,
        "released_on": at.date(),
        "released_month": at.date().replace(day=1),
        "channel_count": len(chosen),
        "channel_ids": chosen,
        "channel_titles": [titles[key] for key in chosen],
        "scheduled_at": at - timedelta(seconds=3) if number % 3 else None,
        "announced_lead_seconds": draw.uniform(600, 200_000) if number % 3 else None,
        "start_delay_seconds": 3.0 if number % 3 else None,
        "market_cap_usd": 10 ** draw.uniform(5, 7.5) if number % 4 else None,
        "previous_event_count": draw.randrange(5),
        "rank_20s": float(draw.randrange(1, 40)) if number < 100 else None,
        "rank_60s": float(draw.randrange(1, 120)) if number < 100 else None,
        "ranked_coins": 400 if number < 100 else None,
        "alert_count": 2,
    }


def _messages(event: Row) -> list[Row]:
    said = {
        "announcement": f"Next made-up pump: {event['exchange']}, pair USDT",
        "release": f"The coin is ${event['symbol']} {HOSTILE if HOSTILE in event['channel_titles'] else ''}",
    }
    return [
        {
            "event_id": event["event_id"],
            "channel_id": event["channel_ids"][0],
            "message_id": index,
            "channel_title": event["channel_titles"][0],
            "role": role,
            "label": role,
            "occurred_at": event["released_at"] - timedelta(hours=2 * (1 - index)),
            "seconds_to_release": -7200.0 * (1 - index),
            "text": text,
            "is_deleted": False,
        }
        for index, (role, text) in enumerate(said.items())
    ]


def _channel(key: int, title: str, draw: random.Random, now: datetime) -> Row:
    announced, events = draw.randrange(5, 80), 999 if title == HOSTILE else draw.randrange(80)
    return {
        "channel_id": key,
        "title": title,
        "display_title": title,
        "status": "validated",
        "is_vanished": False,
        "participants": draw.randrange(100, 100_000),
        "message_count": draw.randrange(100, 9_000),
        "pump_message_ratio": draw.random(),
        "announcement_count": announced,
        "released_announcement_ratio": draw.random(),
        "cancelled_announcement_count": announced // 5,
        "expired_announcement_count": announced // 4,
        "event_count": events,
        "first_release_count": events // 2,
        "shared_event_count": events // 3,
        "median_lag_seconds": draw.uniform(0, 300),
        "last_event_at": now - timedelta(days=draw.randrange(900)),
        "group_id": draw.choice((-999, -1000, None)),
        "group_size": 20,
        "promised_median_ratio": draw.uniform(1, 10),
        "realised_median_ratio": draw.uniform(0, 2),
        "late_buyer_median_ratio": draw.uniform(-0.5, 0.1),
        "outcome_count": events // 2,
    }


def _day(key: int, day: date, draw: random.Random) -> Row:
    kinds = ("announcement", "countdown", "release", "result", "delay", "noise", "unlabelled")
    counts = {f"{kind}_count": draw.randrange(9) for kind in kinds}
    return {"channel_id": key, "day": day, "message_count": sum(counts.values())} | counts


def _link(draw: random.Random, ids: list[int], now: datetime) -> Row:
    start, end = draw.sample(ids, 2)
    return {
        "from_channel_id": start,
        "to_channel_id": end,
        "kind": draw.choice(("copy", "forward", "shared event")),
        "count": draw.randrange(2, 60),
        "first_count": 1,
        "expected_count": draw.random(),
        "is_linked": True,
        "median_lag_seconds": draw.uniform(0, 4000),
        "last_at": now,
    }


def _outcome(number: int, event: Row, draw: random.Random) -> Row:
    resolution = ("trade", "5 s", "day", None)[number % 4]
    known: Row = {name: event[name] for name in ("event_id", "exchange", "symbol", "released_at")}
    if resolution is None:
        return known
    known |= {
        "resolution": resolution,
        "data": {"trade": "made-up trades", "5 s": "core.trade_metrics", "day": "raw.ohlcv_daily"}[resolution],
        "gain_ratio": draw.expovariate(1),
        "is_moved": draw.random() < 0.8,
        "drawdown_ratio": -draw.random(),
        "volume_ratio": draw.uniform(1, 90),
    }
    if resolution != "day":
        known |= {"seconds_to_peak": draw.expovariate(1 / 60)}
        known |= {f"bought_30s_{after}_ratio": draw.gauss(mean, 0.2) for after, mean in (("10min", -0.2), ("1h", -0.3))}
    return known


def _coins(connection: psycopg.Connection, now: datetime, draw: random.Random) -> None:
    coins: list[Row] = [
        {
            "instrument_id": number,
            "as_of_date": now.date(),
            "exchange": EXCHANGES[number % 5],
            "symbol": f"MU{number}/USDT" if number else f"{HOSTILE}/USDT",
            "book_count": draw.randrange(1, 25),
            "relative_spread": draw.expovariate(100),
            "depth_usd": 10 ** draw.uniform(3, 5),
            "usd_to_move_10pct": 10 ** draw.uniform(1.5, 4),
            "is_lower_bound": number % 3 == 0,
            "value_24h_usd": 10 ** draw.uniform(2, 6),
            "market_cap_usd": 10 ** draw.uniform(5, 7.7) if number % 4 else None,
            "prior_pumps": draw.randrange(4),
            "score": draw.random() if number else 1.0,
            "rank": number + 1,
        }
        for number in range(300)
    ]
    put(connection, "fct_coin_vulnerability", coins)
    flags = ("no metadata", "unreported cap", "micro cap", "thin trading", "unexplained swing")
    raised = [
        {name: coin[name] for name in ("instrument_id", "as_of_date", "exchange", "symbol")} | {"flag": flag, "reason": f"made up: {flag}"}
        for coin in coins
        for flag in draw.sample(flags, draw.randrange(3))
    ]
    put(connection, "fct_coin_flag", raised)


def _curves(connection: psycopg.Connection, event: Row, draw: random.Random) -> None:
    at, key = event["released_at"], event["event_id"]
    seconds = range(-1800, 3600, 5)
    put(
        connection,
        "fct_event_market",
        (
            {
                "event_id": key,
                "bucket_end_at": at + timedelta(seconds=s),
                "seconds_to_release": s,
                "vwap": (1 + (2.5 * 0.998 ** max(s, 0) if s > 0 else 0)) * draw.uniform(0.99, 1.01),
                "quote_volume": draw.expovariate(1 / (2000 if 0 < s < 300 else 20)),
            }
            for s in seconds
        ),
    )
    ticks = range(-600, 120, 5)
    put(
        connection,
        "fct_event_rank",
        (
            {
                "event_id": key,
                "bucket_end_at": at + timedelta(seconds=s),
                "seconds_to_release": s,
                "rank": max(1, round(-s / 4)),
                "candidates": 400,
            }
            for s in ticks
        ),
    )
    put(
        connection,
        "fct_event_zscore",
        (
            {
                "event_id": key,
                "bucket_end_at": at + timedelta(seconds=s),
                "seconds_to_release": s,
                "metric": metric,
                "horizon_seconds": horizon,
                "z": draw.gauss(0, 1) + (8 if s > -40 else 0) * horizon / 60,
            }
            for s in ticks
            for metric in ("trade_count", "taker_buy_volume", "vwap_log_return")
            for horizon in (20, 60, 300)
        ),
    )
    days = (event["released_on"] + timedelta(days=n) for n in range(-30, 31))
    put(
        connection,
        "fct_coin_day",
        (
            {
                "exchange": event["exchange"],
                "pair": event["pair"],
                "day": day,
                "close": draw.uniform(0.9, 1.1),
                "high": draw.uniform(1.1, 1.2) + (2 if day == event["released_on"] else 0),
                "quote_volume": draw.uniform(50, 90) * (40 if day == event["released_on"] else 1),
            }
            for day in days
        ),
    )


def _radar(connection: psycopg.Connection, now: datetime, titles: dict[int, str], draw: random.Random) -> None:
    soon = now + timedelta(minutes=10)
    put(
        connection,
        "fct_scheduled_pump",
        (
            {
                "pump_id": f"pump-{n}",
                "exchange": EXCHANGES[n],
                "scheduled_at": soon + timedelta(hours=30 * n),
                "status": "scheduled",
                "is_open": True,
                "schedule_revision": n,
                "channel_count": 5,
                "channel_titles": [HOSTILE, *list(titles.values())[:4]],
                "watch_state": None if n else "running",
                "watch_tick_count": None if n else 12,
            }
            for n in range(3)
        ),
    )
    put(
        connection,
        "fct_detected_pump",
        (
            {
                "detection_id": f"detected-{n}",
                "exchange": EXCHANGES[n % 5],
                "symbol": f"MU{n}",
                "detected_at": now - timedelta(hours=5 * n),
                "volume_z": draw.uniform(5, 40),
                "trades_z": draw.uniform(3, 20),
                "price_change": draw.uniform(0.02, 0.4),
                "reason": "takers bought 12,000 USDT in 20 s, 18 standard deviations above usual",
                "pump_id": None if n % 3 else "pump",
            }
            for n in range(12)
        ),
    )
    put(connection, "fct_watch", [{"watch_id": "pump-0:0", "state": "running"}])
    states = ("released", "released", "over", "cancelled", "failed")
    put(
        connection,
        "fct_watch",
        (
            {
                "watch_id": f"past-{n}",
                "exchanges": [EXCHANGES[n % 5]],
                "scheduled_at": now - timedelta(days=n),
                "started_at": now - timedelta(days=n, minutes=10),
                "state": states[n % 5],
                "tick_count": 140,
                "lag_p50_seconds": 0.3,
                "symbol": f"MU{n}" if n % 5 < 2 else None,
                "event_id": f"event-{n}" if n % 5 < 2 else None,
                "detail": "no coin was released" if n % 5 == 2 else None,
            }
            for n in range(1, 40)
        ),
    )
    put(
        connection,
        "fct_watch_result",
        (
            {
                "watch_id": f"past-{n}",
                "event_id": f"event-{n}",
                "offset_seconds": offset,
                "rank": float(draw.randrange(1, 3 + offset // 4)) if n % 7 else None,
                "candidates": 400,
            }
            for n in range(1, 40)
            if n % 5 < 2
            for offset in (20, 40, 60, 300)
        ),
    )
    put(
        connection,
        "fct_live_ranking",
        (
            {
                "watch_id": "pump-0:0",
                "exchange": "kucoin",
                "bucket_end_at": now,
                "lead_seconds": 600.0,
                "rank": float(n + 1),
                "pair": f"MU{n}/USDT",
                "symbol": f"MU{n}",
                "score": 4 - n / 5,
                "is_active": n < 15,
                "reasons": "trades 60 s: +8.1, taker buys 300 s: +5.2" if n < 5 else "",
                "candidates": 400,
            }
            for n in range(20)
        ),
    )
    put(
        connection,
        "fct_alert",
        (
            {
                "alert_id": f"alert-{n}",
                "created_at": now - timedelta(hours=n),
                "stage": "candidates",
                "exchange": "kucoin",
                "symbol": f"MU{n}",
                "title": f"Suspected pump on kucoin {HOSTILE if not n else ''}",
                "lines": "1. MU0/USDT, score 4.0",
                "state": "sent",
            }
            for n in range(30)
        ),
    )


def _models(connection: psycopg.Connection, now: datetime) -> None:
    put(
        connection,
        "fct_label_quality",
        (
            {
                "labeller_a": f"model {n}",
                "labeller_b": "human:made-up 1",
                "is_human_pair": n == 0,
                "message_count": 900 + n,
                "agreement_ratio": 0.9,
                "kappa": 0.8 - n / 10,
                "kappa_low": 0.7 - n / 10,
                "kappa_high": 0.85 - n / 10,
            }
            for n in range(4)
        ),
    )
    put(
        connection,
        "fct_labeller_label",
        (
            {
                "labeller": f"model {n}",
                "labeller_version": "1",
                "label_id": k,
                "label": "x",
                "label_count": 100 * (k + 1),
                "abstained_count": 0,
            }
            for n in range(3)
            for k in range(6)
        ),
    )
    paper = {20: 0.4651, 40: 0.2927, 60: 0.0952}
    put(
        connection,
        "fct_ranking_backtest",
        (
            {
                "data": "made-up trades",
                "is_synthetic": True,
                "pool": "surrogate",
                "source": "trades",
                "rule": rule,
                "offset_seconds": offset,
                "n": 120,
                "pool_size": 50,
                "top1": 0.1,
                "top3": 0.2,
                "top5": 0.5 - offset / 200 - index / 10,
                "top5_low": 0.4 - offset / 200 - index / 10,
                "top5_high": 0.6 - offset / 200 - index / 10,
                "top10": 0.6,
                "mrr": 0.2,
                "paper_n": 43,
                "paper_top5": value,
                "paper_top10": 0.5,
                "computed_at": now,
            }
            for index, rule in enumerate(("default", "prototype"))
            for offset, value in paper.items()
        ),
    )


def _pipeline(connection: psycopg.Connection, now: datetime, draw: random.Random) -> None:
    put(connection, "fct_mart_build", [{"built_at": now - timedelta(minutes=5), "dbt_version": "made up"}])
    states = ("healthy", "healthy", "silent", "unhealthy")
    put(
        connection,
        "fct_service_health",
        (
            {
                "name": f"collect:{EXCHANGES[n]}:1/1",
                "service": "collect",
                "beat_at": now,
                "silence_seconds": 3.0 * n,
                "lag_seconds": 0.4,
                "is_healthy": True,
                "state": state,
                "details": f'{{"books": {n}}}',
            }
            for n, state in enumerate(states)
        ),
    )
    put(
        connection,
        "fct_table_freshness",
        (
            {
                "table_name": f"core.table_{n}",
                "layer": "core",
                "estimated_rows": 10**n,
                "bytes": 10 ** (n + 2),
                "newest_at": now,
                "age_seconds": 7.0**n,
            }
            for n in range(7)
        ),
    )
    put(
        connection,
        "fct_collection_hour",
        (
            {
                "exchange": exchange,
                "hour_end_at": now.replace(minute=0, second=0) - timedelta(hours=n),
                "seen_ratio": draw.uniform(0.95, 1),
                "bucket_ratio": 1.0,
                "watched": 300,
                "lag_p50_seconds": 0.2,
                "lag_p99_seconds": draw.uniform(0.3, 1.5),
            }
            for exchange in EXCHANGES[:5]
            for n in range(72)
        ),
    )
    put(
        connection,
        "fct_feed_gap",
        [
            {
                "gap_id": "gap",
                "exchange": "xt",
                "shard": "1/1",
                "instrument_count": 300,
                "started_at": now,
                "duration_seconds": 4.0,
                "reason": "stalled",
            }
        ],
    )
    put(
        connection,
        "fct_refused_input",
        [{"source": "archive", "day": now.date(), "reason": HOSTILE, "refused_count": 3, "last_refused_at": now}],
    )
