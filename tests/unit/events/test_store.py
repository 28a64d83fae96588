"""Events in the database: what a new message changes is written alone, and is what a rebuild of everything would give."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa
from numpy.typing import NDArray

from pnd_dagster.events.replays import Replays
from pnd_dagster.events.store import Rebuilt, rebuild_events, warm_replays
from pnd_dagster.storage import read_frame, upsert
from pnd_dagster.tables import (
    CHANNEL_BUILDS,
    MESSAGE_LABELS,
    PUMP_ANNOUNCEMENTS,
    PUMP_EVENTS,
    PUMP_RELEASES,
    SCHEDULED_PUMPS,
    TELEGRAM_MESSAGES,
)

NOW = datetime.now(UTC).replace(microsecond=0)
START = NOW - timedelta(days=3)
BUILT = (PUMP_ANNOUNCEMENTS, SCHEDULED_PUMPS, PUMP_RELEASES, PUMP_EVENTS)
CHANNELS = 5


@dataclass(frozen=True)
class Given:
    """A classifier whose labels the tests write themselves."""

    name: str = "pumpbert"
    version: str = "given"
    abstain_below: float = 0.0

    def predict_probabilities(self, normalised: Sequence[str]) -> NDArray[np.float32]:
        raise NotImplementedError


def post(
    engine: sa.Engine,
    channel_id: int,
    message_id: int,
    at: datetime,
    label: int,
    text: str,
    *,
    edited_at: datetime | None = None,
    is_from_member: bool = False,
) -> None:
    """A labelled message comes in."""
    revision_id = message_id * 1000 + (0 if edited_at is None else int((edited_at - at).total_seconds()) % 1000 + 1)
    message = {
        "channel_id": channel_id,
        "message_id": message_id,
        "revision_id": revision_id,
        "occurred_at": at,
        "edited_at": edited_at,
        "ingested_at": datetime.now(UTC),
        "is_deleted": False,
        "kind": "message",
        "text": text,
        "is_from_member": is_from_member,
        "source": "live",
    }
    upsert(engine, TELEGRAM_MESSAGES, pl.DataFrame([message], schema_overrides={"edited_at": pl.Datetime("us", "UTC")}))
    label_it(engine, channel_id, message_id, revision_id, label)


def label_it(engine: sa.Engine, channel_id: int, message_id: int, revision_id: int, label: int, labeller: str = "pumpbert") -> None:
    row = {
        "channel_id": channel_id,
        "message_id": message_id,
        "revision_id": revision_id,
        "labeller": labeller,
        "labeller_version": "given",
        "label": label,
        "confidence": 0.95,
        "is_abstained": False,
        "labelled_at": datetime.now(UTC),
    }
    upsert(engine, MESSAGE_LABELS, pl.DataFrame([row], schema_overrides={"label": pl.Int16}))


def stored(engine: sa.Engine) -> list[pl.DataFrame]:
    return [read_frame(engine, sa.select(table)).sort([key.name for key in table.primary_key]) for table in BUILT]


def rebuilt_from_nothing(engine: sa.Engine) -> list[pl.DataFrame]:
    """The tables as a first build of everything leaves them."""
    with engine.begin() as connection:
        for table in (*BUILT, CHANNEL_BUILDS):
            connection.execute(sa.delete(table))
    rebuild_events(engine, Given())
    return stored(engine)


class Story:
    """Posts of several channels about the same few pumps, in the order of time but for what comes late."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.at = START
        self.count = 0
        self.posted: list[tuple[int, int, datetime]] = []

    def go_on(self, engine: sa.Engine) -> int:
        """One thing happens. Returns the channel it happened in."""
        rng = self.rng
        if self.posted and rng.random() < 0.12:
            return self._revise(engine)
        if rng.random() < 0.85:
            self.at += timedelta(minutes=rng.choice([0, 1, 2, 7, 20, 90]))
        channel_id = rng.randint(1, CHANNELS)
        # Some come late: posted before what their channel holds already.
        at = self.at - timedelta(minutes=rng.choice([0, 0, 0, 0, 0, 15, 200]))
        label, text = self._words(at)
        self.count += 1
        post(engine, channel_id, self.count, at, label, text, is_from_member=channel_id == CHANNELS and rng.random() < 0.6)
        self.posted.append((channel_id, self.count, at))
        return channel_id

    def _words(self, at: datetime) -> tuple[int, str]:
        rng = self.rng
        start = at.replace(minute=0, second=0) + timedelta(hours=rng.choice([1, 2, 3]), minutes=rng.choice([0, 5, 10, 30]))
        exchange, coin = rng.choice(["Hotbit", "Kucoin", None]), rng.choice(["ZYNE", "QUARK", "MIRA"])
        return rng.choice(
            [
                (0, f"Next pump\nDate: {start:%d %B %Y}\nTime: {start:%H:%M} GMT" + (f"\nExchange: {exchange}" if exchange else "")),
                (0, "A new pump is coming soon" + (f" on {exchange}" if exchange else "")),
                (1, f"{rng.choice([3, 5, 30])} minutes left until the pump" + (f" on {exchange}" if exchange else "")),
                (1, "Get ready, the next post will be the coin"),
                (2, f"The coin is: {coin}"),
                (2, f"The coin is ${coin}" + (f" on {exchange}" if exchange else "")),
                (4, "The pump is postponed by one hour"),
                (4, "The pump is cancelled, sorry"),
                (5, rng.choice(["Z", "Y", "Q", "good morning everyone"])),
            ]
        )

    def _revise(self, engine: sa.Engine) -> int:
        channel_id, message_id, at = self.rng.choice(self.posted[-12:])
        if self.rng.random() < 0.5:
            label_it(engine, channel_id, message_id, message_id * 1000, self.rng.randint(0, 5), labeller="human:anna")
        else:
            label, text = self._words(self.at)
            post(engine, channel_id, message_id, at, label, text, edited_at=self.at + timedelta(seconds=self.rng.randint(1, 900)))
        return channel_id


