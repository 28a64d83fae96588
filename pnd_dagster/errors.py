"""The exception tree. Only `TransientError` is retried; everything else stops with a message that says what to do."""

from __future__ import annotations


class PndError(Exception):
    """Base of all errors this package raises on purpose. Its text is one line a user can act on."""


class TransientError(PndError):
    """Something outside failed in a way that a later attempt may not: time-outs, 429, 5xx, a server starting up.

    Args:
        message: what failed.
        retry_after_seconds: how long the other side asked us to wait, if it said so.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class SettingError(PndError):
    """A setting is missing or wrong. Names the setting."""


class SourceError(PndError):
    """An input cannot be read at all. Names the file, and the column or row where there is one."""


class SchemaError(PndError):
    """A frame does not match its declared table. Names the columns."""


class DatabaseError(PndError):
    """Postgres cannot be started, reached or migrated."""


class QuotaExhaustedError(PndError):
    """A vendor's quota is used up; asking again before it is renewed cannot help."""


class LeaseLostError(PndError):
    """Somebody else holds the lease now: what was to be written under the old one is refused."""
