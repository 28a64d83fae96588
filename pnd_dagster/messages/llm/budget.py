"""What a language model may cost: prices, and a limit per UTC day that holds across restarts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from pnd_dagster.errors import QuotaExhaustedError
from pnd_dagster.messages.llm.replies import Completion
from pnd_dagster.settings import Settings
from pnd_dagster.storage import transaction
from pnd_dagster.tables import LLM_REPLIES

BATCH_DISCOUNT = 0.5  # vendors ask half for what may take a day


class SpendLimitError(QuotaExhaustedError):
    """The day's limit is reached; names the setting. What was asked before is kept."""


class Prices(NamedTuple):
    """USD per million tokens, asked and answered."""

    prompt: float
    completion: float

    @classmethod
    def of(cls, settings: Settings, *, is_batch: bool = False) -> Prices:
        """The price list of the settings."""
        share = BATCH_DISCOUNT if is_batch else 1.0
        return cls(settings.openai_prompt_usd_per_million * share, settings.openai_completion_usd_per_million * share)

    def most(self, body: dict[str, Any]) -> float:
        """The most that a request may cost: a token is a byte of a stranger's text at least, and two of our own."""
        size = len(json.dumps(body, ensure_ascii=False).encode())
        strange = len(body["messages"][-1]["content"].encode())
        return self._usd((size + strange) // 2, body["max_completion_tokens"])

    def cost(self, completion: Completion, body: dict[str, Any]) -> float:
        """What an answer cost; the most it may have where the vendor does not say."""
        if completion.prompt_tokens is None or completion.completion_tokens is None:
            return self.most(body)
        return self._usd(completion.prompt_tokens, completion.completion_tokens)

    def _usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


class Budget:
    """Lets a request go only if what was spent today, what is in flight and its own highest price stay within the limit.

    Spent is what the database says, so other processes count; of theirs in flight it knows nothing.

    Args:
        engine: the platform's database.
        usd_per_day: the limit.
    """

    def __init__(self, engine: sa.Engine, usd_per_day: float) -> None:
        self._engine = engine
        self._limit = usd_per_day
        self._in_flight = 0.0
        self._requests = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def hold(self, usd: float) -> AsyncGenerator[None]:
        """Reserves `usd` for a request; its real cost must be stored before this is left. Waits while others in flight decide.

        Raises:
            SpendLimitError: it would go beyond the limit.
        """
        async with self._changed:
            while (spent := await self._spent_today()) + self._in_flight + usd > self._limit:
                if not self._requests:
                    raise SpendLimitError(
                        f"PND_OPENAI_USD_PER_DAY: {spent:.4f} of {self._limit:g} USD are spent today (UTC) and the next request may cost "
                        f"{usd:.4f}; asking goes on tomorrow, or with a higher limit"
                    )
                await self._changed.wait()
            self._in_flight += usd
            self._requests += 1
        try:
            yield
        finally:
            async with self._changed:
                self._in_flight -= usd
                self._requests -= 1
                self._changed.notify_all()

    async def left_today(self) -> float:
        """USD that may still be spent today, what is in flight taken off; 0 if none."""
        return max(0.0, self._limit - self._in_flight - await self._spent_today())

    async def _spent_today(self) -> float:
        return await asyncio.to_thread(spent_on, self._engine, datetime.now(UTC))


def spent_on(engine: sa.Engine, at: datetime) -> float:
    """USD that the stored replies of the UTC day of `at` cost.

    Raises:
        DatabaseError: Postgres refused.
    """
    midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    statement = sa.select(sa.func.coalesce(sa.func.sum(LLM_REPLIES.c.cost_usd), 0.0)).where(LLM_REPLIES.c.requested_at >= midnight)
    with transaction(engine) as connection:
        return float(connection.execute(statement).scalar_one())
