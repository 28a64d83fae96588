"""`make soak`: thousands of coins on five simulated exchanges, collected for a quarter of an hour in peace, then while things are broken.

What was sent is held against what is stored; lag, missed ticks and memory are reported. Takes half an hour; figures belong to the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from pnd_dagster.market.instruments import refresh_exchanges
from pnd_dagster.settings import Settings, environment, load_settings
from pnd_dagster.simulator.exchanges.process import ServedExchanges, serve_in_process
from pnd_dagster.storage import connect, embedded, read_frame
from pnd_dagster.tables import BUCKET_COMMITS, BUCKET_SECONDS, FEED_GAPS, LEASES
from tests.e2e.reconcile import Reconciliation, reconcile

SAMPLE_SECONDS = 10.0
WARM_SECONDS = 60.0
EXCHANGES = ("latoken", "kucoin", "mexc", "poloniex", "xt")
OUT = Console(width=170)


class StoredLedger:
    """A ledger that a server wrote into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def books(self) -> pl.DataFrame:
        return pl.read_parquet(self._folder / "books.parquet")

    def trades(self) -> pl.DataFrame:
        return pl.read_parquet(self._folder / "trades.parquet")


def main() -> None:
    """Runs both parts and prints their tables; exit code 1 if anything is silently wrong, or a tick was missed in peace."""
    arguments = _arguments()
    folder = Path(tempfile.mkdtemp(prefix="pnd-soak-"))
    folder.chmod(0o755)
    home = folder / "home"
    try:
        with serve_in_process(coins=arguments.coins, rate=arguments.rate, seed=11) as served:
            settings = load_settings(home=home, exchange_url=served.url, exchanges=",".join(EXCHANGES))
            engine = connect(settings)
            refreshed = refresh_exchanges(engine, settings, datetime.now(UTC))
            OUT.print({exchange: written.inserted for exchange, written in refreshed.written.items()}, refreshed.errors)
            is_fine = _peace(settings, engine, served, folder, arguments.minutes * 60)
            is_fine &= _war(settings, engine, served, folder, arguments.kills)
    finally:
        embedded.stop(home)
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(not is_fine)


def _peace(settings: Settings, engine: sa.Engine, served: ServedExchanges, folder: Path, seconds: float) -> bool:
    with collecting(settings, folder / "peace.log") as collectors:
        time.sleep(WARM_SECONDS)
        before, started_at = served.status(), datetime.now(UTC)
        samples = [_sample(collectors.pid, served)]
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(SAMPLE_SECONDS)
            samples.append(_sample(collectors.pid, served))
        after, ended_at = served.status(), datetime.now(UTC)
    per_second = {name: (after["sent"][name] - before["sent"][name]) / seconds for name in after["sent"]}
    OUT.rule(f"in peace, {seconds / 60:.0f} minutes: {', '.join(f'{rate:,.0f} {name}/s' for name, rate in per_second.items())}")
    ticks = _ticks(engine, started_at, ended_at)
    OUT.print(_table(ticks, "ticks"))
    OUT.print(_table(_memory(samples), "memory and CPU, first and last third"))
    found = _reconciled(engine, served, folder / "ledger-peace")
    return bool(ticks["missed"].sum() == 0) and _is_right(found)


def _war(settings: Settings, engine: sa.Engine, served: ServedExchanges, folder: Path, kills: int) -> bool:
    rng = random.Random(5)  # noqa: S311
    done: list[str] = []
    with collecting(settings, folder / "war.log") as collectors:
        time.sleep(WARM_SECONDS)
        started_at = datetime.now(UTC)
        for number in range(kills):
            children = _children(collectors.pid)
            if children:
                victim = rng.choice(sorted(children))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
            done.append("kill -9")
            time.sleep(rng.uniform(6, 12))
            exchange = rng.choice(EXCHANGES)
            what = rng.choice(("kick", "kick with code", "stall", "drop", "duplicate", "reorder", "corrupt", "429", "refuse"))
            _break(served, what, exchange, rng)
            done.append(f"{what} {exchange}")
            time.sleep(rng.uniform(6, 12))
            if number == kills // 2:
                done.append("Postgres restarted")
                engine.dispose()
                port = engine.url.port
                embedded.stop(settings.home)
                time.sleep(15)
                embedded.start(settings.home, port=port)
        time.sleep(WARM_SECONDS)
        ended_at = datetime.now(UTC)
    OUT.rule(f"while things break, {(ended_at - started_at).total_seconds() / 60:.0f} minutes")
    OUT.print(", ".join(done))
    OUT.print(_table(_ticks(engine, started_at, ended_at), "ticks; the missed are those of a process that was dead"))
    reasons = read_frame(engine, sa.select(FEED_GAPS.c.reason, sa.func.count().label("gaps")).group_by(FEED_GAPS.c.reason))
    OUT.print(_table(reasons.sort("gaps", descending=True), "gaps"))
    epochs = read_frame(engine, sa.select(LEASES.c.name, LEASES.c.epoch).order_by(LEASES.c.name))
    OUT.print(_table(epochs, "leases"))
    return _is_right(_reconciled(engine, served, folder / "ledger-war"))


