"""How long each hop of the live path takes: `python -m benchmarks.latency [messages|market]` prints p50, p95 and n.

Messages run through the listener's own `handle_batch` beside an archive of long channels; markets of 4,400 coins stream from simulated
exchanges, are collected, and all ranked by one watch for a minute. `run()` gives each hop's p95 against its aim: a ratio above 1 keeps it.
Takes some three minutes.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import polars as pl
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from benchmarks.soak import EXCHANGES, collecting
from pnd_dagster.events.replays import Replays
from pnd_dagster.events.store import rebuild_events
from pnd_dagster.market.instruments import refresh_exchanges
from pnd_dagster.messages.classifier import Classifier, load_classifier
from pnd_dagster.services import message_duties
from pnd_dagster.services.watch import watch
from pnd_dagster.services.watch_orders import Order
from pnd_dagster.settings import Settings, load_settings
from pnd_dagster.simulator.exchanges.process import serve_in_process
from pnd_dagster.storage import connect, embedded, read_frame, upsert
from pnd_dagster.tables import BUCKET_COMMITS, MESSAGE_LABELS, RANKING_TICKS, TELEGRAM_MESSAGES
from pnd_dagster.telegram.batches import MessageBatch, empty_batch

CHANNELS, CHANNEL_MESSAGES, LIVE_MESSAGES = 25, 4_000, 150
LONG_CHANNEL_MESSAGES = 20_000
COINS, RATE = 4_400, 5_000.0
LONGEST_WARM_SECONDS, STREAM_SECONDS = 120.0, 60.0


class Hop(NamedTuple):
    """A hop's times in seconds, and the aim for its p95; None where there is none."""

    what: str
    seconds: list[float]
    aim_seconds: float | None = None


def run() -> list[dict[str, Any]]:
    """One row per hop that has an aim."""
    return [
        {
            "what": f"{hop.what}, p95 {_percentile(hop, 95):.2f} s",
            "peer": f"aim {hop.aim_seconds} s",
            "rows_per_second": round(1 / _percentile(hop, 95), 2),
            "peer_rows_per_second": round(1 / hop.aim_seconds, 2),
            "ratio": round(hop.aim_seconds / _percentile(hop, 95), 2),
            "n": len(hop.seconds),
        }
        for hop in (*message_hops(), *market_hops())
        if hop.aim_seconds is not None and hop.seconds
    ]


def message_hops() -> list[Hop]:
    """From a message's commit to its label, its announcement and its alert; new messages come to channels long and short in turn."""
    with _installation() as (settings, engine):
        classifier = load_classifier()
        _fill_archive(engine, classifier)
        rebuild_events(engine, classifier)
        replays, spent = Replays(), defaultdict[str, list[float]](list)
        message_duties.warm_up(engine, classifier, replays, lambda: False)
        for channel_id in range(1, CHANNELS + 1):
            message_duties.warm_replays(engine, classifier, replays, channel_id)
        duties = {"label_revisions": "label", "rebuild_events": "announcement", "announced_alerts": "alert"}
        with contextlib.ExitStack() as stack:
            for name in duties:
                stack.enter_context(patch.object(message_duties, name, _timed(getattr(message_duties, name), spent[name])))
            for number in range(LIVE_MESSAGES):
                batch = _live_message(number)
                upsert(engine, TELEGRAM_MESSAGES, batch.messages)
                committed_at = time.perf_counter()
                message_duties.handle_batch(engine, settings, classifier, batch, replays)
                spent["all"].append(time.perf_counter() - committed_at)
        hops = [Hop(f"message committed -> {what}: this step alone", spent[name]) for name, what in duties.items()]
        return [*hops, Hop("message committed -> label, announcement and alert in Postgres", spent["all"], 1.0)]


def market_hops() -> list[Hop]:
    """From a bucket's end to its metric rows and to its ranking, of all candidates of five exchanges by one watch."""
    with _installation() as (settings, engine), serve_in_process(coins=COINS, rate=RATE, seed=11) as served:
        settings = settings.model_copy(update={"exchange_url": served.url, "exchanges": list(EXCHANGES)})
        refresh_exchanges(engine, settings, datetime.now(UTC))
        with collecting(settings, settings.home / "collect.log"):
            _wait_for_all(engine)
            stop, started_at = threading.Event(), datetime.now(UTC)
            order = Order("manual:all:benchmark", None, None, EXCHANGES, started_at + timedelta(seconds=STREAM_SECONDS))
            watching = threading.Thread(target=watch, args=(engine, settings, order, stop))
            watching.start()
            time.sleep(STREAM_SECONDS)
            stop.set()
            watching.join(60)
        commits = sa.select(BUCKET_COMMITS.c.lag_seconds, BUCKET_COMMITS.c.watched)
        rows = read_frame(engine, commits.where(BUCKET_COMMITS.c.bucket_end_at > started_at, ~BUCKET_COMMITS.c.is_spilled))
        ticks = read_frame(
            engine, sa.select(RANKING_TICKS.c.lag_seconds, RANKING_TICKS.c.candidates).where(RANKING_TICKS.c.bucket_end_at > started_at)
        )
        return [
            Hop("bucket end -> metric rows", rows["lag_seconds"].to_list()),
            Hop(f"bucket end -> ranking row, {COINS:,} coins streaming", ticks["lag_seconds"].to_list(), 1.5),
        ]


