"""What sends alerts, by channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pnd_dagster.alerts.alert import Channel, channels
from pnd_dagster.alerts.local import file_sender, log_sender
from pnd_dagster.alerts.mail import mail_sender
from pnd_dagster.alerts.webhook import webhook_sender
from pnd_dagster.settings import Settings

Sender = Callable[[Mapping[str, Any]], str | None]
"""Sends the body of an alert and returns what else there is to say; raises TransientError, or another PndError if it is final."""

_MAKERS: dict[Channel, Callable[[Settings], Sender]] = {
    "webhook": webhook_sender,
    "file": file_sender,
    "log": lambda settings: log_sender,
    "e-mail": mail_sender,
}


def senders(settings: Settings) -> dict[Channel, Sender]:
    """A sender for each channel that is on.

    Raises:
        SettingError: a channel is set up wrongly; names the setting.
    """
    return {channel: _MAKERS[channel](settings) for channel in channels(settings)}


def sender_of(settings: Settings, channel: Channel) -> Sender:
    """The sender of one channel.

    Raises:
        SettingError: it is set up wrongly; names the setting.
    """
    return _MAKERS[channel](settings)
