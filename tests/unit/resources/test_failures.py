"""Only what may pass by itself is retried."""

from __future__ import annotations

import dagster as dg
import pytest

from pnd_dagster.errors import SettingError, TransientError
from pnd_dagster.resources.failures import told_to_dagster


def test_a_transient_error_is_retried_after_the_time_the_other_side_asked_for() -> None:
    with pytest.raises(dg.RetryRequested) as retry, told_to_dagster():
        raise TransientError("429", retry_after_seconds=7)
    assert (retry.value.seconds_to_wait, retry.value.max_retries) == (7, 3)


def test_another_error_fails_at_once_in_its_own_words() -> None:
    with pytest.raises(dg.Failure) as failure, told_to_dagster():
        raise SettingError("PND_TGSTAT_TOKEN: refused")
    assert failure.value.description == "PND_TGSTAT_TOKEN: refused"
    assert failure.value.allow_retries is False


def test_a_mistake_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), told_to_dagster():
        1 / 0  # noqa: B018