def _wait_for_all(engine: sa.Engine) -> None:
    """Until every exchange commits in time; at most for `LONGEST_WARM_SECONDS`."""
    commit, ends_at = BUCKET_COMMITS.c, time.monotonic() + LONGEST_WARM_SECONDS
    while time.monotonic() < ends_at:
        time.sleep(2)
        recent = commit.bucket_end_at > datetime.now(UTC) - timedelta(seconds=12)
        committed = read_frame(engine, sa.select(commit.exchange).where(recent, commit.blind < commit.watched))
        if committed["exchange"].n_unique() == len(EXCHANGES):
            return


@contextlib.contextmanager
def _installation() -> Generator[tuple[Settings, sa.Engine]]:
    folder = Path(tempfile.mkdtemp(prefix="pnd-bench-", dir="/var/tmp"))
    folder.chmod(0o755)
    settings = load_settings(home=folder / "home", database_url=None)
    try:
        engine = connect(settings)
        yield settings, engine
        engine.dispose()
    finally:
        embedded.stop(folder / "home")
        shutil.rmtree(folder, ignore_errors=True)


def _timed(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    def timed(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            seconds.append(time.perf_counter() - began)

    return timed


def _message_rows(frame: pl.DataFrame) -> pl.DataFrame:
    constants = {"is_deleted": False, "kind": "message", "is_from_member": False, "source": "live", "edited_at": None, "media_file": None}
    return frame.with_columns(*(pl.lit(value).alias(name) for name, value in constants.items())).with_columns(
        pl.col("edited_at").cast(pl.Datetime("us", "UTC")), pl.col("media_file").cast(pl.String), revision_id=pl.col("message_id")
    )


def _fill_archive(engine: sa.Engine, classifier: Classifier) -> None:
    """Years of channels: a pump every forty messages, labels given; one channel is much longer than the others."""
    rng, end = np.random.default_rng(0), datetime.now(UTC) - timedelta(days=2)
    for channel_id in range(1, CHANNELS + 1):
        count = LONG_CHANNEL_MESSAGES if channel_id == 1 else CHANNEL_MESSAGES
        dates = [end - timedelta(hours=count - number) for number in range(count)]
        rows: list[tuple[int, datetime, int, str]] = []
        for number, at in enumerate(dates):
            place = number % 40
            start = at + timedelta(hours=2)
            coin = "".join(rng.choice(list("ABCDEFGHKLMNPRSTVXZ"), 4))
            label, text = {
                36: (0, f"Next pump\nDate: {start:%d %B %Y}\nTime: {start:%H}:00 GMT\nExchange: Kucoin"),
                37: (1, "1 hour left until the pump on Kucoin"),
                38: (2, f"The coin is: {coin}"),
                39: (3, f"Pump results: {coin} reached 250%"),
            }.get(place, (5, f"good morning traders, the market looks {rng.random():.5f} today"))
            rows.append((number + 1, at, label, text))
        frame = pl.DataFrame(rows, schema=["message_id", "occurred_at", "label", "text"], orient="row").with_columns(
            channel_id=pl.lit(channel_id), ingested_at=pl.col("occurred_at")
        )
        messages = _message_rows(frame)
        upsert(engine, TELEGRAM_MESSAGES, messages.drop("label"))
        labels = messages.select("channel_id", "message_id", "revision_id", pl.col("label").cast(pl.Int16)).with_columns(
            labeller=pl.lit(classifier.name),
            labeller_version=pl.lit(classifier.version),
            confidence=pl.lit(0.95),
            is_abstained=pl.lit(False),
            labelled_at=pl.lit(datetime.now(UTC)),
        )
        upsert(engine, MESSAGE_LABELS, labels)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE raw.telegram_messages, core.message_labels")


def _live_message(number: int) -> MessageBatch:
    """Announcements, countdowns and chatter, to one channel after the other."""
    now = datetime.now(UTC)
    start = (now + timedelta(hours=3 + number % 5)).replace(minute=0)
    text = (
        f"Next pump\nDate: {start:%d %B %Y}\nTime: {start:%H}:00 GMT\nExchange: Kucoin\nPair: USDT",
        f"Only {1 + number % 5} hours left until our big pump on Kucoin, be ready",
        f"good evening everyone, market update number {number}",
    )[number % 3]
    row = {
        "channel_id": 1 + number % CHANNELS,
        "message_id": 1_000_000 + number,
        "occurred_at": now,
        "ingested_at": now,
        "text": text,
    }
    return empty_batch()._replace(messages=_message_rows(pl.DataFrame([row])))


def _percentile(hop: Hop, percent: float) -> float:
    return float(np.percentile(hop.seconds, percent))


def main(parts: list[str]) -> None:
    """Prints the table."""
    table = Table("hop", "n", "p50, s", "p95, s", "aim, s", title="latency", title_justify="left")
    jobs = {"messages": message_hops, "market": market_hops}
    for part in parts or jobs:
        for hop in jobs[part]():
            times = (f"{_percentile(hop, percent):.3f}" if hop.seconds else "-" for percent in (50, 95))
            table.add_row(hop.what, str(len(hop.seconds)), *times, "-" if hop.aim_seconds is None else str(hop.aim_seconds))
    Console().print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
