"""Asking about many messages through the vendor's batch interface: half the price, an answer within a day.

The vendor keeps what is pending: a batch carries who submitted it and for what in its metadata, so a run that was cut off finds it
again. At most one batch of a task is under way; what a batch left unanswered goes into the next one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Generic, NamedTuple

import msgspec
import polars as pl
import sqlalchemy as sa

from pnd_dagster.errors import SourceError, TransientError
from pnd_dagster.messages.llm.asking import Asker, Question, Tally, Task, judge, tally_of
from pnd_dagster.messages.llm.budget import Prices, SpendLimitError
from pnd_dagster.messages.llm.client import LlmClient, Sleep, connect_llm
from pnd_dagster.messages.llm.prompts import PROMPT_VERSION
from pnd_dagster.messages.llm.replies import Reply, read_completion
from pnd_dagster.messages.llm.store import Asked, Received, Revision
from pnd_dagster.settings import Settings
from pnd_dagster.storage import locks, transaction, upsert
from pnd_dagster.storage.dead_letters import Refusal, dead_letters
from pnd_dagster.tables import DEAD_LETTERS, LLM_REPLIES

if TYPE_CHECKING:
    from openai.types import Batch

ENDPOINT = "/v1/chat/completions"
OWNER = "pnd-dagster"
# The vendor takes 50,000 requests and 200 MB.
MAX_REQUESTS, MAX_BYTES = 20_000, 100_000_000
_FINISHED = frozenset({"completed", "expired", "cancelled", "failed"})
# A batch ends within a day; older ones were collected, or their files are gone.
_LOOK_BACK = timedelta(days=14)
# Stands in place of a reply from submission to collection, with the highest price, so that the day's limit knows of it.
WAITING = "waits for its batch"


def ask_all_by_batch(
    engine: sa.Engine,
    settings: Settings,
    task: Task[Reply],
    questions: Iterable[Question],
    *,
    limit: int | None = None,
    on_progress: Callable[[Tally], None] = lambda tally: None,
    on_wait: Callable[[str], None] = lambda state: None,
    poll_seconds: float = 30.0,
    sleep: Sleep = asyncio.sleep,
) -> Tally:
    """Collects what finished, submits the rest, waits and collects; replies that are not believed are repaired one by one.

    Args:
        engine: the platform's database.
        settings: key, model, prices, rate and limit.
        task: what to ask.
        questions: every message that has no result yet, so that earlier batches find theirs.
        limit: at most so many are submitted, what is found of earlier runs counted.
        on_progress: called with the running total.
        on_wait: called with a line on the batch that is waited for.
        poll_seconds: pause between looks at a batch.
        sleep: waits.

    Raises:
        As `ask_all`, and SourceError: the vendor failed the batch as a whole; says why.
    """

    async def main() -> Tally:
        async with connect_llm(settings, sleep=sleep) as client:
            asker = Asker(engine, settings, client, task, on_progress)
            run = _BatchRun(engine, settings, client, task, asker, list(questions))
            await run.finish(limit, poll_seconds, on_wait)
            return asker.total

    with engine.connect() as lock:
        is_ours = lock.execute(sa.select(sa.func.pg_try_advisory_lock(locks.LLM_BATCH))).scalar_one()
        # Nothing is pending in this transaction while the vendor works, which may take a day.
        lock.commit()
        if not is_ours:
            raise TransientError("another run is waiting for a batch already; it collects it")
        try:
            return asyncio.run(main())
        finally:
            lock.execute(sa.select(sa.func.pg_advisory_unlock(locks.LLM_BATCH)))
            lock.commit()


class _Line(NamedTuple):
    """A line of a batch's output or error file."""

    custom_id: str
    status: int | None
    body: Any
    problem: str | None


class _Response(msgspec.Struct):
    status_code: int | None = None
    body: Any = None


class _Error(msgspec.Struct):
    code: str | None = None
    message: str | None = None


