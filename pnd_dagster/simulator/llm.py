"""A loopback language model that speaks OpenAI's protocol: /v1/models, /v1/chat/completions, /v1/files and /v1/batches.

It answers sensibly by rules of its own, misbehaves on command, and writes down what it was asked. Nothing leaves the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import json
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast

from aiohttp import web

from pnd_dagster.simulator.llm_batches import LlmBatches
from pnd_dagster.simulator.llm_completions import LLM_MODELS, Answer, api_error, complete
from pnd_dagster.simulator.llm_faults import BatchFault, Fault, LlmFaults, Place
from pnd_dagster.simulator.llm_reader import find_message

LLM_KEY = "simulated-llm-key"
_MOST_BYTES = 200_000_000
_FAULT = web.RequestKey("fault", Fault)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class AskedRequest:
    """One request as it came: `at` by the monotonic clock in seconds, `body` its JSON; `batch_id` if it stood in a batch.

    `status` is 0 until it is answered, and stays so if the connection was ended instead.
    """

    at: float
    method: str
    path: str
    headers: dict[str, str]
    body: Any
    status: int = 0
    batch_id: str | None = None


class LlmServer(NamedTuple):
    """A running server: the base address that clients take, what shall go wrong, what it was asked, its batches."""

    url: str
    faults: LlmFaults
    ledger: list[AskedRequest]
    batches: LlmBatches

    def asked(self, path: str = "/v1/chat/completions") -> list[AskedRequest]:
        """The requests to one path, those inside batches included."""
        return [request for request in self.ledger if request.path == path]


class _Llm:
    """The routes' handlers."""

    def __init__(self, faults: LlmFaults, ledger: list[AskedRequest], answer_seconds: float, batch_seconds: float) -> None:
        self.batches = LlmBatches(self._line, batch_seconds)
        self._faults, self._ledger, self._answer_seconds = faults, ledger, answer_seconds

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/models", self._guarded("files", self.models)),
            web.get("/v1/models/{model}", self._guarded("files", self.model)),
            web.post("/v1/chat/completions", self._guarded("chat", self.chat)),
            web.post("/v1/files", self._guarded("files", self.upload)),
            web.get("/v1/files/{file}", self._guarded("files", self.file)),
            web.delete("/v1/files/{file}", self._guarded("files", self.delete)),
            web.get("/v1/files/{file}/content", self._guarded("files", self.content)),
            web.post("/v1/batches", self._guarded("batches", self.create_batch)),
            web.get("/v1/batches", self._guarded("batches", self.list_batches)),
            web.get("/v1/batches/{batch}", self._guarded("batches", self.batch)),
            web.post("/v1/batches/{batch}/cancel", self._guarded("batches", self.cancel_batch)),
        ]

    async def models(self, _request: web.Request) -> web.StreamResponse:
        found = [{"id": model, "object": "model", "created": 1_722_814_719, "owned_by": "system"} for model in LLM_MODELS]
        return _json(Answer(200, {"object": "list", "data": found}))

    async def model(self, request: web.Request) -> web.StreamResponse:
        model = request.match_info["model"]
        if model not in LLM_MODELS:
            return _json(api_error(404, f"The model '{model}' does not exist"))
        return _json(Answer(200, {"id": model, "object": "model", "created": 1_722_814_719, "owned_by": "system"}))

    async def chat(self, request: web.Request) -> web.StreamResponse:
        if self._answer_seconds:
            await asyncio.sleep(self._answer_seconds)
        return _json(complete(await _body(request), request.get(_FAULT), self._faults.obey))

    async def upload(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        part = form.get("file")
        if not isinstance(part, web.FileField):
            return _json(api_error(400, "'file' is a required property", param="file"))
        return _json(self.batches.upload(part.file.read(), part.filename, str(form.get("purpose", ""))))

    async def file(self, request: web.Request) -> web.StreamResponse:
        return _json(self.batches.describe_file(request.match_info["file"]))

    async def delete(self, request: web.Request) -> web.StreamResponse:
        return _json(self.batches.delete_file(request.match_info["file"]))

    async def content(self, request: web.Request) -> web.StreamResponse:
        content = self.batches.content(request.match_info["file"])
        if content is None:
            return _json(self.batches.describe_file(request.match_info["file"]))
        return web.Response(body=content, content_type="application/octet-stream")

    async def create_batch(self, request: web.Request) -> web.StreamResponse:
        fault = request.get(_FAULT)
        return _json(self.batches.create(await _body(request), cast(BatchFault, fault.kind) if fault else None))

    async def list_batches(self, request: web.Request) -> web.StreamResponse:
        limit = request.query.get("limit", "20")
        if not limit.isdigit() or not 1 <= int(limit) <= 100:
            return _json(api_error(400, "Invalid 'limit': expected 1 to 100.", param="limit"))
        return _json(self.batches.page(request.query.get("after"), int(limit)))

    async def batch(self, request: web.Request) -> web.StreamResponse:
        return _json(self.batches.retrieve(request.match_info["batch"]))

    async def cancel_batch(self, request: web.Request) -> web.StreamResponse:
        return _json(self.batches.cancel(request.match_info["batch"]))

    def _line(self, body: dict[str, Any], batch_id: str) -> Answer:
        """The answer to one line of a batch."""
        fault = self._faults.next("line", _message(body))
        answer = _failure(fault) if fault and fault.is_of_api else complete(body, fault, self._faults.obey)
        self._ledger.append(AskedRequest(time.monotonic(), "POST", "/v1/chat/completions", {}, body, answer.status, batch_id))
        return answer

    def _guarded(self, place: Place, handler: _Handler) -> _Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            headers = {name.lower(): value for name, value in request.headers.items()}
            body = await _body(request) if request.content_type == "application/json" else None
            entry = AskedRequest(time.monotonic(), request.method, request.path, headers, body)
            self._ledger.append(entry)
            if headers.get("authorization") != f"Bearer {LLM_KEY}":
                answer = _json(api_error(401, "Incorrect API key provided."))
            elif (fault := self._faults.next(place, _message(body))) is not None and fault.is_of_api and fault.kind not in ("slow", "cut"):
                answer = await _failed(request, fault)
            else:
                if fault is not None and fault.kind == "slow":
                    await asyncio.sleep(float(fault.value or 1))
                elif fault is not None and fault.kind != "cut":
                    request[_FAULT] = fault
                answer = await handler(request)
                if fault is not None and fault.kind == "cut":
                    await _cut(request, answer)
            entry.status = answer.status
            answer.headers["x-request-id"] = f"req_{len(self._ledger):08d}"
            return answer

        return guarded


def add_llm_routes(
    app: web.Application,
    *,
    faults: LlmFaults | None = None,
    ledger: list[AskedRequest] | None = None,
    answer_seconds: float = 0.0,
    batch_seconds: float = 0.2,
) -> LlmBatches:
    """Adds the language model's routes; `{url}/v1` is then its base address and `LLM_KEY` its key. Returns its files and batches.

    Args:
        app: the server, not yet running.
        faults: what shall go wrong.
        ledger: gets an entry for every request.
        answer_seconds: how long each single answer takes.
        batch_seconds: how long a batch takes.
    """
    llm = _Llm(faults or LlmFaults(), [] if ledger is None else ledger, answer_seconds, batch_seconds)
    app.add_routes(llm.routes())
    return llm.batches


@contextmanager
def serve_llm(*, faults: LlmFaults | None = None, answer_seconds: float = 0.0, batch_seconds: float = 0.2) -> Generator[LlmServer]:
    """Serves the language model from a thread, on a free port of 127.0.0.1, while the context lasts; see `add_llm_routes`."""
    loop = asyncio.new_event_loop()
    failing, ledger = faults or LlmFaults(), list[AskedRequest]()

    async def start() -> tuple[web.AppRunner, int, LlmBatches]:
        app = web.Application(client_max_size=_MOST_BYTES)
        batches = add_llm_routes(app, faults=failing, ledger=ledger, answer_seconds=answer_seconds, batch_seconds=batch_seconds)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner, runner.addresses[0][1], batches

    thread = threading.Thread(target=loop.run_forever, name="language-model", daemon=True)
    thread.start()
    try:
        runner, port, batches = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
        try:
            yield LlmServer(f"http://127.0.0.1:{port}/v1", failing, ledger, batches)
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


def _message(body: Any) -> str:
    """The message that a request body asks about, as far as it has one."""
    messages: Any = cast(dict[str, Any], body).get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list):
        return ""
    return find_message([part for part in messages if isinstance(part, dict)]).text


