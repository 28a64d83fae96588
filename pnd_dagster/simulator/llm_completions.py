"""Chat completions of the simulated language model: the request is checked as OpenAI checks it, answered by rules, spoilt on command."""

from __future__ import annotations

import json
import re
import time
import uuid
from typing import Any, NamedTuple

from pnd_dagster.simulator.llm_faults import Fault, Obedience
from pnd_dagster.simulator.llm_obedience import obey_instructions
from pnd_dagster.simulator.llm_reader import MEANINGS, fill, find_message, meaning, read_message

LLM_MODELS = ("gpt-4o-2024-08-06", "gpt-4o", "gpt-4o-mini")
_UNSUPPORTED = frozenset({"allOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else"})
_CHARACTERS_PER_TOKEN = 4
_ERRORS = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


class Answer(NamedTuple):
    """An HTTP status and its JSON."""

    status: int
    body: dict[str, Any]


def api_error(status: int, message: str, *, code: str | None = None, param: str | None = None) -> Answer:
    """An error in OpenAI's form."""
    kind, usual = _ERRORS.get(status, ("server_error", None))
    return Answer(status, {"error": {"message": message, "type": kind, "param": param, "code": code or usual}})


def complete(body: Any, fault: Fault | None = None, obey: Obedience | None = None) -> Answer:
    """The completion of a request body, or the error it deserves.

    Args:
        body: the request's JSON.
        fault: what goes wrong with the answer; faults of the API have been dealt with before.
        obey: what an obedient model answers; see `LlmFaults.obey`.
    """
    if (refused := _refuse(body)) is not None:
        return refused
    if fault is None and obey is None:
        return _completion(body, _honest(body))
    if fault is not None and fault.kind != "obedient":
        return _spoilt(body, fault)
    demand = (obey or obey_instructions)(find_message(body["messages"]).text)
    if demand is None:
        return _completion(body, _honest(body))
    return _completion(body, demand if isinstance(demand, str) else _obeyed(body, demand))


def _honest(body: dict[str, Any]) -> str:
    """The content a model that works gives."""
    asked = find_message(body["messages"])
    facts = read_message(asked)
    schema = _schema(body)
    return json.dumps(facts if schema is None else fill(schema, facts), ensure_ascii=False)


def _obeyed(body: dict[str, Any], demand: dict[str, Any]) -> str:
    """The honest content with what was demanded in it; a demand that no property can mean is added as a field of its own."""
    content = json.loads(_honest(body))
    for name in content:
        if (wanted := name if name in demand else meaning(name)) in demand:
            content[name] = demand[wanted]
    return json.dumps(content | {name: value for name, value in demand.items() if name not in MEANINGS}, ensure_ascii=False)


