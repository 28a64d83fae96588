"""The six classes of messages (paper, section IV-B; the numbers are those of its prompt in appendix A-A1)."""

from __future__ import annotations

from enum import IntEnum


class MessageLabel(IntEnum):
    """What a message is in the course of a pump."""

    PUMP_ANNOUNCEMENT = 0
    COUNTDOWN = 1
    TARGET_COIN_RELEASE = 2
    PUMP_RESULTS = 3
    DELAY_CANCELLATION = 4
    NOISE = 5

    @property
    def display_name(self) -> str:
        """The name people read, as in the paper's Table II."""
        return _DISPLAY_NAMES[self]


_DISPLAY_NAMES = {
    MessageLabel.PUMP_ANNOUNCEMENT: "Pump Announcement",
    MessageLabel.COUNTDOWN: "Countdown",
    MessageLabel.TARGET_COIN_RELEASE: "Target Coin Release",
    MessageLabel.PUMP_RESULTS: "Pump Results",
    MessageLabel.DELAY_CANCELLATION: "Delay/Cancellation",
    MessageLabel.NOISE: "Noise",
}
LABEL_COUNT = len(MessageLabel)
