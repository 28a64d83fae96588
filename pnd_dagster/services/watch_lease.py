"""The lease of a watch, renewed beside its work."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress

import sqlalchemy as sa

from pnd_dagster.errors import DatabaseError, LeaseLostError
from pnd_dagster.storage.leases import Lease, acquire, release, renew

# A watch that has not come round for so long hangs: its lease runs out, so that another may begin.
LONGEST_ROUND_SECONDS = 60.0
log = logging.getLogger(__name__)


class HeldLease:
    """A lease that is held as long as its holder comes round now and then."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self._lost: LeaseLostError | None = None
        self._came_round_at = time.monotonic()

    def come_round(self) -> None:
        """Says that the holder is at work.

        Raises:
            LeaseLostError: somebody else holds the lease now.
        """
        if self._lost is not None:
            raise self._lost
        self._came_round_at = time.monotonic()

    def keep(self, engine: sa.Engine, seconds: float, done: threading.Event) -> None:
        """Renews until `done`; what the database refuses while it restarts is tried again."""
        while not done.wait(seconds / 3):
            if time.monotonic() - self._came_round_at > LONGEST_ROUND_SECONDS:
                log.error("%s: no sign of life for %.0f s; its lease is not renewed", self.lease.name, LONGEST_ROUND_SECONDS)
                continue
            try:
                renew(engine, self.lease, seconds)
            except LeaseLostError as error:
                self._lost = error
                return
            except DatabaseError as error:
                log.warning("%s: not renewed: %s", self.lease.name, error)


@contextmanager
def held_lease(engine: sa.Engine, name: str, seconds: float) -> Generator[HeldLease | None]:
    """A lease while the context lasts, renewed by a thread thrice as often as needed; None where somebody else holds it.

    Raises:
        DatabaseError: Postgres cannot be reached.
    """
    lease = acquire(engine, name, f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}", seconds)
    if lease is None:
        yield None
        return
    held, done = HeldLease(lease), threading.Event()
    keeper = threading.Thread(target=held.keep, args=(engine, seconds, done), name=name, daemon=True)
    keeper.start()
    try:
        yield held
    finally:
        done.set()
        keeper.join()
        with suppress(DatabaseError):
            release(engine, lease)
