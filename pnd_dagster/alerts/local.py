"""Alerts on this machine: a file of JSON lines, and the log."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pnd_dagster.errors import TransientError
from pnd_dagster.settings import Settings

log = logging.getLogger("pnd_dagster.alerts")


def alert_file(settings: Settings) -> Path:
    """Where alerts are appended."""
    return settings.alert_file or settings.home / "alerts.jsonl"


def file_sender(settings: Settings) -> Callable[[Mapping[str, Any]], str | None]:
    """What appends the body of an alert to the file, a JSON object a line, on disk before it returns. Several processes may do so at once.

    It raises TransientError while the file cannot be written to.
    """
    path = alert_file(settings)

    def send(body: Mapping[str, Any]) -> None:
        line = json.dumps(body, default=str).encode() + b"\n"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a+b", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                before = file.seek(0, os.SEEK_END)
                # Whoever was killed while writing left half a line: ours begins on a new one.
                start = b"\n" if before and not _ends_line(file.fileno(), before) else b""
                try:
                    if file.write(start + line) != len(start + line):
                        raise OSError("it was written in part")
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(before)
                    raise
        except OSError as error:
            raise TransientError(f"{path}: cannot be written: {error.strerror or error}") from None

    return send


def log_sender(body: Mapping[str, Any]) -> None:
    """Writes an alert to the log, as one line."""
    log.warning("%s | %s | %s", body["title"], " ".join(body.get("lines", ())), body["disclaimer"])


def _ends_line(descriptor: int, size: int) -> bool:
    return os.pread(descriptor, 1, size - 1) == b"\n"
