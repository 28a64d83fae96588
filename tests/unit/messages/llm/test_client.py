"""The request as such: time limits, addresses, and the prompts that a version stands for."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from typing import Any

import pytest

from pnd_dagster.errors import SettingError, TransientError
from pnd_dagster.messages.llm.client import connect_llm
from pnd_dagster.messages.llm.prompts import PROMPT_VERSION, PROMPTS, request_body
from pnd_dagster.messages.llm.replies import AnnouncementReply, ChangeReply, Completion, LabelReply, read_completion
from pnd_dagster.settings import Settings
from pnd_dagster.simulator.llm import LlmServer

BODY = request_body("label", LabelReply, "gpt-4o-2024-08-06", "Only 10 minutes left", {})


def complete(settings: Settings, sleeps: Any, timeout_seconds: float) -> Completion:
    async def main() -> Completion:
        async with connect_llm(settings, timeout_seconds=timeout_seconds, sleep=sleeps.sleep) as client:
            return await client.complete(BODY)

    return asyncio.run(main())


def test_a_slow_answer_is_given_up_and_asked_for_again(llm_settings: Settings, llm: LlmServer, sleeps: Any) -> None:
    llm.faults.inject("slow", "1.5")
    assert complete(llm_settings, sleeps, timeout_seconds=0.5).content == '{"label": 1}'
    assert len(llm.asked()) == 2


def test_attempts_are_bounded(llm_settings: Settings, llm: LlmServer, sleeps: Any) -> None:
    llm.faults.inject("500", times=100)
    with pytest.raises(TransientError):
        complete(llm_settings, sleeps, timeout_seconds=5)
    assert len(llm.asked()) == 5
    assert sum(sleeps) < 60


def test_a_missing_key_is_named(settings: Settings, sleeps: Any) -> None:
    with pytest.raises(SettingError, match="PND_OPENAI_API_KEY"):
        complete(settings, sleeps, timeout_seconds=5)


def test_an_address_that_redirects_is_refused(llm_settings: Settings, sleeps: Any) -> None:
    import http.server
    import threading

    class Redirect(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(307)
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Redirect) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        with pytest.raises(SettingError, match="PND_OPENAI_URL"):
            complete(llm_settings.model_copy(update={"openai_url": url}), sleeps, timeout_seconds=5)


def test_whoever_changes_a_prompt_or_a_schema_counts_the_version_up() -> None:
    bodies = [
        request_body(task, reply, "m", "", {}) for task, reply in zip(PROMPTS, (LabelReply, AnnouncementReply, ChangeReply), strict=True)
    ]
    text = json.dumps([(body["messages"][0], body["response_format"]) for body in bodies], sort_keys=True)
    # The nonce changes with every request, the list of exchanges with the registry.
    text = re.sub(r"message_[0-9a-f]{16}|\"enum\": \[\"1inch\"[^]]*\]", "", text)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    assert (PROMPT_VERSION, digest) == ("prompts-1", "04633afae2c2")


@pytest.mark.parametrize(
    "body", [None, [], "text", {}, {"choices": None}, {"choices": [{}]}, {"choices": [], "usage": {"prompt_tokens": "x"}}]
)
def test_an_answer_of_any_shape_is_read_without_failing(body: Any) -> None:
    completion = read_completion(body)
    assert (completion.status, completion.content) == ("invalid", None)


def test_tokens_that_cannot_be_are_not_believed() -> None:
    body = {"choices": [{"message": {"content": "{}"}}], "usage": {"prompt_tokens": -5, "completion_tokens": 10**12}}
    assert read_completion(body)[3:5] == (None, None)
