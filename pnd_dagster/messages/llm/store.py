"""Replies of a language model as rows of raw.llm_replies, whatever came of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple

import polars as pl

from pnd_dagster.messages.llm.prompts import PROMPT_VERSION
from pnd_dagster.messages.llm.replies import Completion
from pnd_dagster.storage.dead_letters import clean_text
from pnd_dagster.tables import LLM_REPLIES, polars_schema

MAX_REPLY_CHARACTERS = 20_000


class Revision(NamedTuple):
    """A message revision, by its key."""

    channel_id: int
    message_id: int
    revision_id: int


class Asked(NamedTuple):
    """A request: of which task, whom, about which revision, which attempt (0 first, then repairs), when, in which batch."""

    task: str
    model: str
    revision: Revision
    attempt: int
    requested_at: datetime
    batch_id: str | None = None


class Received(NamedTuple):
    """What came of a request: the verdict, the vendor's answer (None if none came), its cost, when, and after how long."""

    status: str
    problem: str | None
    completion: Completion | None
    cost_usd: float | None
    replied_at: datetime
    latency_seconds: float | None


def reply_rows(replies: Sequence[tuple[Asked, Received]]) -> pl.DataFrame:
    """Rows of raw.llm_replies."""
    return pl.DataFrame([_row(asked, received) for asked, received in replies], schema=polars_schema(LLM_REPLIES))


def _row(asked: Asked, received: Received) -> dict[str, object]:
    completion = received.completion
    content = completion.content if completion else None
    return {
        "reply_id": _reply_id(asked),
        "task": asked.task,
        "model": asked.model,
        "prompt_version": PROMPT_VERSION,
        **asked.revision._asdict(),
        "attempt": asked.attempt,
        "status": received.status,
        "problem": None if received.problem is None else clean_text(received.problem),
        "reply": None if content is None else clean_text(content)[:MAX_REPLY_CHARACTERS],
        "prompt_tokens": completion.prompt_tokens if completion else None,
        "completion_tokens": completion.completion_tokens if completion else None,
        "cost_usd": received.cost_usd,
        "latency_seconds": received.latency_seconds,
        "batch_id": asked.batch_id,
        "requested_at": asked.requested_at,
        "replied_at": received.replied_at if completion else None,
    }


def _reply_id(asked: Asked) -> str:
    parts = (asked.task, PROMPT_VERSION, asked.model, *asked.revision, asked.requested_at.isoformat(), asked.attempt)
    return blake2b("\x1f".join(map(str, parts)).encode(), digest_size=16).hexdigest()
