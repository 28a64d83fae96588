"""Posts of a pump that is played live: in time order, and such that the platform reads exchange, time and coin from them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from pnd_dagster.cli import app
from pnd_dagster.simulator.live_pump import live_posts, next_start

NOW = datetime(2026, 5, 1, 12, 58, 7, tzinfo=UTC)


def test_the_start_is_on_the_first_full_minute_that_is_far_enough() -> None:
    assert next_start(NOW, lead_seconds=53) == datetime(2026, 5, 1, 12, 59, tzinfo=UTC)
    assert next_start(NOW, lead_seconds=54) == datetime(2026, 5, 1, 13, 0, tzinfo=UTC)
    assert next_start(NOW.replace(second=0), lead_seconds=60) == datetime(2026, 5, 1, 12, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("lead_seconds", "kinds"),
    [(70, ["announcement", "countdown", "countdown", "release", "results"]), (50, ["announcement", "countdown", "release", "results"])],
)
def test_posts_come_in_time_order_and_nothing_counts_down_before_the_announcement(lead_seconds: float, kinds: list[str]) -> None:
    scheduled_at = next_start(NOW, lead_seconds=lead_seconds)
    posts = live_posts("kucoin", "ZORB", "USDT", announced_at=NOW, scheduled_at=scheduled_at)
    assert [post.kind for post in posts] == kinds
    assert [post.at for post in posts] == sorted(post.at for post in posts)
    assert posts[0].at == NOW
    assert next(post.at for post in posts if post.kind == "release") == scheduled_at
    assert not any("ZORB" in post.text for post in posts if post.at < scheduled_at)


def test_the_platform_reads_exchange_time_and_coin_of_them(tmp_path: Path) -> None:
    scheduled_at = next_start(NOW, lead_seconds=70)
    rows = [
        (channel, number, post.at, post.text)
        for channel, (exchange, base) in enumerate((("kucoin", "ZORB"), ("mexc", "KLIM")), 1)
        for number, post in enumerate(live_posts(exchange, base, "USDT", announced_at=NOW, scheduled_at=scheduled_at), 1)
    ]
    frame = pl.DataFrame(rows, schema=["channel_id", "message_id", "date", "text"], orient="row")
    frame.write_parquet(tmp_path / "posts.parquet")
    names = ("--messages", "posts.parquet", "--output", "events.parquet", "--announcements", "announcements.parquet")
    done = CliRunner().invoke(app, ["extract-events", *(str(tmp_path / name) if name.endswith("parquet") else name for name in names)])
    assert done.exit_code == 0, done.output
    released = pl.read_parquet(tmp_path / "events.parquet").sort("channel_id")
    assert released.select("exchange", "symbol", "released_at").rows() == [
        ("kucoin", "ZORB", scheduled_at),
        ("mexc", "KLIM", scheduled_at),
    ]
    announced = pl.read_parquet(tmp_path / "announcements.parquet").sort("channel_id")
    assert announced.select("exchange", "scheduled_at", "status").rows() == [
        ("kucoin", scheduled_at, "released"),
        ("mexc", scheduled_at, "released"),
    ]
