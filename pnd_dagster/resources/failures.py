"""Our errors in Dagster's terms: the transient are retried, a bounded number of times; the rest fail with their own words."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

import dagster as dg

from pnd_dagster.errors import PndError, QuotaExhaustedError, SettingError, SourceError, TransientError

MAX_RETRIES = 3
WAIT_SECONDS = 30.0
Result = TypeVar("Result")


@contextmanager
def told_to_dagster() -> Generator[None]:
    """Turns a `TransientError` into a retry after the time the other side asked for, any other of our errors into a failure."""
    try:
        yield
    except TransientError as error:
        wait = error.retry_after_seconds if error.retry_after_seconds is not None else WAIT_SECONDS
        raise dg.RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=wait) from error
    except PndError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error


def unless_not_set_up(context: dg.AssetExecutionContext, collect: Callable[[], Result]) -> Result | None:
    """What `collect` returns; None, with the reason in the log, when a setting it needs is missing: the vendor is optional."""
    with told_to_dagster():
        try:
            return collect()
        except SettingError as error:
            context.log.warning(f"left out: {error}")
            return None


def unless_spent(context: dg.AssetExecutionContext, ask: Callable[[], Result]) -> Result | None:
    """What `ask` returns; None, with the reason in the log, when the language model could not be asked: what is left is asked next time."""
    try:
        return ask()
    except (SettingError, SourceError, TransientError, QuotaExhaustedError) as error:
        context.log.warning(f"the language model was not asked on: {error}")
        return None
