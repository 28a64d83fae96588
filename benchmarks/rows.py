"""The form of a benchmark's result."""

from __future__ import annotations

from typing import Any


def row(what: str, peer: str, n: int, rate: float, peer_rate: float) -> dict[str, Any]:
    """One measured job: its rate and its peer's, per second; a ratio above 1 means ours is faster."""
    return {
        "what": what,
        "peer": peer,
        "rows_per_second": round(rate),
        "peer_rows_per_second": round(peer_rate),
        "ratio": round(rate / peer_rate, 2),
        "n": n,
    }
