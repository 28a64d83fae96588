"""Vendors' objects to rows, field by field: what is absent becomes NULL, never 0; what cannot be is refused; what changed is noticed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from pnd_dagster.errors import SourceError
from pnd_dagster.storage.dead_letters import Refusal, clean_text, json_text

MAX_USD = 1e15
"""More than all money there is: a price, value or capitalisation above it is an error of the source."""
MAX_COUNT = 2**62
MAX_TEXT_CHARACTERS = 500

# identity: a row without it is refused.
# essential: may be null, but a value that cannot be refuses its row.
# Either, when no row of an answer has it, is a change of the vendor's format and stops the run.
# optional: NULL and counted, whatever is wrong with it.
# undocumented: the vendor's documentation does not promise it; read where it occurs.
Rule = Literal["identity", "essential", "optional", "undocumented"]


class Field(NamedTuple):
    """A column and where its value stands in the vendor's object.

    Attributes:
        column: name of the column.
        path: keys from the object inwards.
        read: the value as the column holds it; ValueError says why it cannot be.
        rule: what becomes of a row in which it is missing or cannot be read.
    """

    column: str
    path: tuple[str, ...]
    read: Callable[[Any], Any]
    rule: Rule = "optional"


class Rows(NamedTuple):
    """What was read.

    Attributes:
        rows: one per object that could be read: the fields' columns and `payload`, the whole object as JSON text.
        refusals: the others.
        unread: column -> rows in which its value was missing or could not be read and became NULL.
    """

    rows: list[dict[str, Any]]
    refusals: list[Refusal]
    unread: Counter[str]


def read_rows(what: str, items: Sequence[Any], fields: Sequence[Field], *, view: Callable[[Any], Any] = lambda item: item) -> Rows:
    """Reads `items` by `fields`.

    Args:
        what: vendor and method, for messages.
        items: the vendor's objects.
        fields: the first one identifies the row in messages.
        view: an object in the shape that the paths describe, where versions of the API differ.

    Raises:
        SourceError: no row has a field that all need, or none could be read at all; names the field.
    """
    rows: list[dict[str, Any]] = []
    refusals: list[Refusal] = []
    unread: Counter[str] = Counter()
    absent: Counter[str] = Counter()
    for item in items:
        seen = view(item)
        row: dict[str, Any] = {}
        try:
            if not isinstance(seen, dict):
                raise ValueError("is no object")
            for field in fields:
                row[field.column] = _value(seen, field, absent, unread)
        except ValueError as error:
            location = f"{what} {clean_text(str(seen.get(fields[0].path[0])))[:100]}" if isinstance(seen, dict) else what
            refusals.append(Refusal(location, str(error), item))
            continue
        rows.append({**row, "payload": json_text(item)})
    for field in fields:
        if items and absent[field.column] == len(items) and field.rule in ("identity", "essential"):
            raise SourceError(f"{what}: no row has the field {'.'.join(field.path)}; has the API changed?")
    if items and not rows:
        raise SourceError(f"{what}: none of {len(items)} rows can be read ({refusals[0].reason}); has the API changed?")
    return Rows(rows, refusals, unread)


def _value(item: dict[str, Any], field: Field, absent: Counter[str], unread: Counter[str]) -> Any:
    """The field's value, None where there is none.

    Raises:
        ValueError: the row must be refused.
    """
    name = ".".join(field.path)
    value: Any = item
    for key in field.path:
        if value is None:
            break  # an object that may be null, such as the platform of a coin
        if not isinstance(value, dict) or key not in value:
            absent[field.column] += 1
            if field.rule == "identity":
                raise ValueError(f"{name} is missing")
            if field.rule != "undocumented":
                unread[field.column] += 1
            return None
        value = value[key]
    try:
        found = None if value is None else field.read(value)
    except ValueError as error:
        if field.rule in ("identity", "essential"):
            raise ValueError(f"{name} {error}") from None
        unread[field.column] += 1
        return None
    if found is None and field.rule == "identity":
        raise ValueError(f"{name} is empty")
    return found


def number(low: float = 0.0, high: float = MAX_USD) -> Callable[[Any], float]:
    """Reads a finite number from `low` to `high`, also when it stands as text."""

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ValueError(f"is no number but {type(value).__name__}")
        try:
            found = float(value)
        except (ValueError, OverflowError):
            raise ValueError("is no number") from None
        if not math.isfinite(found):
            raise ValueError(f"is {found}")
        if not low <= found <= high:
            raise ValueError(f"is {found:g}, outside {low:g} to {high:g}")
        return found

    return read


def count(high: int = MAX_COUNT) -> Callable[[Any], int]:
    """Reads a whole number from 0 to `high`; what vendors estimate with decimals is rounded."""
    read_number = number(0, high)

    def read(value: Any) -> int:
        found = read_number(value)
        return value if isinstance(value, int) else round(found)

    return read


def identifier(value: Any) -> int:
    """Reads a positive whole number that identifies something."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:20])
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < MAX_COUNT:
        raise ValueError(f"is no id: {str(value)[:50]}")
    return value


def text(value: Any) -> str | None:
    """Reads a line of text; None when nothing is in it."""
    if not isinstance(value, str):
        raise ValueError(f"is no text but {type(value).__name__}")
    return " ".join(clean_text(value).split())[:MAX_TEXT_CHARACTERS] or None


def lower_text(value: Any) -> str | None:
    """Reads a line of text in lower case."""
    found = text(value)
    return found.lower() if found else None


def timestamp(value: Any) -> datetime:
    """Reads a time in ISO 8601; UTC where it names no zone."""
    try:
        found = datetime.fromisoformat(value)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"is no time: {str(value)[:50]}") from None


def objects(what: str, body: Any, key: str | None = None) -> list[Any]:
    """The list of objects of an answer, under `key` or the answer itself.

    Raises:
        SourceError: there is none.
    """
    found = body.get(key) if key and isinstance(body, dict) else body
    if not isinstance(found, list):
        where = f"the answer has no list {key}" if key else "the answer is no list"
        raise SourceError(f"{what}: {where}; has the API changed?")
    return found


def merged(parts: Iterable[Counter[str]]) -> Counter[str]:
    """The sum of counts."""
    return sum(parts, Counter[str]())