def _break(served: ServedExchanges, what: str, exchange: str, rng: random.Random) -> None:
    base = rng.choice(("VIA", "NEBL", "OAX", "WABI", "NXS"))
    try:
        match what:
            case "kick":
                served.control("kick", exchange=exchange)
            case "kick with code":
                served.control("kick", exchange=exchange, code=1012)
            case "stall":
                served.control("stall", exchange=exchange)
            case "429":
                served.control("rest", exchange=exchange, base=base, status=429, seconds=20)
            case "refuse":
                served.control("refuse", exchange=exchange, seconds=8)
            case "corrupt":
                served.control(
                    "corrupt", exchange=exchange, base=base, how=rng.choice(("malformed", "truncated", "nan", "negative", "absurd"))
                )
            case _:
                served.control(what, exchange=exchange, base=base)
    except ValueError as error:
        OUT.print(f"{what} {exchange} {base}: {error}")


@contextlib.contextmanager
def collecting(settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PND_")} | environment(settings)
    command = [sys.executable, "-m", "pnd_dagster", "collect", "--exchange", "all"]
    with log.open("wb") as output, subprocess.Popen(command, env=variables, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(90)


def _ticks(engine: sa.Engine, start: datetime, end: datetime) -> pl.DataFrame:
    """Per exchange: ticks, missed between the first and the last, lag in seconds, rows."""
    commit = BUCKET_COMMITS.c
    rows = read_frame(
        engine, sa.select(BUCKET_COMMITS).where(commit.bucket_end_at > start, commit.bucket_end_at <= end - timedelta(seconds=10))
    )
    span = (pl.col("bucket_end_at").max() - pl.col("bucket_end_at").min()).dt.total_seconds() / BUCKET_SECONDS + 1
    totals = [pl.col(name).sum() for name in ("book_rows", "trade_rows", "rejected_frames", "duplicates", "blind")]
    return (
        rows.group_by("exchange")
        .agg(
            pl.col("watched").max(),
            pl.len().alias("ticks"),
            (span - pl.len()).cast(pl.Int64).alias("missed"),
            pl.col("lag_seconds").filter(~pl.col("is_spilled")).median().alias("lag p50"),
            pl.col("lag_seconds").filter(~pl.col("is_spilled")).quantile(0.99).alias("lag p99"),
            pl.col("lag_seconds").filter(~pl.col("is_spilled")).max().alias("lag max"),
            pl.col("is_spilled").sum().alias("spilled"),
            *totals,
        )
        .sort("exchange")
    )


def _reconciled(engine: sa.Engine, served: ServedExchanges, ledger: Path) -> Reconciliation:
    ledger.mkdir()
    served.control("write_ledger", folder=str(ledger))
    found = reconcile(StoredLedger(ledger), engine)
    OUT.print(str(found))
    return found


def _is_right(found: Reconciliation) -> bool:
    if found.books.wrong or found.trades.wrong:
        OUT.print(found.examples)
    return not found.books.wrong and not found.trades.wrong


def _children(parent: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split() if "spawn_main" in _command(int(pid))]


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def _sample(collectors: int, served: ServedExchanges) -> dict[str, tuple[float, float]]:
    """Resident megabytes and CPU seconds of the collectors together, and of the simulated exchanges."""
    parts = [_usage(pid) for pid in (collectors, *_children(collectors))]
    return {"collectors": (sum(part[0] for part in parts), sum(part[1] for part in parts)), "simulator": _usage(served.process_id)}


def _usage(pid: int) -> tuple[float, float]:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0, 0.0
    return int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(samples: list[dict[str, tuple[float, float]]]) -> pl.DataFrame:
    third = max(1, len(samples) // 3)
    seconds = (len(samples) - 1) * SAMPLE_SECONDS
    rows = [
        {
            "process": name,
            "first third, MB": sum(sample[name][0] for sample in samples[:third]) / third,
            "last third, MB": sum(sample[name][0] for sample in samples[-third:]) / third,
            "cores": (samples[-1][name][1] - samples[0][name][1]) / seconds,
        }
        for name in samples[0]
    ]
    return pl.DataFrame(rows)


def _table(frame: pl.DataFrame, title: str) -> Table:
    table = Table(*frame.columns, title=title, title_justify="left")
    for row in frame.iter_rows():
        table.add_row(
            *(f"{value:,.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value) for value in row)
        )
    return table


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--coins", type=int, default=4_400, help="markets over all exchanges")
    parser.add_argument("--rate", type=float, default=5_000, help="changes per second over all markets")
    parser.add_argument("--minutes", type=float, default=15, help="minutes in peace")
    parser.add_argument("--kills", type=int, default=20, help="collectors killed with -9 in the second part")
    return parser.parse_args()


if __name__ == "__main__":
    main()
