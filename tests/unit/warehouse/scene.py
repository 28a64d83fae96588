"""A made-up pump from announcement to alert, around midnight, with all that misleads: hostile titles, shared symbols, missing candles."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from pnd_dagster import tables
from pnd_dagster.ranking.rules import DEFAULT
from pnd_dagster.storage.partitions import make_days

HOSTILE = '<img src=x onerror="alert(1)"> =HYPERLINK("http://x.invalid";"win") **bold** \u202e'
RELEASED = datetime(2026, 1, 1, 23, 59, 50, tzinfo=UTC)
START = datetime(2026, 1, 2, tzinfo=UTC)
KNOWN = datetime(2026, 1, 3, tzinfo=UTC)
LONG_AGO = date(2025, 3, 5)
Z = [9.26, 4.0, 3.0, 0.5, *[float("nan")] * (len(DEFAULT.columns) - 5), 12_000.0]


def fill(engine: sa.Engine) -> None:
    """Writes the scene into an empty database."""
    make_days(engine, [tables.ORDER_BOOK_METRICS, tables.TRADE_METRICS, tables.TARGET_RANKINGS], [date(2026, 1, 1), date(2026, 1, 2)])
    with engine.begin() as connection:
        for table, rows in _rows():
            for row in rows:
                connection.execute(sa.insert(table), row)


def message(channel: int, number: int, at: datetime, text: str, revision: int = 1, **changed: Any) -> dict[str, Any]:
    """A row of raw.telegram_messages."""
    row: dict[str, Any] = {"channel_id": channel, "message_id": number, "revision_id": revision, "occurred_at": at, "edited_at": None}
    row |= {"ingested_at": KNOWN, "is_deleted": False, "kind": "message", "text": text, "source": "simulated"}
    return row | changed


def label(channel: int, number: int, value: int, revision: int = 1, **changed: Any) -> dict[str, Any]:
    """A row of core.message_labels."""
    row: dict[str, Any] = {"channel_id": channel, "message_id": number, "revision_id": revision, "labeller": "pumpbert"}
    row |= {"labeller_version": "1", "label": value, "confidence": 0.9, "is_abstained": False, "labelled_at": KNOWN}
    return row | changed


def candle(exchange: str, pair: str, day: date, **changed: Any) -> dict[str, Any]:
    """A row of raw.ohlcv_daily."""
    row: dict[str, Any] = {"exchange": exchange, "symbol": pair, "day": day, "open": 1.0, "high": 4.0, "low": 1.0, "close": 2.0}
    row |= {"volume": 10.0, "quote_volume": None, "source": "ohlcv", "is_complete": True, "ingested_at": KNOWN}
    return row | changed


def candidate(instrument: int, day: date, pair: str = "ABC/USDT", **changed: Any) -> dict[str, Any]:
    """A row of core.candidate_coins."""
    row: dict[str, Any] = {"instrument_id": instrument, "as_of_date": day, "exchange": "kucoin", "symbol": pair, "coin_id": 100}
    row |= {"market_cap_usd": 2e6, "cap_source": "coinmarketcap", "is_candidate": True, "reason": "within the limit"}
    return row | changed


def instrument(number: int, exchange: str, base: str, **changed: Any) -> dict[str, Any]:
    """A row of core.instruments."""
    row: dict[str, Any] = {"instrument_id": number, "exchange": exchange, "market_id": f"{base}-{number}", "symbol": f"{base}/USDT"}
    row |= {"base_symbol": base, "quote_symbol": "USDT", "base_id": base, "quote_id": "USDT", "is_derivative": False}
    return row | {"valid_from": datetime(2025, 6, 1, tzinfo=UTC), "valid_to": None} | changed


def _coin(number: int, symbol: str, name: str, **changed: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"coin_id": number, "snapshot_at": START, "symbol": symbol, "name": name, "slug": name.lower(), "payload": {}}
    return row | {"market_cap_usd": 0.0, "self_reported_market_cap_usd": None, "token_standard": None, "is_active": True} | changed


def _social(number: int, name: str, interactions: int) -> dict[str, Any]:
    at = datetime(2026, 1, 2, 8, tzinfo=UTC)
    return {"coin_id": number, "snapshot_at": at, "symbol": "ABC", "name": name, "interactions": interactions, "payload": {}}


def _event(number: str, exchange: str | None, symbol: str, at: datetime, channels: list[int], **changed: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"event_id": number, "paper_event_key": f"{exchange} {symbol} {at:%Y-%m-%d %H}", "exchange": exchange}
    row |= {"symbol": symbol, "released_at": at, "last_released_at": at, "confidence": 0.9, "channel_ids": channels}
    return row | {"channel_count": len(channels), "evidence_count": len(channels), "announcement_ids": [], "aliases": []} | changed


def _release(channel: int, number: int, at: datetime, symbol: str, event: str) -> dict[str, Any]:
    row: dict[str, Any] = {"channel_id": channel, "message_id": number, "released_at": at, "exchange": "kucoin", "symbol": symbol}
    return row | {"confidence": 0.9, "is_symbol_listed": True, "event_id": event}


def _rows() -> list[tuple[sa.Table, list[dict[str, Any]]]]:
    later = RELEASED + timedelta(seconds=20)
    old = datetime(2019, 5, 1, 12, tzinfo=UTC)
    tick = RELEASED - timedelta(seconds=20)
    bucket = RELEASED - timedelta(seconds=5)
    commit = {"exchange": "kucoin", "shard": "1/1", "watched": 10, "blind": 1, "book_rows": 5, "trade_rows": 2, "book_updates": 9}
    commit |= {"trades": 3, "unusable_books": 0, "rejected_frames": 0, "duplicates": 0, "is_gap": False, "is_spilled": False}
    commit |= {"lag_seconds": 0.5, "lease_epoch": 1, "committed_at": RELEASED}
    alert = {"alert_id": "a1", "stage": "announced", "subject_id": "pump", "exchange": "kucoin", "title": HOSTILE, "attempts": 1}
    alert |= {"body": {"lines": [HOSTILE, "second"], "disclaimer": "No advice."}, "created_at": tick, "next_attempt_at": tick}
    watched = {"watch_id": "pump:0", "exchange": "kucoin"}
    return [
        (
            tables.TELEGRAM_CHANNELS,
            [
                {
                    "channel_id": 1,
                    "title": HOSTILE,
                    "found_via": "simulated",
                    "status": "validated",
                    "is_vanished": False,
                    "discovered_at": old,
                },
                {
                    "channel_id": 2,
                    "title": " ",
                    "found_via": "simulated",
                    "status": "candidate",
                    "is_vanished": False,
                    "discovered_at": old,
                },
            ],
        ),
        (
            tables.TELEGRAM_MESSAGES,
            [
                message(1, 1, RELEASED - timedelta(hours=12), "Pump tomorrow at midnight"),
                message(1, 2, RELEASED, f"The coin is ABC {HOSTILE}"),
                message(2, 7, later, "ABC"),
                message(3, 9, later, "good morning", ingested_at=datetime(2099, 1, 1, tzinfo=UTC)),
                message(3, 10, later, "gone", 1),
                message(3, 10, later, "", 2, is_deleted=True, edited_at=KNOWN),
            ],
        ),
        (tables.MESSAGE_LABELS, [label(1, 1, 0), label(1, 2, 2), label(2, 7, 2), label(3, 9, 5)]),
        (
            tables.PUMP_ANNOUNCEMENTS,
            [
                {
                    "announcement_id": "ann",
                    "channel_id": 1,
                    "message_id": 1,
                    "announced_at": RELEASED - timedelta(hours=12),
                    "exchange": "kucoin",
                    "scheduled_at": START,
                    "is_inferred": False,
                    "schedule_revision": 0,
                    "status": "released",
                    "status_at": RELEASED,
                    "released_message_id": 2,
                    "evidence_message_ids": [1, 2],
                }
            ],
        ),
        (
            tables.SCHEDULED_PUMPS,
            [
                {
                    "pump_id": "pump",
                    "exchange": "kucoin",
                    "scheduled_at": START,
                    "schedule_revision": 0,
                    "status": "released",
                    "announcement_ids": ["ann"],
                    "channel_ids": [1],
                    "channel_count": 1,
                    "first_announced_at": RELEASED - timedelta(hours=12),
                }
            ],
        ),
        (
            tables.PUMP_RELEASES,
            [_release(1, 2, RELEASED, "ABC", "event"), _release(2, 7, later, "ABC", "event"), _release(4, 1, old, "ABC", "before candles")],
        ),
        (
            tables.PUMP_EVENTS,
            [
                _event("event", "kucoin", "ABC", RELEASED, [1, 2], announcement_ids=["ann"], aliases=["merged"]),
                _event("before candles", "kucoin", "ABC", old, [4]),
                _event("several markets", "mexc", "DUP", RELEASED, [1]),
                _event("nowhere", None, "XYZ", RELEASED, [1]),
                _event("unheard of", "elsewhere", "XYZ", RELEASED, [1]),
            ],
        ),
        (
            tables.INSTRUMENTS,
            [
                instrument(1, "kucoin", "ABC"),
                instrument(2, "mexc", "DUP"),
                instrument(3, "mexc", "DUP"),
                instrument(4, "kucoin", "GONE", valid_to=datetime(2025, 12, 1, tzinfo=UTC)),
            ],
        ),
        (
            tables.COINMARKETCAP_SNAPSHOTS,
            [_coin(100, "ABC", "Alpha", token_standard="ERC-20"), _coin(101, "ABC", "Beta", self_reported_market_cap_usd=5.0)],
        ),
        (
            tables.COIN_LINKS,
            [{"instrument_id": 1, "coin_id": 100, "method": "name", "rivals": [101], "reason": "same name", "linked_at": KNOWN}],
        ),
        (tables.LUNARCRUSH_SNAPSHOTS, [_social(7, "ALPHA", 70), _social(8, "Beta", 80), _social(9, "Beta", 90)]),
        (
            tables.OHLCV_DAILY,
            [candle("kucoin", "ABC/USDT", day) for day in (date(2026, 1, 2), date(2026, 1, 3))]
            + [
                candle("mexc", "DUP/USDT", date(2026, 1, 2), quote_volume=7.0),
                candle("kucoin", "NEW/USDT", LONG_AGO + timedelta(days=1), ingested_at=old),
            ],
        ),
        (
            tables.COINCODEX_DAILY,
            [
                {
                    "coin_id": "alpha",
                    "day": day,
                    "symbol": "ABC",
                    "name": "ALPHA",
                    "market_cap_usd": 3e6,
                    "payload": {},
                    "ingested_at": KNOWN,
                }
                for day in (date(2026, 1, 2), date(2026, 1, 3))
            ],
        ),
        (tables.CANDIDATE_COINS, [candidate(1, day) for day in (LONG_AGO, date(2026, 1, 1), date(2026, 1, 2))]),
        (
            tables.ORDER_BOOK_METRICS,
            [
                {
                    "instrument_id": 1,
                    "bucket_end_at": at,
                    "mid_price": 2.0,
                    "bid_levels": 1,
                    "ask_levels": 1,
                    "update_count": 1,
                    "is_gap": False,
                }
                for at in (bucket, bucket + timedelta(seconds=5))
            ],
        ),
        (
            tables.TRADE_METRICS,
            [{"instrument_id": 1, "bucket_end_at": bucket, "trade_count": 3, "quote_volume": 6.0, "vwap": 2.0, "is_gap": True}],
        ),
        (
            tables.BUCKET_COMMITS,
            [commit | {"bucket_end_at": START}, commit | {"bucket_end_at": START + timedelta(seconds=5), "lag_seconds": 1.5}],
        ),
        (
            tables.WATCHES,
            [
                {
                    "watch_id": "pump:0",
                    "pump_id": "pump",
                    "schedule_revision": 0,
                    "exchanges": ["kucoin"],
                    "scheduled_at": START,
                    "started_at": tick,
                    "attempt": 1,
                    "state": "released",
                    "event_id": "merged",
                    "symbol": "ABC",
                    "tick_count": 1,
                }
            ],
        ),
        (
            tables.RANKING_TICKS,
            [
                {
                    "ranking_id": 5,
                    **watched,
                    "bucket_end_at": tick,
                    "lead_seconds": 30.0,
                    "score_rule": "default",
                    "candidates": 51,
                    "active": 2,
                    "lag_seconds": 0.2,
                    "lease_epoch": 1,
                }
            ],
        ),
        (
            tables.TARGET_RANKINGS,
            [
                {"ranking_id": 5, "instrument_id": 1, "bucket_end_at": tick, "rank": 1, "score": 7.0, "is_active": True, "z": Z},
                {"ranking_id": 5, "instrument_id": 99, "bucket_end_at": tick, "rank": 2, "score": 1.0, "is_active": True, "z": None},
                {"ranking_id": 5, "instrument_id": 2, "bucket_end_at": tick, "rank": 27, "score": 0.0, "is_active": False, "z": None},
            ],
        ),
        (
            tables.WATCH_RESULTS,
            [
                {
                    "watch_id": "pump:0",
                    "event_id": "merged",
                    "offset_seconds": offset,
                    "exchange": "kucoin",
                    "symbol": "ABC",
                    "instrument_id": 1,
                    "rank": rank,
                    "candidates": 51 if rank else None,
                    "evaluated_at": KNOWN,
                }
                for offset, rank in ((20, 1.0), (40, None))
            ],
        ),
        (
            tables.ALERTS,
            [
                alert | {"channel": "file", "state": "sent", "sent_at": tick + timedelta(seconds=2)},
                alert | {"channel": "webhook", "state": "failed", "last_error": "refused"},
            ],
        ),
        (
            tables.HEARTBEATS,
            [
                {"name": "listen", "beat_at": datetime.now(UTC), "is_healthy": True, "details": {}},
                {"name": "collect:kucoin:1/1", "beat_at": datetime.now(UTC) - timedelta(minutes=4), "is_healthy": True, "details": {}},
                {"name": "deliver", "beat_at": old, "is_healthy": True, "details": {"state": "stopped"}},
            ],
        ),
    ]
