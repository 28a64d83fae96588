"""Which coins go to which connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def place(coins: Sequence[Item], free: Sequence[int], capacity: int) -> tuple[list[list[Item]], list[list[Item]]]:
    """Shares coins among connections that have room, the emptiest first, and new ones, evenly.

    Args:
        coins: to be placed.
        free: room of each connection there is.
        capacity: room of a new one.

    Returns:
        Coins of each connection there is, and of each new one.
    """
    shares: list[list[Item]] = [[] for _ in free]
    left = list(coins)
    for index in sorted(range(len(free)), key=lambda index: -free[index]):
        if not left:
            break
        room = max(0, free[index])
        shares[index], left = left[:room], left[room:]
    count = -(-len(left) // capacity)
    return shares, [left[index::count] for index in range(count)]
