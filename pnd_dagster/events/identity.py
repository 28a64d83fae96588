"""Stable ids made of facts, so that building anything twice gives the same rows."""

from __future__ import annotations

from hashlib import blake2b


def stable_id(*parts: int | str) -> str:
    """A 16-character id of the parts given, the same on every machine and in every run."""
    return blake2b("\x1f".join(str(part) for part in parts).encode(), digest_size=8).hexdigest()