async def _body(request: web.Request) -> Any:
    """The request's JSON, None if it is none."""
    with contextlib.suppress(ValueError):
        return json.loads(await request.read())
    return None


async def _failed(request: web.Request, fault: Fault) -> web.Response:
    """The answer that stands for a fault of the API."""
    if fault.kind == "dropped":
        if request.transport is not None:
            request.transport.abort()
        raise asyncio.CancelledError
    if fault.kind == "html":
        return web.Response(text="<html><body>Just a moment...</body></html>", content_type="text/html")
    answer = _json(_failure(fault))
    kind, _, amount = fault.value.rpartition(":")
    if kind == "date":
        answer.headers["Retry-After"] = email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=float(amount)), usegmt=True)
    elif fault.value:
        answer.headers["retry-after-ms" if kind == "ms" else "Retry-After"] = amount
    return answer


def _failure(fault: Fault) -> Answer:
    if fault.kind == "quota":
        return api_error(429, "You exceeded your current quota, please check your plan and billing details.", code="insufficient_quota")
    return api_error(int(fault.kind), f"injected {fault.kind}")


async def _cut(request: web.Request, answer: web.StreamResponse) -> None:
    """Ends the connection after half of the body that was announced."""
    body = answer.body if isinstance(answer, web.Response) and isinstance(answer.body, bytes) else b""
    if request.transport is not None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        request.transport.write(head.encode() + body[: len(body) // 2])
        request.transport.close()
    raise asyncio.CancelledError


def _json(answer: Answer) -> web.Response:
    return web.Response(body=json.dumps(answer.body).encode(), status=answer.status, content_type="application/json")
