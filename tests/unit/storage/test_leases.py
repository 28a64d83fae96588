"""Leases: one holder at a time, fenced by an epoch that only grows."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from pnd_dagster.errors import LeaseLostError
from pnd_dagster.storage import leases
from pnd_dagster.tables import LEASES

NAME = "collect:kucoin:1/1"


def test_a_lease_has_one_holder_until_it_expires(engine: sa.Engine) -> None:
    first = leases.acquire(engine, NAME, "a", 0.2)
    assert first == leases.Lease(NAME, "a", 1)
    assert leases.acquire(engine, NAME, "b", 10) is None
    time.sleep(0.25)
    assert leases.acquire(engine, NAME, "b", 10) == leases.Lease(NAME, "b", 2)


def test_other_names_are_other_leases(engine: sa.Engine) -> None:
    assert leases.acquire(engine, NAME, "a", 10)
    assert leases.acquire(engine, "collect:kucoin:1/2", "b", 10)


def test_a_renewed_lease_outlives_its_first_term(engine: sa.Engine) -> None:
    lease = leases.acquire(engine, NAME, "a", 0.2)
    assert lease
    leases.renew(engine, lease, 10)
    time.sleep(0.25)
    assert leases.acquire(engine, NAME, "b", 10) is None


def test_an_expired_lease_that_nobody_took_can_be_renewed(engine: sa.Engine) -> None:
    lease = leases.acquire(engine, NAME, "a", 0)
    assert lease
    leases.renew(engine, lease, 10)
    assert leases.acquire(engine, NAME, "b", 10) is None


def test_the_same_holder_takes_its_lease_again_under_a_higher_epoch(engine: sa.Engine) -> None:
    before = leases.acquire(engine, NAME, "a", 10)
    after = leases.acquire(engine, NAME, "a", 10)
    assert before
    assert after
    assert after.epoch == before.epoch + 1
    with pytest.raises(LeaseLostError):
        leases.renew(engine, before, 10)


def test_a_released_lease_is_free_at_once_and_its_epoch_still_grows(engine: sa.Engine) -> None:
    lease = leases.acquire(engine, NAME, "a", 10)
    assert lease
    assert leases.release(engine, lease)
    taken = leases.acquire(engine, NAME, "b", 10)
    assert taken == leases.Lease(NAME, "b", 2)
    assert not leases.release(engine, lease)
    assert leases.acquire(engine, NAME, "c", 10) is None


def test_a_stale_holder_can_neither_renew_nor_write(engine: sa.Engine) -> None:
    stale = leases.acquire(engine, NAME, "a", 0)
    current = leases.acquire(engine, NAME, "b", 10)
    assert stale
    assert current
    with pytest.raises(LeaseLostError, match="epoch 1"):
        leases.renew(engine, stale, 10)
    with engine.begin() as connection, pytest.raises(LeaseLostError):
        leases.check(connection, stale)
    with engine.begin() as connection:
        leases.check(connection, current)


def test_nobody_takes_a_lease_while_its_holder_writes(engine: sa.Engine) -> None:
    lease = leases.acquire(engine, NAME, "a", 0)
    assert lease
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as connection:
            leases.check(connection, lease)
            taking = pool.submit(leases.acquire, engine, NAME, "b", 10)
            time.sleep(0.2)
            assert not taking.done()
        assert taking.result(5) == leases.Lease(NAME, "b", 2)


def test_of_many_who_want_it_at_once_one_gets_it(engine: sa.Engine) -> None:
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda holder: leases.acquire(engine, NAME, holder, 10), "abcdefgh"))
    assert sum(lease is not None for lease in taken) == 1


def test_the_database_keeps_the_time(engine: sa.Engine) -> None:
    assert leases.acquire(engine, NAME, "a", 10)
    with engine.connect() as connection:
        left = connection.execute(sa.select(sa.extract("epoch", LEASES.c.expires_at - sa.func.clock_timestamp()))).scalar_one()
    assert 8 < left <= 10
