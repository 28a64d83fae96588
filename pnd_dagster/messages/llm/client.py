"""Asking a vendor that speaks OpenAI's protocol: spaced, patient with what is transient, silent about the key."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import tenacity

from pnd_dagster.errors import PndError, QuotaExhaustedError, SettingError, SourceError, TransientError
from pnd_dagster.messages.llm.replies import Completion, read_completion
from pnd_dagster.settings import Settings
from pnd_dagster.snapshots.http import (
    MAX_ATTEMPTS,
    MAX_TOTAL_SECONDS,
    MAX_WAIT_SECONDS,
    RATE_WINDOW_SECONDS,
    checked_url,
    is_worth_waiting,
    retry_after_seconds,
    wait_seconds,
)
from pnd_dagster.storage.dead_letters import clean_text

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

TIMEOUT_SECONDS = 60.0
_TOTAL_FACTOR = 1.5  # an answer may drip in; in all it may take this many timeouts
_Answer = TypeVar("_Answer")
Sleep = Callable[[float], Awaitable[None]]


class LlmClient:
    """A session with the vendor, within one event loop; `connect_llm` opens it.

    Args:
        api: openai's client, without retries of its own: it gives up on a Retry-After of more than two minutes, and does not space them.
        settings: model, key and rate.
        timeout_seconds: how long an answer may take.
        sleep: waits between attempts and requests.
    """

    def __init__(self, api: AsyncOpenAI, settings: Settings, timeout_seconds: float, sleep: Sleep) -> None:
        self.api = api
        self.model = settings.openai_model
        self._secret = settings.openai_api_key.get_secret_value().strip() if settings.openai_api_key else ""
        self._interval_seconds = 60.0 / settings.openai_requests_per_minute
        self._total_seconds = timeout_seconds * _TOTAL_FACTOR
        self._sleep = sleep
        self._next_request_at = 0.0

    async def complete(self, body: dict[str, Any]) -> Completion:
        """The answer to a chat completion. Errors are those of `call`; SourceError means this request, not all."""

        async def ask() -> Completion:
            answer = await self.api.chat.completions.with_raw_response.create(**body)
            content = answer.http_response.content.decode("utf-8", "replace")
            try:
                return self._without_key(read_completion(json.loads(content)))
            except (ValueError, RecursionError):
                return self._without_key(Completion(content, "invalid", "the answer is no JSON"))

        return await self.call("chat completion", ask)

    async def call(self, what: str, ask: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """The answer of `ask`, which is called again after what is transient.

        Raises:
            SettingError: the vendor refuses the key, or knows no such model or address.
            QuotaExhaustedError: the account is out of money.
            SourceError: the vendor refuses this request.
            TransientError: it was not to be had, after several attempts, or is not for longer than we wait.
        """
        import openai

        async def once() -> _Answer:
            await self._pace()
            try:
                async with asyncio.timeout(self._total_seconds):
                    return await ask()
            except openai.APIStatusError as error:
                explained = self._explained(what, error)
                if isinstance(explained, TransientError) and (pause := explained.retry_after_seconds):
                    # What the vendor asks of one request it asks of all.
                    self._next_request_at = max(self._next_request_at, time.monotonic() + min(pause, MAX_WAIT_SECONDS))
                raise explained from None
            except (openai.APIConnectionError, TimeoutError) as error:
                raise TransientError(f"OpenAI {what}: no whole answer ({type(error).__name__}); is PND_OPENAI_URL right?") from None

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(is_worth_waiting),
            stop=tenacity.stop_any(tenacity.stop_after_attempt(MAX_ATTEMPTS), tenacity.stop_before_delay(MAX_TOTAL_SECONDS)),
            wait=wait_seconds,
            sleep=self._sleep,
            reraise=True,
        )
        return await retrying(once)

    async def pause(self, seconds: float) -> None:
        """Waits."""
        await self._sleep(seconds)

    async def _pace(self) -> None:
        now = time.monotonic()
        at = max(now, self._next_request_at)
        self._next_request_at = at + self._interval_seconds
        if at > now:
            await self._sleep(at - now)

    def _explained(self, what: str, error: APIStatusError) -> PndError:
        status = error.status_code
        reason = f"OpenAI {what}: HTTP {status}{self._said(error)}"
        if status in (401, 403):
            return SettingError(f"PND_OPENAI_API_KEY: {reason}; is the key valid, and may it use PND_OPENAI_MODEL ({self.model})?")
        if status == 404:
            return SettingError(f"PND_OPENAI_MODEL: {reason}; does PND_OPENAI_URL offer this, and the model {self.model}?")
        if status == 402 or error.code == "insufficient_quota":
            return QuotaExhaustedError(f"{reason}; the account of PND_OPENAI_API_KEY has no money left")
        if status in (408, 409, 425, 429) or status >= 500:
            return TransientError(reason, retry_after_seconds=_asked_pause(error))
        if 300 <= status < 400:
            return SettingError(f"PND_OPENAI_URL: {reason}: it redirects elsewhere")
        return SourceError(reason)

    def _said(self, error: APIStatusError) -> str:
        """What the vendor says of an error, as one short line without the key."""
        said = error.body.get("message") if isinstance(error.body, dict) else None
        return f" ({self._hidden(' '.join(clean_text(said).split()))[:200]})" if isinstance(said, str) else ""

    def _hidden(self, text: str) -> str:
        return text.replace(self._secret, "***") if self._secret else text

    def _without_key(self, completion: Completion) -> Completion:
        return completion._replace(content=self._hidden(completion.content)) if completion.content else completion


def _asked_pause(error: APIStatusError) -> float | None:
    milliseconds = retry_after_seconds(error.response.headers.get("retry-after-ms"))
    pause = milliseconds / 1000 if milliseconds is not None else retry_after_seconds(error.response.headers.get("retry-after"))
    return RATE_WINDOW_SECONDS if pause is None and error.status_code == 429 else pause


async def _refuse_page(response: Any) -> None:
    """A page with status 200 is some proxy's, and no answer."""
    if response.is_success and response.headers.get("content-type", "").startswith("text/html"):
        raise TransientError("OpenAI: a web page in place of an answer; is PND_OPENAI_URL right?")


@asynccontextmanager
async def connect_llm(
    settings: Settings, *, timeout_seconds: float = TIMEOUT_SECONDS, sleep: Sleep = asyncio.sleep
) -> AsyncGenerator[LlmClient]:
    """A client of the vendor that the settings name; redirections are not followed, for they would take the key elsewhere.

    Raises:
        SettingError: the key is missing, or the address would send it unprotected.
    """
    import openai

    key = settings.openai_api_key.get_secret_value().strip() if settings.openai_api_key else ""
    if not (key and key.isascii() and key.isprintable()):
        raise SettingError("PND_OPENAI_API_KEY: set your OpenAI API key (it is missing, empty or no ASCII text)")
    url, is_loopback = checked_url("PND_OPENAI_URL", settings.openai_url)
    # A proxy of the environment is for what is outside.
    http = openai.DefaultAsyncHttpxClient(follow_redirects=False, trust_env=not is_loopback, event_hooks={"response": [_refuse_page]})
    async with openai.AsyncOpenAI(api_key=key, base_url=url, max_retries=0, timeout=timeout_seconds, http_client=http) as api:
        yield LlmClient(api, settings, timeout_seconds, sleep)
