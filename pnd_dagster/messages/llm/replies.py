"""Replies of a language model: the closed schema of each task, and what of a vendor's answer we use.

A reply that fits its schema is not believed yet: whoever asks verifies it against the message.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, WithJsonSchema

from pnd_dagster.messages.labels import LABEL_COUNT, MessageLabel
from pnd_dagster.venues import VENUES, venue_by_id

_SYMBOL = re.compile(r"[A-Z0-9]{1,12}")
_LABEL_TOKEN = re.compile(rf"\W*([0-{LABEL_COUNT - 1}])\W*")


def _label(value: int) -> int:
    if value not in range(LABEL_COUNT):
        raise ValueError("no label")
    return value


def _exchange(value: str) -> str:
    if venue_by_id(value) is None:
        raise ValueError("no exchange we know")
    return value


def _symbol(value: str) -> str:
    symbol = value.upper()
    if not _SYMBOL.fullmatch(symbol):
        raise ValueError("no symbol")
    return symbol


def _time(value: str) -> str:
    read_time(value)
    return value


_Label = Annotated[int, AfterValidator(_label), WithJsonSchema({"type": "integer", "enum": [int(label) for label in MessageLabel]})]
_Exchange = Annotated[str, AfterValidator(_exchange), WithJsonSchema({"type": "string", "enum": sorted(v.id for v in VENUES)})]
_Symbol = Annotated[str, AfterValidator(_symbol)]
_Time = Annotated[str, AfterValidator(_time)]


class _Reply(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class LabelReply(_Reply):
    """One of the six labels."""

    label: _Label


class AnnouncementReply(_Reply):
    """What an announcement says: exchange by our id, symbols in upper case, start as ISO 8601 with offset."""

    exchange: _Exchange | None
    base_symbol: _Symbol | None
    quote_symbol: _Symbol | None
    start: _Time | None
    inferred: bool


class ChangeReply(_Reply):
    """Whether a pump was cancelled or postponed, and its new start as ISO 8601 with offset."""

    cancelled: bool
    postponed: bool
    new_start: _Time | None


Reply = TypeVar("Reply", bound=BaseModel)


class InvalidReplyError(ValueError):
    """A reply does not fit its schema; says how, without quoting it."""


def read_reply(reply_type: type[Reply], content: str) -> Reply:
    """The reply in `content`, the JSON a model wrote.

    Raises:
        InvalidReplyError: it is no JSON, or a field is missing, unknown or wrong.
    """
    try:
        return reply_type.model_validate_json(content)
    except ValidationError as error:
        problems = {_problem(reply_type, str(item["loc"][0]) if item["loc"] else None, item["type"]) for item in error.errors()}
        raise InvalidReplyError("; ".join(sorted(problems))) from None


def _problem(reply_type: type[BaseModel], field: str | None, kind: str) -> str:
    if field is None:
        return "the reply is no JSON object of the schema"
    # A name that is none of ours was made up by the model, or by the message.
    if field not in reply_type.model_fields:
        return "a field is not in the schema"
    return f"{field} is missing" if kind == "missing" else f"{field} does not fit the schema"


def read_time(text: str) -> datetime:
    """An ISO 8601 time with offset, in UTC.

    Raises:
        ValueError: it is none, or has no offset.
    """
    if len(text) > 40:
        raise ValueError("no time")
    try:
        at = datetime.fromisoformat(text.strip())
        if at.tzinfo is None:
            raise ValueError("no offset")
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("no time") from None


class Completion(NamedTuple):
    """What a vendor answered.

    Attributes:
        content: the reply as written; None if none came.
        status: why the content cannot be believed whatever it says (invalid, refused, truncated); None if it may be read.
        problem: the same in words.
        prompt_tokens: as billed.
        completion_tokens: as billed.
        tokens: the reply's tokens with the natural logarithm of their probability, where the vendor gives them.
    """

    content: str | None
    status: str | None = None
    problem: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    tokens: tuple[tuple[str, float], ...] = ()

    @property
    def label_confidence(self) -> float | None:
        """Probability of the token that holds the label; None if the vendor gave none."""
        for token, logarithm in reversed(self.tokens):
            if _LABEL_TOKEN.fullmatch(token):
                return min(1.0, math.exp(logarithm)) if logarithm <= 0 else None
        return None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Token(msgspec.Struct):
    token: str
    logprob: float


class _Tokens(msgspec.Struct):
    content: list[_Token] | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Tokens | None = None


class _Body(msgspec.Struct):
    choices: list[_Choice]


class _Billed(msgspec.Struct):
    usage: _Usage | None = None


def read_completion(body: Any) -> Completion:
    """The first choice of a chat completion.

    Args:
        body: the decoded JSON of the answer, whatever it is.
    """
    usage = _usage(body)
    prompt, completion = _tokens(usage.prompt_tokens), _tokens(usage.completion_tokens)
    try:
        choices = msgspec.convert(body, _Body).choices
    except (msgspec.ValidationError, RecursionError):
        return Completion(None, "invalid", "the answer is no chat completion", prompt, completion)
    if not choices:
        return Completion(None, "invalid", "the answer holds no choice", prompt, completion)
    choice = choices[0]
    content, status, problem = choice.message.content, None, None
    if choice.message.refusal or choice.finish_reason == "content_filter":
        status, problem = "refused", "the model refused" if choice.message.refusal else "the vendor's filter held the reply back"
        content = content or choice.message.refusal
    elif choice.finish_reason == "length":
        status, problem = "truncated", "the reply was cut off"
    elif not content:
        status, problem = "invalid", "the reply is empty"
    tokens = (choice.logprobs.content if choice.logprobs else None) or []
    return Completion(content, status, problem, prompt, completion, tuple((token.token, token.logprob) for token in tokens))


def _usage(body: Any) -> _Usage:
    try:
        return msgspec.convert(body, _Billed).usage or _Usage()
    except (msgspec.ValidationError, RecursionError):
        return _Usage()


def _tokens(count: int | None) -> int | None:
    return count if count is not None and 0 <= count < 2**31 else None