def _spoilt(body: dict[str, Any], fault: Fault) -> Answer:
    content = _honest(body)
    values: dict[str, Any] = json.loads(content)
    first = next(iter(values), "")
    match fault.kind:
        case "truncated":
            return _completion(body, content[: max(1, len(content) // 2)], finish_reason="length")
        case "refusal":
            return _completion(body, None, refusal=fault.value or "I'm sorry, I can't help with that.")
        case "content_filter":
            return _completion(body, "", finish_reason="content_filter")
        case "null_content":
            return _completion(body, None)
        case "no_choices":
            answer = _completion(body, content)
            return Answer(200, answer.body | {"choices": []})
        case "missing_field":
            content = json.dumps({name: value for name, value in values.items() if name != first})
        case "extra_field":
            content = json.dumps(values | {"note": fault.value or "as you asked"})
        case "wrong_type":
            content = json.dumps(values | {first: [values.get(first)]})
        case "label":
            name = next((name for name in values if meaning(name) == "label"), first)
            content = json.dumps({**values, name: "\0"}).replace('"\\u0000"', fault.value or "7")
        case "not_json":
            content = fault.value or "Sure! The label is one."
        case "fenced":
            content = f"```json\n{content}\n```"
        case _:
            content = fault.value
    return _completion(body, content)


def _completion(body: dict[str, Any], content: str | None, *, finish_reason: str = "stop", refusal: str | None = None) -> Answer:
    asked = sum(_tokens(str(message.get("content") or "")) + 4 for message in body["messages"])
    schema = _schema(body)
    prompt_tokens = asked + (_tokens(json.dumps(schema)) if schema else 0)
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if limit and content and _tokens(content) > limit:
        content, finish_reason = content[: limit * _CHARACTERS_PER_TOKEN], "length"
    completion_tokens = _tokens(content or refusal or "")
    message = {"role": "assistant", "content": content, "refusal": refusal, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": _logprobs(body, content), "finish_reason": finish_reason}
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }
    head = {"id": f"chatcmpl-{uuid.uuid4().hex[:29]}", "object": "chat.completion", "created": int(time.time()), "model": body["model"]}
    return Answer(200, {**head, "choices": [choice], "usage": usage, "service_tier": "default", "system_fingerprint": "fp_simulated"})


def _logprobs(body: dict[str, Any], content: str | None) -> dict[str, Any] | None:
    """Made-up log probabilities, one per word or sign, if they were asked for."""
    if not body.get("logprobs"):
        return None
    tokens = re.findall(r"\w+|\W", content or "")
    found = [{"token": token, "logprob": -0.1, "bytes": list(token.encode("utf-8", "replace")), "top_logprobs": []} for token in tokens]
    return {"content": found, "refusal": None}


def _tokens(text: str) -> int:
    return -(-len(text) // _CHARACTERS_PER_TOKEN)


def _schema(body: dict[str, Any]) -> dict[str, Any] | None:
    wanted = body.get("response_format") or {}
    return wanted["json_schema"]["schema"] if wanted.get("type") == "json_schema" else None


def _refuse(body: Any) -> Answer | None:
    """The 400 or 404 that a request deserves."""
    if not isinstance(body, dict):
        return api_error(400, "We could not parse the JSON body of your request.")
    if body.get("model") not in LLM_MODELS:
        return api_error(404, f"The model `{body.get('model')}` does not exist or you do not have access to it.")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(part, dict) and "role" in part for part in messages):
        return api_error(400, "Invalid 'messages': expected an array of messages with a role.", param="messages")
    for name, least, most in (("temperature", 0, 2), ("top_p", 0, 1)):
        if not least <= body.get(name, least) <= most:
            return api_error(400, f"Invalid '{name}': expected {least} to {most}.", param=name)
    wanted = body.get("response_format")
    if body.get("stream") or (isinstance(wanted, dict) and wanted.get("type") not in ("text", "json_object", "json_schema")):
        return api_error(400, "Unsupported value.", code="unsupported_value", param="stream" if body.get("stream") else "response_format")
    if isinstance(wanted, dict) and wanted["type"] == "json_schema":
        named = wanted.get("json_schema") or {}
        problem = "no name" if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", str(named.get("name", ""))) else None
        problem = problem or ("no schema" if not isinstance(named.get("schema"), dict) else None)
        problem = problem or (_schema_problem(named["schema"], "") if named.get("strict") else None)
        if problem:
            return api_error(400, f"Invalid schema for response_format '{named.get('name')}': {problem}", param="response_format")
    return None


def _schema_problem(part: Any, path: str) -> str | None:
    """What strict mode refuses: open objects, optional properties, keywords it does not know."""
    if isinstance(part, list):
        return next((problem for one in part if (problem := _schema_problem(one, path))), None)
    if not isinstance(part, dict):
        return None
    if unknown := _UNSUPPORTED & part.keys():
        return f"In context=({path}), '{min(unknown)}' is not permitted."
    if path == "" and part.get("type") != "object":
        return "schema must be of type 'object'."
    properties: dict[str, Any] = part.get("properties") or {}
    if part.get("type") == "object" or properties:
        if part.get("additionalProperties") is not False:
            return f"In context=({path}), 'additionalProperties' is required to be supplied and to be false."
        if missing := properties.keys() - set(part.get("required", [])):
            return f"In context=({path}), 'required' must include every key in properties. Missing '{min(missing)}'."
    inner = [(f"{path}.{name}", value) for name, value in [*properties.items(), *(part.get("$defs") or {}).items()]]
    inner += [(f"{path}.{name}", part[name]) for name in ("anyOf", "items") if name in part]
    return next((problem for name, value in inner if (problem := _schema_problem(value, name))), None)
