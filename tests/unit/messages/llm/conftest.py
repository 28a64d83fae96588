"""A loopback language model, settings that point at it, and messages that a classifier abstained from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa
from numpy.typing import NDArray
from pydantic import SecretStr

from pnd_dagster.settings import Settings
from pnd_dagster.simulator.llm import LLM_KEY, LlmServer, serve_llm
from pnd_dagster.storage import upsert
from pnd_dagster.tables import MESSAGE_LABELS, TELEGRAM_MESSAGES

POSTED_AT = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
Abstain = Callable[..., pl.DataFrame]


@dataclass(frozen=True)
class UnsureClassifier:
    """Gives every text the same probabilities: class 5 a little ahead, class 3 out of the question."""

    name: str = "unsure"
    version: str = "1"
    abstain_below: float = 0.9
    probabilities: tuple[float, ...] = (0.18, 0.2, 0.2, 0.001, 0.1, 0.319)

    def predict_probabilities(self, normalised: Sequence[str]) -> NDArray[np.float32]:
        return np.tile(np.array(self.probabilities, np.float32), (len(normalised), 1))


class Sleeps(list[float]):
    """What would have been slept; `sleep` notes it and goes on at once."""

    async def sleep(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def classifier() -> UnsureClassifier:
    return UnsureClassifier()


@pytest.fixture
def sleeps() -> Sleeps:
    return Sleeps()


@pytest.fixture
def llm() -> Iterator[LlmServer]:
    with serve_llm(batch_seconds=0.05) as server:
        yield server


@pytest.fixture
def llm_settings(settings: Settings, llm: LlmServer) -> Settings:
    return settings.model_copy(
        update={"openai_url": llm.url, "openai_api_key": SecretStr(LLM_KEY), "openai_requests_per_minute": 1_000_000}
    )


@pytest.fixture
def abstain(engine: sa.Engine, classifier: UnsureClassifier) -> Abstain:
    """Stores messages that the classifier abstained from, a minute apart; gives channel_id, message_id, revision_id and text."""

    def store(*texts: str, first_id: int = 1) -> pl.DataFrame:
        keys = {
            "channel_id": [-100] * len(texts),
            "message_id": list(range(first_id, first_id + len(texts))),
            "revision_id": [10 + number for number in range(first_id, first_id + len(texts))],
        }
        posted = [POSTED_AT + timedelta(minutes=number) for number in range(first_id, first_id + len(texts))]
        messages = pl.DataFrame(keys | {"text": list(texts), "occurred_at": posted, "ingested_at": posted})
        upsert(
            engine,
            TELEGRAM_MESSAGES,
            messages.with_columns(is_deleted=pl.lit(False), kind=pl.lit("message"), source=pl.lit("simulated")),
        )
        upsert(
            engine,
            MESSAGE_LABELS,
            messages.select(*keys).with_columns(
                labeller=pl.lit(classifier.name),
                labeller_version=pl.lit(classifier.version),
                label=pl.lit(5),
                confidence=pl.lit(0.4),
                is_abstained=pl.lit(True),
                labelled_at=pl.lit(POSTED_AT),
            ),
        )
        return messages.select(*keys, "text")

    return store
