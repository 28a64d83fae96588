"""Coins that pictures reveal are releases, in files and in the database; logos and doubtful readings are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.events import extract_events
from pnd_dagster.events.image_releases import pictures_to_read, read_pictures
from pnd_dagster.events.store import rebuild_events
from pnd_dagster.simulator.reveals import Reveal, draw
from pnd_dagster.storage import read_frame, upsert
from pnd_dagster.tables import IMAGE_READINGS, MESSAGE_LABELS, PUMP_RELEASES, TELEGRAM_MESSAGES

ANNOUNCEMENT, COUNTDOWN, RELEASE, RESULTS, DELAY, NOISE = range(6)
KNOWN = frozenset({"NEBL", "VIBE", "BTC", "ETH", "SOL"})
ANNOUNCED = (0, ANNOUNCEMENT, "Next pump\nDate: 5 May\nTime: 17:00 UTC\nExchange: Kucoin")
COUNTED = (295, COUNTDOWN, "5 minutes left. The next post will be the coin, as an image")
ChannelFactory = Callable[..., pl.DataFrame]


def shown(frame: pl.DataFrame, pictures: dict[int, tuple[str, float]]) -> pl.DataFrame:
    """The messages with what the pictures of some (by message id) reveal."""
    readings = [pictures.get(message_id, (None, None)) for message_id in frame["message_id"]]
    return frame.with_columns(
        image_symbol=pl.Series([symbol for symbol, _ in readings], dtype=pl.String),
        image_confidence=pl.Series([confidence for _, confidence in readings], dtype=pl.Float64),
    )


def released(frame: pl.DataFrame) -> list[tuple[int, str, str | None]]:
    return extract_events(frame, KNOWN).releases.select("message_id", "symbol", "exchange").rows()


@pytest.mark.parametrize("caption", ["", "🚀🚀🚀", "Here it is, go go go!"])
def test_a_reveal_without_a_coin_in_words_is_a_release_on_the_announced_exchange(channel: ChannelFactory, caption: str) -> None:
    frame = channel(ANNOUNCED, COUNTED, (300, NOISE, caption))
    assert released(frame) == []
    assert released(shown(frame, {3: ("NEBL", 0.97)})) == [(3, "NEBL", "kucoin")]


def test_the_release_fulfils_the_announcement_and_has_the_confidence_of_the_reading(channel: ChannelFactory) -> None:
    frame = channel(ANNOUNCED, COUNTED, (300, NOISE, ""))
    extracted = extract_events(shown(frame, {3: ("NEBL", 0.8)}), KNOWN)
    assert extracted.announcements["status"].to_list() == ["released"]
    assert extracted.releases["announcement_id"].to_list() == extracted.announcements["announcement_id"].to_list()
    assert 0.7 < extracted.releases["confidence"].item() < 0.8


def test_an_unannounced_reveal_is_a_release_too(channel: ChannelFactory) -> None:
    assert released(shown(channel((0, NOISE, "hello everybody"), (300, NOISE, "")), {2: ("VIBE", 0.97)})) == [(2, "VIBE", None)]


def test_a_caption_that_names_a_coin_counts_more_than_its_picture(channel: ChannelFactory) -> None:
    frame = shown(channel(ANNOUNCED, COUNTED, (300, RELEASE, "The coin is $VIBE")), {3: ("NEBL", 0.97)})
    assert [symbol for _, symbol, _ in released(frame)] == ["VIBE"]


@pytest.mark.parametrize(("label", "caption"), [(ANNOUNCEMENT, "This is what the image will look like"), (RESULTS, "What a pump, 300%")])
def test_a_sample_in_an_announcement_and_the_coin_shown_again_with_results_release_nothing(
    channel: ChannelFactory, label: int, caption: str
) -> None:
    assert released(shown(channel(ANNOUNCED, (60, label, caption)), {2: ("NEBL", 0.97)})) == []


def test_the_results_after_a_reveal_do_not_release_its_coin_again(channel: ChannelFactory) -> None:
    frame = channel(ANNOUNCED, COUNTED, (300, NOISE, ""), (310, RESULTS, "PUMP RESULT\nCoin: NEBL/USDT\nPeak gain: 300%"))
    assert {symbol for _, symbol, _ in released(shown(frame, {3: ("NEBL", 0.97)}))} == {"NEBL"}
    assert extract_events(shown(frame, {3: ("NEBL", 0.97)}), KNOWN).events.height == 1


def test_only_pictures_that_may_release_a_coin_are_read(channel: ChannelFactory) -> None:
    posts = [
        (-4000, NOISE, ""),
        (-3900, RELEASE, "Here is the coin"),
        ANNOUNCED,
        (10, NOISE, ""),
        (20, NOISE, "a new day"),
        (30, RESULTS, "Results of the last pump"),
        (40, RELEASE, "The coin is $VIBE"),
        (50, NOISE, ""),
        (60 * 60, NOISE, ""),
    ]
    files = ["quiet", "said", "announced", "empty", "idle", "results", "named", None, "too late"]
    frame = channel(*posts).with_columns(image_file=pl.Series(files, dtype=pl.String))
    other = channel((15, NOISE, ""), channel_id=2).with_columns(image_file=pl.lit("other channel"))
    assert pictures_to_read(pl.concat([other, frame]), KNOWN) == ["said", "empty", "idle"]
    assert pictures_to_read(frame.clear(), KNOWN) == []


def test_pictures_in_a_folder_become_releases_and_names_that_lead_elsewhere_are_missing(channel: ChannelFactory, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    picture = draw(Reveal(("BTC", "NEBL", "ETH", "SOL"), 1, 3))
    picture.save(folder / "reveal.jpg")
    picture.save(tmp_path / "outside.jpg")
    files = [None, None, "reveal.jpg", "../outside.jpg"]
    frame = channel(ANNOUNCED, COUNTED, (300, NOISE, ""), (302, NOISE, "")).with_columns(image_file=pl.Series(files, dtype=pl.String))
    read = read_pictures(frame, folder, KNOWN)
    assert read.counts == {"missing": 1, "reveal": 1}
    assert read.messages.drop("image_symbol", "image_confidence").equals(frame)
    assert released(read.messages) == [(3, "NEBL", "kucoin")]


@dataclass(frozen=True)
class Labels:
    """Stands for the classifier whose labels are stored."""

    name: str = "stored"
    version: str = "1"
    abstain_below: float = 0.5

    def predict_probabilities(self, normalised: Any) -> Any:
        raise AssertionError("nothing is labelled here")


class Database:
    """One channel whose third message is a picture without a caption."""

    def __init__(self, engine: sa.Engine, frame: pl.DataFrame) -> None:
        self.engine = engine
        keyed = frame.with_columns(revision_id=pl.col("message_id"), media_file=pl.when(pl.col("message_id") == 3).then(pl.lit("3.jpg")))
        self.keyed = keyed.with_columns(
            occurred_at="date", ingested_at="date", is_deleted=False, kind=pl.lit("message"), source=pl.lit("live")
        )
        self.messages = self.keyed.drop("date", "label", "confidence")
        upsert(engine, TELEGRAM_MESSAGES, self.messages)
        labels = keyed.select("channel_id", "message_id", "revision_id", "label", "confidence")
        stamp = {"labeller": pl.lit("stored"), "labeller_version": pl.lit("1"), "labelled_at": pl.lit(datetime(2023, 6, 1, tzinfo=UTC))}
        upsert(engine, MESSAGE_LABELS, labels.with_columns(**stamp, is_abstained=False))

    def read(self, status: str, symbol: str | None, version: str = "1", media_file: str = "3.jpg") -> None:
        row = {
            "media_file": media_file,
            "reader_version": version,
            "status": status,
            "symbol": symbol,
            "confidence": 0.9 if symbol else None,
            "texts": ["BTC"],
            "read_at": datetime.now(UTC),
        }
        upsert(self.engine, IMAGE_READINGS, pl.DataFrame([row], schema_overrides={"symbol": pl.String, "confidence": pl.Float64}))

    def rebuilt(self) -> tuple[int, list[str]]:
        """Channels that were replayed, and the coins released now."""
        count = rebuild_events(self.engine, Labels()).channel_count
        return count, read_frame(self.engine, sa.select(PUMP_RELEASES.c.symbol))["symbol"].to_list()


@pytest.fixture
def database(engine: sa.Engine, channel: ChannelFactory) -> Database:
    return Database(engine, channel(ANNOUNCED, COUNTED, (300, NOISE, ""), (400, NOISE, "good night")))


def test_a_reading_rebuilds_its_channel_once_whenever_it_comes_or_changes(database: Database) -> None:
    assert database.rebuilt() == (1, [])
    database.read("reveal", "NEBL")
    assert database.rebuilt() == (1, ["NEBL"])
    assert database.rebuilt() == (0, ["NEBL"])
    database.read("reveal", "VIBE")
    assert database.rebuilt() == (1, ["VIBE"])
    database.read("none", None)
    assert database.rebuilt() == (1, [])
    assert database.rebuilt() == (0, [])


def test_the_last_reading_of_a_picture_counts_whatever_version_made_it(database: Database) -> None:
    database.read("reveal", "NEBL", version="1")
    database.read("none", None, version="2")
    assert database.rebuilt() == (1, [])
    database.read("reveal", "VIBE", version="3")
    assert database.rebuilt() == (1, ["VIBE"])


@pytest.mark.parametrize(("status", "symbol"), [("doubtful", "NEBL"), ("none", None), ("refused", None)])
def test_logos_doubtful_and_refused_pictures_release_nothing_and_rebuild_nothing(
    database: Database, status: str, symbol: str | None
) -> None:
    database.read(status, symbol)
    assert database.rebuilt() == (1, [])
    database.read(status, symbol, version="2")
    assert database.rebuilt() == (0, [])


def test_a_reveal_that_a_later_reading_takes_back_vanishes_though_others_were_read_after_it(engine: sa.Engine, database: Database) -> None:
    upsert(engine, TELEGRAM_MESSAGES, database.messages.filter(pl.col("message_id") == 4).with_columns(media_file=pl.lit("4.jpg")))
    database.read("reveal", "NEBL")
    database.read("reveal", "VIBE", media_file="4.jpg")
    assert sorted(database.rebuilt()[1]) == ["NEBL", "VIBE"]
    with engine.begin() as connection:
        connection.execute(sa.delete(IMAGE_READINGS).where(IMAGE_READINGS.c.media_file == "3.jpg"))
    assert database.rebuilt() == (1, ["VIBE"])


def test_readings_of_other_channels_pictures_rebuild_only_those(engine: sa.Engine, database: Database, channel: ChannelFactory) -> None:
    Database(engine, channel((0, NOISE, "hello"), (5, NOISE, "hello again"), channel_id=2))
    assert database.rebuilt() == (2, [])
    database.read("reveal", "NEBL")
    assert rebuild_events(engine, Labels(), channel_ids=[2]).channel_count == 0
    assert database.rebuilt() == (1, ["NEBL"])


def test_an_edit_that_takes_the_picture_away_leaves_its_release(engine: sa.Engine, database: Database) -> None:
    database.read("reveal", "NEBL")
    edited = database.keyed.filter(pl.col("message_id") == 3).with_columns(
        revision_id=pl.lit(33, pl.Int64),
        media_file=pl.lit(None, pl.String),
        edited_at=pl.col("date") + timedelta(hours=1),
        text=pl.lit("bye"),
    )
    upsert(engine, TELEGRAM_MESSAGES, edited.drop("date", "label", "confidence"))
    assert database.rebuilt()[1] == ["NEBL"]
