"""Foreign text in charts, numbers and times in words."""

from __future__ import annotations

import html
from datetime import UTC, datetime
from typing import Any

from dash import html as tags


def plain(text: str | None, length: int = 32) -> str:
    """Text as a label of a chart, cut to `length`: Plotly reads tags and entities in labels, so both are escaped."""
    return html.escape(label(text, length), quote=False)


def label(text: str | None, length: int = 48) -> str:
    """Text in one line, cut to `length`, without control characters, also those that turn the writing direction."""
    clean = "".join(letter if letter.isprintable() else " " for letter in text or "–")
    return clean if len(clean) <= length else f"{clean[: length - 1]}…"


def counted(count: int, word: str) -> str:
    """A number with its noun, e.g. `1 tick`, `12 ticks`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def iso(at: datetime) -> str:
    """A time as the browser reads it, e.g. 2026-01-31T17:00:00Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def data(name: str, value: str) -> dict[str, Any]:
    """The attribute `data-NAME` of a tag, which the browser's clock reads."""
    return {f"data-{name}": value}


def moment(at: datetime | None) -> tags.Span:
    """A time in UTC and, behind it, in the browser's zone."""
    if at is None:
        return tags.Span("–")
    local = tags.Span(className="pnd-local", **data("local", iso(at)))
    utc = tags.Span(f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC")
    return tags.Span([utc, " · ", tags.Span([local, " local"])], className="pnd-moment")
