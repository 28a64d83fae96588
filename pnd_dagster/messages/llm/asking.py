"""Asking about many messages, one request each: bounded in number at a time, repaired at most twice, kept message by message."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.errors import PndError, SourceError, TransientError
from pnd_dagster.messages.llm.budget import Budget, Prices
from pnd_dagster.messages.llm.client import LlmClient, Sleep, connect_llm
from pnd_dagster.messages.llm.prompts import request_body
from pnd_dagster.messages.llm.replies import Completion, InvalidReplyError, Reply, read_reply
from pnd_dagster.messages.llm.store import Asked, Received, Revision, reply_rows
from pnd_dagster.settings import Settings
from pnd_dagster.storage import transaction, upsert
from pnd_dagster.tables import LLM_REPLIES

MAX_REPAIRS = 2
CONCURRENCY = 8
# So many messages in a row without an answer: the vendor is down, and the next ones would fail too.
MAX_FAILURES_IN_A_ROW = 5


class Question(NamedTuple):
    """A message to be asked about.

    Attributes:
        revisions: the revisions that hold this text; the first one is the one asked about, the answer is for all.
        text: normalised.
        facts: what else the model is told, such as posted_at.
    """

    revisions: tuple[Revision, ...]
    text: str
    facts: Mapping[str, str | None]

    @property
    def revision(self) -> Revision:
        """The revision that is asked about."""
        return self.revisions[0]


@dataclass(frozen=True)
class Task(Generic[Reply]):
    """What is asked and what becomes of the answer.

    Attributes:
        name: label, announcement or change: the prompt.
        reply_type: schema of a reply.
        verify: why a reply that fits the schema cannot be true of the message, in words that do not quote it; None if it may be.
        table: where results go.
        conclude: rows of `table` for a question; of our rules where the reply is None, because none was believed.
    """

    name: str
    reply_type: type[Reply]
    verify: Callable[[Question, Reply], str | None]
    table: sa.Table
    conclude: Callable[[Question, Reply | None, Completion | None], pl.DataFrame]


class Tally(NamedTuple):
    """Messages by what became of them, and what it took.

    `accepted` were answered, `fallen_back` went to our rules, `unanswered` got no answer and are asked again by the next run.
    """

    accepted: int = 0
    fallen_back: int = 0
    unanswered: int = 0
    replies: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0

    def __add__(self, other: object) -> Tally:
        if not isinstance(other, Tally):
            return NotImplemented
        return Tally._make(a + b for a, b in zip(self, other, strict=True))


class Judged(NamedTuple, Generic[Reply]):
    """A verdict: the reply if it is accepted, else why not."""

    reply: Reply | None
    status: str
    problem: str | None


def judge(task: Task[Reply], question: Question, completion: Completion) -> Judged[Reply]:
    """Whether an answer is believed: whole, of the schema, and true of the message as far as we can tell."""
    if completion.status or completion.content is None:
        return Judged(None, completion.status or "invalid", completion.problem)
    try:
        reply = read_reply(task.reply_type, completion.content)
    except InvalidReplyError as error:
        return Judged(None, "invalid", str(error))
    if problem := task.verify(question, reply):
        return Judged(None, "unverified", problem)
    return Judged(reply, "accepted", None)


def tally_of(completion: Completion, cost_usd: float) -> Tally:
    """One reply."""
    return Tally(
        replies=1,
        prompt_tokens=completion.prompt_tokens or 0,
        completion_tokens=completion.completion_tokens or 0,
        cost_usd=cost_usd,
    )


def ask_all(
    engine: sa.Engine,
    settings: Settings,
    task: Task[Reply],
    questions: Iterable[Question],
    *,
    on_progress: Callable[[Tally], None] = lambda tally: None,
    sleep: Sleep = asyncio.sleep,
) -> Tally:
    """Asks about every message and keeps each result as it comes; call it where no event loop runs.

    Args:
        engine: the platform's database.
        settings: key, model, prices, rate and limit.
        task: what to ask.
        questions: about what.
        on_progress: called with the running total after each message.
        sleep: waits between attempts and requests.

    Raises:
        SettingError: the key is missing or refused, or there is no such model.
        QuotaExhaustedError: the day's limit (SpendLimitError) or the account is used up. What was done is kept.
        TransientError: the vendor does not answer.
        DatabaseError: Postgres refused.
    """

    async def main() -> Tally:
        async with connect_llm(settings, sleep=sleep) as client:
            asker = Asker(engine, settings, client, task, on_progress)
            await asker.ask((question, 0, None) for question in questions)
            return asker.total

    return asyncio.run(main())


class Asker(Generic[Reply]):
    """A run's state: budget, running total, failures in a row."""

    def __init__(
        self, engine: sa.Engine, settings: Settings, client: LlmClient, task: Task[Reply], on_progress: Callable[[Tally], None]
    ) -> None:
        self.budget = Budget(engine, settings.openai_usd_per_day)
        self.total = Tally()
        self._engine = engine
        self._client = client
        self._task = task
        self._on_progress = on_progress
        self._prices = Prices.of(settings)
        self._writing = asyncio.Lock()
        self._failures_in_a_row = 0

    def body(self, question: Question, problem: str | None = None) -> dict[str, Any]:
        """The request about a message."""
        return request_body(self._task.name, self._task.reply_type, self._client.model, question.text, question.facts, problem)

    async def ask(self, questions: Iterable[tuple[Question, int, str | None]]) -> None:
        """Asks about each message, beginning with the given attempt and what was wrong with the one before.

        After a failure that concerns all, those in flight are finished and kept; then it is raised.
        """
        waiting, failures = iter(questions), list[PndError]()

        async def work() -> None:
            for question, attempt, problem in waiting:
                try:
                    await self._settle(question, attempt, problem)
                except PndError as error:
                    failures.append(error)
                if failures:
                    return

        await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
        if failures:
            raise failures[0]

    async def keep(
        self, replies: list[tuple[Asked, Received]], results: list[pl.DataFrame], progress: Tally, *, is_final: bool = True
    ) -> None:
        """Stores replies and results in one transaction and counts them."""
        async with self._writing:
            await asyncio.to_thread(_write, self._engine, self._task.table, replies, results)
        self.total += progress
        if is_final:
            self._on_progress(self.total)

    def conclude(self, question: Question, reply: Reply | None, completion: Completion | None) -> tuple[list[pl.DataFrame], Tally]:
        """The result of a message, and how it counts."""
        return [self._task.conclude(question, reply, completion)], Tally(accepted=1) if reply is not None else Tally(fallen_back=1)

    async def _settle(self, question: Question, first_attempt: int, problem: str | None) -> None:
        for attempt in range(first_attempt, MAX_REPAIRS + 1):
            judged = await self._attempt(question, attempt, problem)
            if judged is None or judged.reply is not None:
                return
            problem = judged.problem
            # Asked again it would refuse again.
            if judged.status == "refused":
                break
        results, counted = self.conclude(question, None, None)
        await self.keep([], results, counted)

    async def _attempt(self, question: Question, attempt: int, problem: str | None) -> Judged[Reply] | None:
        """One request and its verdict; an accepted reply is concluded. None if no answer came: the message waits for another run."""
        body = self.body(question, problem)
        async with self.budget.hold(self._prices.most(body)):
            asked = Asked(self._task.name, self._client.model, question.revision, attempt, datetime.now(UTC))
            started = time.perf_counter()
            try:
                completion = await self._client.complete(body)
            except (TransientError, SourceError) as error:
                received = Received("failed", str(error), None, None, datetime.now(UTC), time.perf_counter() - started)
                return await self._fail(asked, received, error)
            self._failures_in_a_row = 0
            latency, cost = time.perf_counter() - started, self._prices.cost(completion, body)
            judged = judge(self._task, question, completion)
            received = Received(judged.status, judged.problem, completion, cost, datetime.now(UTC), latency)
            results, counted = self.conclude(question, judged.reply, completion) if judged.reply is not None else ([], Tally())
            await self.keep([(asked, received)], results, tally_of(completion, cost) + counted, is_final=judged.reply is not None)
            return judged

    async def _fail(self, asked: Asked, received: Received, error: PndError) -> Judged[Reply] | None:
        """A request without an answer: what the vendor refuses goes to the rules, or it would be asked about for ever."""
        self._failures_in_a_row += 1
        is_refused = isinstance(error, SourceError)
        await self.keep([(asked, received)], [], Tally() if is_refused else Tally(unanswered=1), is_final=not is_refused)
        if self._failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
            raise error
        return Judged(None, "refused", received.problem) if is_refused else None


def _write(engine: sa.Engine, table: sa.Table, replies: list[tuple[Asked, Received]], results: list[pl.DataFrame]) -> None:
    with transaction(engine) as connection:
        if replies:
            upsert(connection, LLM_REPLIES, reply_rows(replies))
        if results:
            upsert(connection, table, pl.concat(results))
