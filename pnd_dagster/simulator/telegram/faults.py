"""What shall go wrong with the next requests."""

from __future__ import annotations

from typing import Any

from pnd_dagster.simulator.telegram.connection import RefusedError

CODES = {
    "FLOOD_WAIT": 420,
    "AUTH_KEY": 401,
    "SESSION": 401,
    "USER_DEACTIVATED": 401,
    "RPC_CALL_FAIL": 500,
    "Timeout": -503,
}


class Fault:
    """An error for the next requests of a kind.

    Args:
        error: Telegram's name of it, such as CHANNEL_PRIVATE or FLOOD_WAIT_30.
        requests: how many are refused; None for all.
        channel_id: only requests of this channel.
        method: only requests of this name, such as messages.getHistory.
    """

    def __init__(self, error: str, *, requests: int | None = 1, channel_id: int | None = None, method: str | None = None) -> None:
        self.error, self.left, self._channel_id, self._method = error, requests, channel_id, method

    def strike(self, method: str, request: Any) -> None:
        """Refuses the request if it is meant.

        Raises:
            RefusedError: it is.
        """
        is_meant = self._channel_id in (None, channel_id_of(request)) and self._method in (None, method)
        if not is_meant or self.left == 0:
            return
        if self.left is not None:
            self.left -= 1
        raise RefusedError(next((code for name, code in CODES.items() if self.error.startswith(name)), 400), self.error)


def channel_id_of(request: Any) -> int | None:
    """The channel that a request asks for by its id, if it does."""
    for name in ("peer", "channel"):
        if (channel_id := getattr(getattr(request, name, None), "channel_id", None)) is not None:
            return channel_id
    return None
