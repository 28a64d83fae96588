"""Inputs that were refused: text and objects as Postgres can hold them, and the rows of raw.dead_letters."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import polars as pl

from pnd_dagster.tables import DEAD_LETTERS, polars_schema

MAX_PAYLOAD_CHARACTERS = 10_000


class Refusal(NamedTuple):
    """One refused input: where it stood, why it was refused, and what it held."""

    location: str
    reason: str
    payload: Any


def clean_text(text: str) -> str:
    """`text` as Postgres and Polars can hold it: surrogate pairs joined, lone surrogates and NUL bytes replaced by U+FFFD."""
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\x00", "\ufffd") if "\x00" in text else text


def json_text(value: Any) -> str:
    """`value` as JSON that Postgres accepts as jsonb; NaN and infinities become text, and so does what JSON does not know."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError):
        return _cleaned_json(value)
    # Also true of an escaped backslash before u0000, which then is cleaned for nothing.
    return _cleaned_json(value) if "\\u0000" in text else text


def dead_letters(source: str, refusals: Iterable[Refusal], *, refused_at: datetime) -> pl.DataFrame:
    """Rows of raw.dead_letters. The same refusal of the same source has the same id, so a second run adds none.

    Args:
        source: file or service the inputs came from; no absolute path, so that a moved file stays the same source.
        refusals: what was refused.
        refused_at: when.
    """
    letters = [
        {
            "dead_letter_id": hashlib.blake2b(f"{source}\0{location}\0{reason}".encode(), digest_size=16).hexdigest(),
            "source": source,
            "location": location,
            "reason": reason,
            "payload": None if payload is None else _cut(json_text(payload)),
            "occurred_at": refused_at,
        }
        for location, reason, payload in ((clean_text(one.location), clean_text(one.reason), one.payload) for one in refusals)
    ]
    return pl.DataFrame(letters, schema=polars_schema(DEAD_LETTERS)).unique("dead_letter_id", keep="first", maintain_order=True)


def _cut(text: str) -> str:
    if len(text) <= MAX_PAYLOAD_CHARACTERS:
        return text
    # Escaping a cut text may double its length, so the cut leaves room for that.
    return json.dumps({"cut": clean_text(text[: MAX_PAYLOAD_CHARACTERS // 2 - 100])}, ensure_ascii=False)


def _cleaned_json(value: Any) -> str:
    # ASCII escapes would let \\u0000 and lone surrogates through, which jsonb refuses; so clean first, then write as it is.
    return json.dumps(_cleaned(value), ensure_ascii=False, default=str)


def _cleaned(value: Any) -> Any:
    match value:
        case str():
            return clean_text(value)
        case dict():
            return {clean_text(str(name)): _cleaned(part) for name, part in value.items()}
        case list() | tuple():
            return [_cleaned(part) for part in value]
        case float() if not math.isfinite(value):
            return str(value)
        case bytes():
            return value[:MAX_PAYLOAD_CHARACTERS].decode("utf-8", "replace").replace("\x00", "\ufffd")
        case _:
            return value