@pytest.mark.parametrize("seed", [0, 3])
def test_message_by_message_the_tables_become_what_a_rebuild_of_everything_gives(engine: sa.Engine, seed: int) -> None:
    story, replays = Story(random.Random(seed)), Replays()
    for turn in range(30):
        channel_id = story.go_on(engine)
        rebuild_events(engine, Given(), channel_ids=[channel_id], replays=replays)
        if turn % 10 == 9:
            for incremental, whole in zip(stored(engine), rebuilt_from_nothing(engine), strict=True):
                assert incremental.equals(whole)
    assert all(not table.is_empty() for table in stored(engine))


def test_a_message_that_says_nothing_writes_nothing(engine: sa.Engine) -> None:
    replays = Replays()
    post(engine, 1, 1, START, 0, f"Next pump\nDate: {NOW + timedelta(days=1):%d %B %Y}\nTime: 17:00 GMT\nExchange: Hotbit")
    rebuild_events(engine, Given(), replays=replays)
    before = stored(engine)
    post(engine, 1, 2, START + timedelta(hours=1), 5, "good morning")
    assert rebuild_events(engine, Given(), replays=replays) == Rebuilt(1)
    assert [a.equals(b) for a, b in zip(before, stored(engine), strict=True)] == [True] * 4


def test_one_more_release_rewrites_no_event_of_another_coin(engine: sa.Engine) -> None:
    for number, coin in enumerate(("ZYNE", "QUARK"), start=1):
        post(engine, number, 1, START, 1, "5 minutes left until the pump on Hotbit, the next post will be the coin")
        post(engine, number, 2, START + timedelta(minutes=5), 2, f"The coin is: {coin}")
    rebuild_events(engine, Given())
    post(engine, 3, 1, START + timedelta(minutes=4), 1, "1 minute left until the pump on Hotbit, the next post will be the coin")
    post(engine, 3, 2, START + timedelta(minutes=6), 2, "The coin is: ZYNE")
    rebuilt = rebuild_events(engine, Given(), channel_ids=[3])
    assert (sum(rebuilt.events), sum(rebuilt.releases)) == (1, 2)
    events = {row["symbol"]: row["channel_ids"] for row in read_frame(engine, sa.select(PUMP_EVENTS)).iter_rows(named=True)}
    assert events == {"ZYNE": [1, 3], "QUARK": [2]}


def test_a_pump_between_two_that_drops_out_leaves_the_two(engine: sa.Engine) -> None:
    tomorrow = NOW + timedelta(days=1)
    for channel_id, minute in ((1, 0), (2, 8), (3, 16)):
        post(engine, channel_id, 1, START, 0, f"Next pump\nDate: {tomorrow:%d %B %Y}\nTime: 17:{minute:02} GMT\nExchange: Hotbit")
    rebuild_events(engine, Given())
    assert read_frame(engine, sa.select(SCHEDULED_PUMPS.c.channel_count)).to_series().sort().to_list() == [1, 2]
    label_it(engine, 1, 1, 1000, 5, labeller="human:anna")
    rebuild_events(engine, Given(), channel_ids=[1])
    assert read_frame(engine, sa.select(SCHEDULED_PUMPS.c.channel_count)).to_series().to_list() == [2]


def test_a_warmed_replay_only_reads_on(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    replays = Replays()
    post(engine, 1, 1, START, 1, "5 minutes left until the pump on Hotbit, the next post will be the coin")
    warm_replays(engine, Given(), replays, 1)
    assert 1 in replays
    assert stored(engine)[0].is_empty()
    post(engine, 1, 2, START + timedelta(minutes=5), 2, "The coin is: ZYNE")
    monkeypatch.setattr(Replays, "_begin", lambda *_: pytest.fail("the channel was replayed from its beginning"))
    rebuild_events(engine, Given(), channel_ids=[1], replays=replays)
    monkeypatch.undo()
    for incremental, whole in zip(stored(engine), rebuilt_from_nothing(engine), strict=True):
        assert incremental.equals(whole)
    assert read_frame(engine, sa.select(PUMP_EVENTS.c.symbol)).to_series().to_list() == ["ZYNE"]
