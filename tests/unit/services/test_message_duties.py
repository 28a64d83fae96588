"""What the listener stored is labelled and turned into events at once; what was left is swept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa
from numpy.typing import NDArray
from pydantic import SecretStr

from pnd_dagster.errors import DatabaseError
from pnd_dagster.events.replays import Replays
from pnd_dagster.events.store import rebuild_events
from pnd_dagster.messages.classifier import Classifier, load_classifier
from pnd_dagster.messages.labelling import label_revisions
from pnd_dagster.messages.labels import MessageLabel
from pnd_dagster.services import message_duties
from pnd_dagster.services.message_duties import ask_further, handle_batch, sweep_unlabelled, warm_up
from pnd_dagster.settings import Settings, load_settings
from pnd_dagster.simulator.llm import LLM_KEY, serve_llm
from pnd_dagster.simulator.reveals import Reveal, draw
from pnd_dagster.storage import read_frame, upsert
from pnd_dagster.tables import (
    ALERTS,
    LLM_REPLIES,
    MESSAGE_LABELS,
    PUMP_ANNOUNCEMENTS,
    PUMP_EVENTS,
    TELEGRAM_CHANNELS,
    TELEGRAM_MESSAGES,
)
from pnd_dagster.telegram.batches import MessageBatch, empty_batch

NOW = datetime.now(UTC).replace(microsecond=0)
START = NOW - timedelta(hours=8)
ANNOUNCED = "Next pump announcement! Date: today. Time: in 6 hours. Exchange: Hotbit. Pair: USDT. Be ready, this will be massive!"
COUNTED = "5 minutes left until the pump on Hotbit! The next post will be the coin"
RELEASED = "The coin is: ZYNE https://www.hotbit.io/exchange?symbol=ZYNE_USDT"


def batch(
    message_id: int,
    text: str,
    *,
    after: timedelta,
    edited: bool = False,
    is_deleted: bool = False,
    is_from_member: bool = False,
    media_file: str | None = None,
) -> MessageBatch:
    occurred_at = START + after
    row = {
        "channel_id": 9,
        "message_id": message_id,
        "revision_id": message_id * 10 + edited + 2 * is_deleted,
        "occurred_at": occurred_at,
        "edited_at": occurred_at + timedelta(minutes=1) if edited else None,
        "ingested_at": NOW,
        "is_deleted": is_deleted,
        "kind": "message",
        "text": text,
        "is_from_member": is_from_member,
        "media_file": media_file,
        "source": "live",
    }
    frame = pl.DataFrame([row], schema_overrides={"edited_at": pl.Datetime("us", "UTC"), "media_file": pl.String})
    return empty_batch()._replace(messages=frame)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier()


def receive(engine: sa.Engine, classifier: Classifier, received: MessageBatch, settings: Settings | None = None) -> None:
    upsert(engine, TELEGRAM_MESSAGES, received.messages)
    handle_batch(engine, settings or load_settings(), classifier, received, Replays())


def statuses(engine: sa.Engine) -> list[str]:
    return read_frame(engine, sa.select(PUMP_ANNOUNCEMENTS.c.status)).to_series().to_list()


def test_an_announcement_a_countdown_and_a_release_become_an_event_as_they_arrive(engine: sa.Engine, classifier: Classifier) -> None:
    receive(engine, classifier, batch(1, ANNOUNCED, after=timedelta()))
    assert statuses(engine) == ["scheduled"]
    receive(engine, classifier, batch(2, COUNTED, after=timedelta(hours=5, minutes=55)))
    receive(engine, classifier, batch(3, RELEASED, after=timedelta(hours=6)))
    assert statuses(engine) == ["released"]
    event = read_frame(engine, sa.select(PUMP_EVENTS)).row(0, named=True)
    assert (event["symbol"], event["exchange"], event["channel_ids"]) == ("ZYNE", "hotbit", [9])
    assert event["released_at"] == START + timedelta(hours=6)


def test_a_release_that_is_edited_into_something_else_stays_an_event(engine: sa.Engine, classifier: Classifier) -> None:
    for received in (
        batch(1, ANNOUNCED, after=timedelta()),
        batch(2, COUNTED, after=timedelta(hours=5, minutes=55)),
        batch(3, RELEASED, after=timedelta(hours=6)),
    ):
        receive(engine, classifier, received)
    before = read_frame(engine, sa.select(PUMP_EVENTS))
    receive(engine, classifier, batch(3, "Thank you all, what a pump! Join our VIP", after=timedelta(hours=6), edited=True))
    receive(engine, classifier, batch(3, "", after=timedelta(hours=6), is_deleted=True))
    assert read_frame(engine, sa.select(PUMP_EVENTS)).equals(before)


def test_history_does_not_vanish_when_a_new_version_of_the_classifier_has_labelled_only_the_newest_message(
    engine: sa.Engine, classifier: Classifier
) -> None:
    for received in (
        batch(1, ANNOUNCED, after=timedelta()),
        batch(2, COUNTED, after=timedelta(hours=5, minutes=55)),
        batch(3, RELEASED, after=timedelta(hours=6)),
    ):
        receive(engine, classifier, received)
    before = read_frame(engine, sa.select(PUMP_EVENTS))
    with engine.begin() as connection:
        connection.execute(sa.update(MESSAGE_LABELS).values(labeller_version="the one before"))
    receive(engine, classifier, batch(4, "Thank you all, see you next time", after=timedelta(hours=7)))
    assert read_frame(engine, sa.select(PUMP_EVENTS)).equals(before)


def test_a_label_of_the_current_version_counts_before_an_older_one(engine: sa.Engine, classifier: Classifier) -> None:
    receive(engine, classifier, batch(1, ANNOUNCED, after=timedelta()))
    older = read_frame(engine, sa.select(MESSAGE_LABELS)).with_columns(
        labeller_version=pl.lit("the one before"), label=pl.lit(5, pl.Int16), labelled_at=pl.lit(NOW + timedelta(hours=1))
    )
    upsert(engine, MESSAGE_LABELS, older)
    rebuild_events(engine, classifier)
    assert statuses(engine) == ["scheduled"]


def test_a_member_who_guesses_the_coin_releases_nothing_where_the_channel_posts_itself(engine: sa.Engine, classifier: Classifier) -> None:
    for received in (
        batch(1, ANNOUNCED, after=timedelta()),
        batch(2, COUNTED, after=timedelta(hours=5, minutes=55)),
        batch(3, "guess the coin is WABI", after=timedelta(hours=5, minutes=58), is_from_member=True),
        batch(4, RELEASED, after=timedelta(hours=6)),
    ):
        receive(engine, classifier, received)
    assert read_frame(engine, sa.select(PUMP_EVENTS.c.symbol)).to_series().to_list() == ["ZYNE"]


def test_deletions_and_service_messages_are_not_labelled(engine: sa.Engine, classifier: Classifier) -> None:
    receive(engine, classifier, batch(1, "", after=timedelta(), is_deleted=True))
    assert read_frame(engine, sa.select(MESSAGE_LABELS)).is_empty()


def test_what_the_handler_missed_is_swept_once(engine: sa.Engine, classifier: Classifier) -> None:
    upsert(engine, TELEGRAM_MESSAGES, batch(1, ANNOUNCED, after=timedelta()).messages)
    assert sweep_unlabelled(engine, load_settings(), classifier) == 1
    assert statuses(engine) == ["scheduled"]
    assert sweep_unlabelled(engine, load_settings(), classifier) == 0


def test_what_was_labelled_and_not_built_when_the_database_went_is_swept(engine: sa.Engine, classifier: Classifier) -> None:
    received = batch(1, ANNOUNCED, after=timedelta()).messages
    upsert(engine, TELEGRAM_MESSAGES, received)
    label_revisions(engine, classifier, received.select("channel_id", "message_id", "revision_id", "text"))
    assert sweep_unlabelled(engine, load_settings(), classifier) == 0
    assert statuses(engine) == ["scheduled"]


def test_an_announcement_nothing_came_of_expires_without_a_new_message(engine: sa.Engine, classifier: Classifier) -> None:
    late = batch(1, ANNOUNCED, after=timedelta(days=-2))
    receive(engine, classifier, late)
    rebuild_events(engine, classifier)
    assert statuses(engine) == ["expired"]


def test_a_rebuild_with_nothing_new_replays_no_channel(engine: sa.Engine, classifier: Classifier) -> None:
    receive(engine, classifier, batch(1, ANNOUNCED, after=timedelta(hours=7)))
    assert rebuild_events(engine, classifier).channel_count == 0


def labelled_by(engine: sa.Engine, message_id: int, labeller: str, label: MessageLabel, *, is_abstained: bool = False) -> None:
    row = read_frame(engine, sa.select(MESSAGE_LABELS).where(MESSAGE_LABELS.c.message_id == message_id)).head(1)
    columns = {"labeller": labeller, "labeller_version": "1", "confidence": None, "is_abstained": is_abstained, "labelled_at": NOW}
    upsert(
        engine, MESSAGE_LABELS, row.with_columns(pl.lit(int(label), pl.Int16).alias("label"), **{k: pl.lit(v) for k, v in columns.items()})
    )


def test_a_human_counts_before_a_language_model_and_that_before_the_classifier(engine: sa.Engine, classifier: Classifier) -> None:
    receive(engine, classifier, batch(1, ANNOUNCED, after=timedelta()))
    labelled_by(engine, 1, "llm:made-up", MessageLabel.NOISE)
    rebuild_events(engine, classifier)
    assert statuses(engine) == []
    labelled_by(engine, 1, "human:anna", MessageLabel.PUMP_ANNOUNCEMENT)
    rebuild_events(engine, classifier)
    assert statuses(engine) == ["scheduled"]


def test_a_labeller_who_abstained_changes_nothing(engine: sa.Engine, classifier: Classifier) -> None:
    receive(engine, classifier, batch(1, ANNOUNCED, after=timedelta()))
    labelled_by(engine, 1, "llm:made-up", MessageLabel.NOISE, is_abstained=True)
    rebuild_events(engine, classifier)
    assert statuses(engine) == ["scheduled"]


def test_a_coin_that_only_a_picture_names_becomes_an_event(engine: sa.Engine, classifier: Classifier, settings: Settings) -> None:
    receive(engine, classifier, batch(1, ANNOUNCED, after=timedelta()))
    receive(engine, classifier, batch(2, COUNTED, after=timedelta(hours=5, minutes=55)))
    settings.media_dir.mkdir(parents=True)
    draw(Reveal(("ZYNE", "QUARK", "BOLT", "MIRA"), 0, 4)).save(settings.media_dir / "reveal.png")
    revealed = batch(3, "", after=timedelta(hours=6), media_file="reveal.png")
    receive(engine, classifier, revealed)
    assert read_frame(engine, sa.select(PUMP_EVENTS)).is_empty()
    ask_further(engine, settings, classifier, revealed)
    assert read_frame(engine, sa.select(PUMP_EVENTS.c.symbol)).to_series().to_list() == ["ZYNE"]
    assert statuses(engine) == ["released"]


@dataclass(frozen=True)
class Unsure:
    """A classifier that abstains from everything."""

    name: str = "pumpbert"
    version: str = "unsure"
    abstain_below: float = 0.9

    def predict_probabilities(self, normalised: Sequence[str]) -> NDArray[np.float32]:
        return np.tile(np.array([0.3, 0.1, 0.1, 0.1, 0.1, 0.3], dtype=np.float32), (len(normalised), 1))


def test_what_the_classifier_abstains_from_is_asked_of_the_language_model(engine: sa.Engine, settings: Settings) -> None:
    received = batch(1, "Sorry everyone, the pump is postponed to tomorrow", after=timedelta())
    with serve_llm() as server:
        asking = settings.model_copy(update={"openai_url": server.url, "openai_api_key": SecretStr(LLM_KEY)})
        receive(engine, Unsure(), received)
        ask_further(engine, asking, Unsure(), received)
    labels = dict(read_frame(engine, sa.select(MESSAGE_LABELS.c.labeller, MESSAGE_LABELS.c.label)).iter_rows())
    assert labels == {"pumpbert": MessageLabel.PUMP_ANNOUNCEMENT, f"llm:{asking.openai_model}": MessageLabel.DELAY_CANCELLATION}
    assert read_frame(engine, sa.select(LLM_REPLIES.c.status)).to_series().to_list() == ["accepted"]


def test_without_a_language_model_an_abstention_waits(engine: sa.Engine, settings: Settings) -> None:
    received = batch(1, "Sorry everyone, the pump is postponed to tomorrow", after=timedelta())
    receive(engine, Unsure(), received)
    ask_further(engine, settings, Unsure(), received)
    assert read_frame(engine, sa.select(MESSAGE_LABELS.c.is_abstained)).to_series().to_list() == [True]


def test_an_announced_pump_is_told_at_once_and_once(engine: sa.Engine, classifier: Classifier, settings: Settings) -> None:
    receive(engine, classifier, batch(1, ANNOUNCED, after=timedelta(hours=7)), settings)
    told = read_frame(engine, sa.select(ALERTS.c.stage, ALERTS.c.channel))
    assert set(told["stage"]) == {"announced"}
    receive(engine, classifier, batch(2, "good morning", after=timedelta(hours=7, minutes=1)), settings)
    assert read_frame(engine, sa.select(ALERTS)).height == told.height


def test_alerts_that_cannot_be_queued_lose_no_label(
    engine: sa.Engine, classifier: Classifier, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise DatabaseError("Postgres refused: made up")

    with monkeypatch.context() as patched:
        patched.setattr(message_duties, "announced_alerts", refuse)
        receive(engine, classifier, batch(1, ANNOUNCED, after=timedelta(hours=7)), settings)
    assert statuses(engine) == ["scheduled"]
    assert read_frame(engine, sa.select(ALERTS)).is_empty()
    sweep_unlabelled(engine, settings, classifier)
    assert set(read_frame(engine, sa.select(ALERTS.c.stage))["stage"]) == {"announced"}


def test_validated_channels_are_warmed_up_until_it_is_over(engine: sa.Engine, classifier: Classifier) -> None:
    receive(engine, classifier, batch(1, ANNOUNCED, after=timedelta()))
    channel = {"channel_id": 9, "found_via": "simulated", "status": "validated", "is_vanished": False, "discovered_at": NOW}
    upsert(engine, TELEGRAM_CHANNELS, pl.DataFrame([channel]))
    replays = Replays()
    warm_up(engine, classifier, replays, lambda: True)
    assert 9 not in replays
    warm_up(engine, classifier, replays, lambda: False)
    assert 9 in replays
