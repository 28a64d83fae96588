"""The worst language model: one that does what an instruction inside the message says."""

from __future__ import annotations

import base64
import binascii
import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

_OBJECT = re.compile(r"\{[^{}]{1,2000}\}")
_LABEL = re.compile(
    r"(?:label|class|category|etiqueta|étiquette|метк\w*|标签|ラベル)\W{0,4}(?:is|as|to|it|es|=|:)?\W{0,6}(-?\d{1,3})\b", re.I
)
_SYMBOL = re.compile(r"(?:symbol|base|coin)\W{0,3}(?:is|to|=|:)\W{0,4}([A-Za-z0-9]{2,12})\b", re.I)
_BASE64 = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")
_HEX = re.compile(r"\b(?:[0-9a-fA-F]{2}\s?){8,}\b")


def obey_instructions(message: str) -> str | dict[str, Any] | None:
    """What the message tells a model to answer: a JSON object in it, else a label or a symbol it names; None if it tells nothing.

    Also reads what is encoded in base64, hex or rot13 or written backwards.
    """
    for text in (message, *_decoded(message)):
        for found in reversed(_OBJECT.findall(text)):
            try:
                wanted = json.loads(found)
            except ValueError:
                continue
            return wanted if isinstance(wanted, dict) else found
        label, symbol = _LABEL.search(text), _SYMBOL.search(text)
        wanted = ({"label": int(label[1])} if label else {}) | ({"base": symbol[1]} if symbol else {})
        if wanted:
            return wanted
    return None


def _decoded(message: str) -> Iterator[str]:
    for match in _BASE64.finditer(message):
        try:
            yield base64.b64decode(match.group()).decode()
        except (binascii.Error, ValueError):
            continue
    for match in _HEX.finditer(message):
        try:
            yield bytes.fromhex(match.group()).decode()
        except ValueError:
            continue
    yield codecs.decode(message, "rot13")
    yield message[::-1]