class _RawLine(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: _Error | None = None


class _BatchRun(Generic[Reply]):
    """What a run knows: the open questions by the custom id of each of their revisions, and what waits for repair."""

    def __init__(
        self,
        engine: sa.Engine,
        settings: Settings,
        client: LlmClient,
        task: Task[Reply],
        asker: Asker[Reply],
        questions: list[Question],
    ) -> None:
        self._engine = engine
        self._client = client
        self._task = task
        self._asker = asker
        self._prices = Prices.of(settings, is_batch=True)
        # Of one text several revisions may stand in a batch, whichever was the newest when it was submitted.
        self._open = {_custom_id(task.name, revision): question for question in questions for revision in question.revisions}
        self._submitted: set[Revision] = set()

    async def finish(self, limit: int | None, poll_seconds: float, on_wait: Callable[[str], None]) -> None:
        """Until everything up to the limit is answered, or was in a batch of this run and was not."""
        pending, left = await self._catch_up(), limit
        if left is not None:
            taken_up = (
                self._asker.total.accepted + self._asker.total.fallen_back + (len(_waiting(self._engine, pending.id)) if pending else 0)
            )
            left = max(0, left - taken_up)
        while True:
            if pending is None:
                chosen = await self._affordable(left)
                if not chosen:
                    return
                pending = await self._submit(chosen)
                left = None if left is None else left - len(chosen)
            batch = await self._wait_for(pending, poll_seconds, on_wait)
            pending = None
            await self._collect(batch)
            if batch.status == "failed":
                raise SourceError(f"OpenAI batch {batch.id} failed: {_said(batch)}")

    async def _catch_up(self) -> Batch | None:
        """Collects the finished batches of earlier runs; the one that is still under way, if any."""
        ours = await self._client.call("batch list", self._list)
        known = _collected(self._engine, [batch.id for batch in ours])
        for batch in ours:
            if batch.status in _FINISHED and batch.id not in known:
                await self._collect(batch)
        return next((batch for batch in ours if batch.status not in _FINISHED), None)

    async def _list(self, submission: str | None = None) -> list[Batch]:
        since, found = datetime.now(UTC) - _LOOK_BACK, list["Batch"]()
        wanted = self._metadata(submission)
        async for batch in self._client.api.batches.list(limit=100):
            if batch.created_at < since.timestamp():
                break
            if wanted.items() <= (batch.metadata or {}).items():
                found.append(batch)
        return found

    def _metadata(self, submission: str | None = None) -> dict[str, str]:
        ours = {"owner": OWNER, "task": self._task.name, "prompt_version": PROMPT_VERSION, "model": self._client.model}
        return ours | ({"submission": submission} if submission else {})

    async def _affordable(self, limit: int | None) -> list[tuple[Question, bytes]]:
        """The next questions with their lines, as many as the vendor and the day's limit allow; none if nothing is open."""
        left_usd, size = await self._asker.budget.left_today(), 0
        chosen: list[tuple[Question, bytes]] = []
        waiting = {q.revision: q for q in self._open.values() if q.revision not in self._submitted}
        for question in islice(waiting.values(), MAX_REQUESTS if limit is None else min(limit, MAX_REQUESTS)):
            body = self._asker.body(question)
            line = _line(_custom_id(self._task.name, question.revision), body)
            left_usd, size = left_usd - self._prices.most(body), size + len(line)
            if size > MAX_BYTES:
                break
            if left_usd < 0:
                if chosen:
                    break
                raise SpendLimitError("PND_OPENAI_USD_PER_DAY: not even one more request fits into what is left of today (UTC)")
            chosen.append((question, line))
        return chosen

    async def _submit(self, chosen: list[tuple[Question, bytes]]) -> Batch:
        content, submission = b"".join(line for _, line in chosen), token_hex(8)
        api = self._client.api
        file = await self._client.call("file upload", lambda: api.files.create(file=(f"{OWNER}.jsonl", content), purpose="batch"))
        is_first = True

        async def create() -> Batch:
            nonlocal is_first
            # An attempt whose answer was lost may have made one: no second for the same requests.
            if not is_first and (found := await self._list(submission)):
                return found[0]
            is_first = False
            return await api.batches.create(
                input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h", metadata=self._metadata(submission)
            )

        batch = await self._client.call("batch", create)
        self._submitted |= {question.revision for question, _ in chosen}
        now = datetime.now(UTC)
        waiting = [
            (
                self._asked(batch, question.revision),
                Received("failed", WAITING, None, self._prices.most(self._asker.body(question)), now, None),
            )
            for question, _ in chosen
        ]
        await self._asker.keep(waiting, [], Tally(), is_final=False)
        return batch

    def _asked(self, batch: Batch, revision: Revision) -> Asked:
        return Asked(self._task.name, self._client.model, revision, 0, datetime.fromtimestamp(batch.created_at, UTC), batch.id)

    async def _wait_for(self, batch: Batch, poll_seconds: float, on_wait: Callable[[str], None]) -> Batch:
        while batch.status not in _FINISHED:
            counts = batch.request_counts
            done = f", {counts.completed + counts.failed} of {counts.total}" if counts else ""
            on_wait(f"batch {batch.id}: {batch.status}{done}")
            await self._client.pause(poll_seconds)
            batch_id = batch.id
            batch = await self._client.call("batch", lambda batch_id=batch_id: self._client.api.batches.retrieve(batch_id))
        return batch

    async def _collect(self, batch: Batch) -> None:
        """Keeps what a finished batch answered; then repairs, one by one, what was answered but not believed."""
        lines, refusals = list[_Line](), list[Refusal]()
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id:
                file = await self._client.call("file", lambda file_id=file_id: self._client.api.files.content(file_id))
                _read_lines(batch.id, file.content, lines, refusals)
        repairs: list[tuple[Question, int, str | None]] = []
        seen: set[str] = set()
        replies, results, progress = list[tuple[Asked, Received]](), list[pl.DataFrame](), Tally()
        for line in lines:
            if line.custom_id in seen:
                continue
            seen.add(line.custom_id)
            revision = _revision(self._task.name, line.custom_id)
            if revision is None:
                refusals.append(Refusal(f"{batch.id} {line.custom_id[:100]}", "a batch answers a request we did not make", line.body))
                continue
            question = self._open.get(line.custom_id)
            received, result, counted, repair = self._receive(line, question)
            replies.append((self._asked(batch, revision), received))
            results += result
            progress += counted
            if repair and question:
                repairs.append((question, 1, repair))
            elif result and question:
                self._close(question)
        letters = dead_letters("openai batch", refusals, refused_at=datetime.now(UTC))
        await asyncio.to_thread(upsert, self._engine, DEAD_LETTERS, letters)
        silent = _waiting(self._engine, batch.id) - {asked.revision for asked, _ in replies}
        unanswered = Received("failed", f"the batch {batch.status} without an answer", None, None, datetime.now(UTC), None)
        replies += [(self._asked(batch, revision), unanswered) for revision in silent]
        progress += Tally(unanswered=len(silent))
        # In one transaction: where nothing waits any more, the batch was collected.
        await self._asker.keep(replies, results, progress)
        for question, _, _ in repairs:
            self._close(question)
        await self._asker.ask(repairs)

    def _receive(self, line: _Line, question: Question | None) -> tuple[Received, list[pl.DataFrame], Tally, str | None]:
        """What came of one request: the reply, the result, how it counts, and what has to be repaired."""
        now = datetime.now(UTC)
        if line.body is None or line.problem:
            # What the vendor refuses it would refuse again; the rest was not answered in time, and goes into the next batch.
            is_refused = line.status is not None and 400 <= line.status < 500 and line.status not in (408, 409, 429)
            results, counted = self._asker.conclude(question, None, None) if is_refused and question else ([], Tally(unanswered=1))
            return Received("failed", line.problem or "no answer", None, None, now, None), results, counted, None
        completion = read_completion(line.body)
        cost = self._prices.cost(completion, self._asker.body(question) if question else {"max_completion_tokens": 0})
        counted = tally_of(completion, cost)
        if question is None:
            # Answered meanwhile by another run: kept for the record and the bill.
            return Received("unverified", "the message had its answer already", completion, cost, now, None), [], counted, None
        judged = judge(self._task, question, completion)
        received = Received(judged.status, judged.problem, completion, cost, now, None)
        if judged.reply is None and judged.status != "refused":
            return received, [], counted, judged.problem or "the reply did not fit"
        results, concluded = self._asker.conclude(question, judged.reply, completion)
        return received, results, counted + concluded, None

    def _close(self, question: Question) -> None:
        for revision in question.revisions:
            self._open.pop(_custom_id(self._task.name, revision), None)


def _custom_id(task: str, revision: Revision) -> str:
    return f"{task}/{revision.channel_id}/{revision.message_id}/{revision.revision_id}"


def _revision(task: str, custom_id: str) -> Revision | None:
    name, *parts = custom_id.split("/")
    try:
        return Revision(*(int(part) for part in parts)) if name == task and len(parts) == 3 else None
    except ValueError:
        return None


def _line(custom_id: str, body: dict[str, Any]) -> bytes:
    request = {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": body}
    return json.dumps(request, ensure_ascii=False).encode() + b"\n"


def _read_lines(batch_id: str, content: bytes, lines: list[_Line], refusals: list[Refusal]) -> None:
    for number, text in enumerate(content.splitlines(), 1):
        if not text.strip():
            continue
        try:
            raw = msgspec.json.decode(text, type=_RawLine)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            refusals.append(Refusal(f"{batch_id} line {number}", f"no line of a batch: {error}", text.decode("utf-8", "replace")))
            continue
        response = raw.response or _Response()
        is_good = response.status_code == 200 and raw.error is None
        code = raw.error.code if raw.error else None
        problem = None if is_good else f"{code or 'error'} (HTTP {response.status_code})"
        lines.append(_Line(raw.custom_id, response.status_code, response.body if is_good else None, problem))


def _collected(engine: sa.Engine, batch_ids: list[str]) -> set[str]:
    reply = LLM_REPLIES.c
    is_waiting = sa.func.bool_or(reply.problem.is_not_distinct_from(WAITING))
    statement = sa.select(reply.batch_id).where(reply.batch_id.in_(batch_ids)).group_by(reply.batch_id).having(~is_waiting)
    with transaction(engine) as connection:
        return {batch_id for (batch_id,) in connection.execute(statement) if batch_id}


def _waiting(engine: sa.Engine, batch_id: str) -> set[Revision]:
    reply = LLM_REPLIES.c
    statement = sa.select(reply.channel_id, reply.message_id, reply.revision_id).where(reply.batch_id == batch_id, reply.problem == WAITING)
    with transaction(engine) as connection:
        return {Revision(*row) for row in connection.execute(statement)}


def _said(batch: Batch) -> str:
    errors = (batch.errors.data if batch.errors else None) or []
    return "; ".join(f"{error.code}: {error.message}" for error in errors[:3])[:300] or "no reason given"
