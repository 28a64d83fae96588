"""Files and batches of the simulated language model, as OpenAI's Files and Batch APIs keep them. No transport here."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pnd_dagster.simulator.llm_completions import Answer, api_error
from pnd_dagster.simulator.llm_faults import BatchFault

MAX_REQUESTS = 50_000
_ENDPOINT = "/v1/chat/completions"
_WINDOW_SECONDS = 24 * 3600


@dataclass
class _Batch:
    batch_id: str
    input_file_id: str
    metadata: dict[str, str]
    created_at: float
    fault: BatchFault | None
    lines: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    cancelled_at: float | None = None
    ended_at: float | None = None
    counts: dict[str, int] = field(default_factory=dict)
    file_ids: dict[str, str] = field(default_factory=dict)


class LlmBatches:
    """The files and batches of one account.

    Args:
        answer: answers the request on one line of a batch.
        batch_seconds: how long a batch takes: a quarter of it is validation.
    """

    def __init__(self, answer: Callable[[dict[str, Any], str], Answer], batch_seconds: float) -> None:
        self.batch_seconds = batch_seconds
        self._answer = answer
        self._files: dict[str, tuple[dict[str, Any], bytes]] = {}
        self._batches: dict[str, _Batch] = {}

    def upload(self, content: bytes, filename: str, purpose: str) -> Answer:
        """Keeps a file."""
        if purpose not in ("batch", "batch_output"):
            return api_error(400, f"'{purpose}' is not one of ['batch']", param="purpose")
        file_id = f"file-{uuid.uuid4().hex[:22]}"
        described = {"id": file_id, "object": "file", "bytes": len(content), "created_at": int(time.time()), "filename": filename}
        described |= {"purpose": purpose, "status": "processed", "expires_at": None, "status_details": None}
        self._files[file_id] = described, content
        return Answer(200, described)

    def describe_file(self, file_id: str) -> Answer:
        """What is known of a file."""
        return Answer(200, self._files[file_id][0]) if file_id in self._files else _no_file(file_id)

    def delete_file(self, file_id: str) -> Answer:
        """Forgets a file."""
        if self._files.pop(file_id, None) is None:
            return _no_file(file_id)
        return Answer(200, {"id": file_id, "object": "file", "deleted": True})

    def content(self, file_id: str) -> bytes | None:
        """A file's bytes, None if there is none."""
        return self._files[file_id][1] if file_id in self._files else None

    def create(self, body: Any, fault: BatchFault | None = None) -> Answer:
        """Starts a batch over an uploaded file."""
        wanted: dict[str, Any] = body if isinstance(body, dict) else {}
        file_id = str(wanted.get("input_file_id"))
        if wanted.get("endpoint") != _ENDPOINT or wanted.get("completion_window") != "24h":
            return api_error(400, f"Expected endpoint '{_ENDPOINT}' and completion_window '24h'.", param="endpoint")
        if file_id not in self._files:
            return api_error(400, f"Invalid input_file_id: {file_id}", param="input_file_id")
        metadata: dict[str, Any] = wanted.get("metadata") or {}
        if len(metadata) > 16 or any(len(key) > 64 or not isinstance(value, str) or len(value) > 512 for key, value in metadata.items()):
            return api_error(400, "Invalid 'metadata': at most 16 pairs of 64 and 512 characters.", param="metadata")
        lines, errors = _read_lines(self._files[file_id][1])
        if fault == "batch_failed":
            errors = [_line_error("token_limit_exceeded", "Enqueued token limit reached for this model.", None)]
        batch = _Batch(f"batch_{uuid.uuid4().hex}", file_id, metadata, time.time(), fault, lines, errors)
        self._batches[batch.batch_id] = batch
        return Answer(200, self._describe(batch))

    def retrieve(self, batch_id: str) -> Answer:
        """A batch as it stands now."""
        return Answer(200, self._describe(self._batches[batch_id])) if batch_id in self._batches else _no_batch(batch_id)

    def cancel(self, batch_id: str) -> Answer:
        """Cancels a batch that has not ended; what is done by then stays."""
        if batch_id not in self._batches:
            return _no_batch(batch_id)
        batch = self._batches[batch_id]
        status = self._describe(batch)["status"]
        if status in ("completed", "failed", "expired", "cancelled"):
            return api_error(409, f"Cannot cancel a batch with status '{status}'.")
        batch.cancelled_at = batch.cancelled_at or time.time()
        return Answer(200, self._describe(batch))

    def page(self, after: str | None, limit: int) -> Answer:
        """Batches, the newest first."""
        newest = [self._describe(batch) for batch in reversed(self._batches.values())]
        ids = [batch["id"] for batch in newest]
        if after is not None and after not in ids:
            return _no_batch(after)
        start = ids.index(after) + 1 if after is not None else 0
        found = newest[start : start + limit]
        ends = {"first_id": found[0]["id"], "last_id": found[-1]["id"]} if found else {"first_id": None, "last_id": None}
        return Answer(200, {"object": "list", "data": found, **ends, "has_more": start + limit < len(newest)})

    def _describe(self, batch: _Batch) -> dict[str, Any]:
        now, start = time.time(), batch.created_at
        begun = start + self.batch_seconds / 4
        ends = start + self.batch_seconds
        status = "validating"
        if batch.errors:
            status = "failed" if now >= begun else status
        elif batch.cancelled_at is not None:
            status = "cancelled" if now >= batch.cancelled_at + self.batch_seconds / 4 else "cancelling"
        elif now >= ends and batch.fault != "batch_stuck":
            status = "expired" if batch.fault == "batch_expired" else "completed"
        elif now >= begun:
            status = "in_progress"
        if status in ("completed", "expired", "cancelled") and batch.ended_at is None:
            self._finish(batch, status)

        def passed(is_passed: bool, at: float | None) -> int | None:
            return int(at) if is_passed and at is not None else None

        return {
            "id": batch.batch_id,
            "object": "batch",
            "endpoint": _ENDPOINT,
            "errors": {"object": "list", "data": batch.errors} if status == "failed" else None,
            "input_file_id": batch.input_file_id,
            "completion_window": "24h",
            "status": status,
            "output_file_id": batch.file_ids.get("output"),
            "error_file_id": batch.file_ids.get("error"),
            "created_at": int(start),
            "in_progress_at": passed(not batch.errors and now >= begun, begun),
            "expires_at": int(start + _WINDOW_SECONDS),
            "finalizing_at": passed(status == "completed", ends),
            "completed_at": passed(status == "completed", ends),
            "failed_at": passed(status == "failed", begun),
            "expired_at": passed(status == "expired", ends),
            "cancelling_at": passed(batch.cancelled_at is not None, batch.cancelled_at),
            "cancelled_at": passed(status == "cancelled", batch.ended_at),
            "request_counts": batch.counts or {"total": 0 if status == "validating" else len(batch.lines), "completed": 0, "failed": 0},
            "metadata": batch.metadata or None,
        }

    def _finish(self, batch: _Batch, status: str) -> None:
        """Answers the lines, in an order of its own, and writes the output and the error file; an empty one is not written."""
        batch.ended_at = time.time()
        lines = random.Random(batch.batch_id).sample(batch.lines, len(batch.lines))
        done = lines if status == "completed" else lines[: len(lines) // 2]
        output: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        for line in done:
            status_code, body = self._answer(line["body"], batch.batch_id)
            response = {"status_code": status_code, "request_id": f"req_{uuid.uuid4().hex}", "body": body}
            (output if status_code == 200 else failed).append(_result(line, response, None))
        code = "batch_expired" if status == "expired" else "batch_cancelled"
        message = "This request could not be executed before the completion window expired." if status == "expired" else "Cancelled."
        failed += [_result(line, None, {"code": code, "message": message}) for line in lines[len(done) :]]
        batch.counts = {"total": len(lines), "completed": len(output), "failed": len(failed)}
        for name, results in (("output", output), ("error", failed)):
            if results:
                content = "".join(json.dumps(result) + "\n" for result in results).encode()
                batch.file_ids[name] = self.upload(content, f"{batch.batch_id}_{name}.jsonl", "batch_output").body["id"]


def _read_lines(content: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The requests of an input file, and what is wrong with it."""
    lines: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    seen: set[str] = set()
    for number, text in enumerate(content.splitlines(), 1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
            custom_id, body = line["custom_id"], line["body"]
            is_ours = (line["method"], line["url"]) == ("POST", _ENDPOINT)
        except (ValueError, KeyError, TypeError) as error:
            errors.append(_line_error("invalid_json_line", f"This line cannot be read: {error!r}", number))
            continue
        if custom_id in seen:
            errors.append(_line_error("duplicate_custom_id", f"The custom_id '{custom_id}' occurs twice.", number))
        elif not is_ours:
            errors.append(_line_error("invalid_url", f"Expected POST {_ENDPOINT}.", number))
        elif body.get("model") != (lines[0]["body"].get("model") if lines else body.get("model")):
            errors.append(_line_error("mismatched_model", "All requests of a batch go to one model.", number))
        else:
            seen.add(custom_id)
            lines.append(line)
    if not lines and not errors:
        errors.append(_line_error("empty_file", "The file holds no request.", None))
    if len(lines) > MAX_REQUESTS:
        errors.append(_line_error("too_many_tasks", f"At most {MAX_REQUESTS} requests.", None))
    return lines, errors


def _line_error(code: str, message: str, line: int | None) -> dict[str, Any]:
    return {"code": code, "message": message, "param": None, "line": line}


def _result(line: dict[str, Any], response: dict[str, Any] | None, error: dict[str, str] | None) -> dict[str, Any]:
    return {"id": f"batch_req_{uuid.uuid4().hex}", "custom_id": line["custom_id"], "response": response, "error": error}


def _no_file(file_id: str) -> Answer:
    return api_error(404, f"No such File object: {file_id}", code="not_found", param="id")


def _no_batch(batch_id: str) -> Answer:
    return api_error(404, f"No batch found with id '{batch_id}'.", code="not_found")
