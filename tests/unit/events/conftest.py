"""A channel in a few words: `channel((minute, label, text), ...)` gives the labelled messages of one channel as a frame."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

START = datetime(2023, 5, 5, 12, 0, tzinfo=UTC)  # a Friday
Post = tuple[float, int, str]
ChannelFactory = Callable[..., pl.DataFrame]


@pytest.fixture
def start() -> datetime:
    return START


@pytest.fixture
def channel() -> ChannelFactory:
    def build(*posts: Post, channel_id: int = 1, start: datetime = START, message_ids: list[int] | None = None) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "channel_id": [channel_id] * len(posts),
                "message_id": message_ids or list(range(1, len(posts) + 1)),
                "date": [start + timedelta(minutes=minute) for minute, _, _ in posts],
                "text": [text for _, _, text in posts],
                "label": [label for _, label, _ in posts],
                "confidence": [0.95] * len(posts),
            },
            schema={
                "channel_id": pl.Int64,
                "message_id": pl.Int64,
                "date": pl.Datetime("us", "UTC"),
                "text": pl.String,
                "label": pl.Int16,
                "confidence": pl.Float32,
            },
        )

    return build
