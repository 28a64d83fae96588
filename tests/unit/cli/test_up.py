"""What `pnd up` runs, and what it says of what it does not run."""

from __future__ import annotations

import fcntl
import socket

import pytest

from pnd_dagster.cli.up import base_services, only_one, services_of
from pnd_dagster.errors import SettingError
from pnd_dagster.settings import Settings


@pytest.fixture
def configured(settings: Settings) -> Settings:
    """Settings with ports that are free."""
    with socket.socket() as probe, socket.socket() as other:
        for one in (probe, other):
            one.bind(("127.0.0.1", 0))
        return settings.model_copy(update={"ui_port": probe.getsockname()[1], "dashboard_port": other.getsockname()[1]})


def test_all_services_run_and_the_listener_where_there_is_a_session(configured: Settings) -> None:
    services, left_out = services_of(configured)
    assert [service.name for service in services] == ["dagster", "collect", "deliver", "detect", "dashboard"]
    assert len(left_out) == 1
    assert "pnd login" in left_out[0]
    configured.telegram_session_file.touch()
    services, left_out = services_of(configured.model_copy(update={"telegram_api_id": 1}))
    assert "listen" in [service.name for service in services]
    assert not left_out


def test_the_embedded_server_is_the_base_and_a_server_of_ones_own_is_left_alone(configured: Settings) -> None:
    assert not any(service.is_base for service in services_of(configured)[0])
    own = configured.model_copy(update={"database_url": None})
    assert [service.name for service in base_services(own)] == ["postgres"]
    assert base_services(configured) == []


def test_without_exchanges_nothing_is_collected(configured: Settings) -> None:
    services, left_out = services_of(configured.model_copy(update={"exchanges": []}))
    assert [service.name for service in services] == ["dagster", "deliver", "dashboard"]
    assert any("PND_EXCHANGES" in reason for reason in left_out)


@pytest.mark.parametrize("setting", ["ui_port", "dashboard_port"])
def test_a_port_that_is_taken_is_said_before_anything_starts(configured: Settings, setting: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", getattr(configured, setting)))
        other.listen()
        with pytest.raises(SettingError, match=f"PND_{setting.upper()}"):
            services_of(configured)


def test_an_installation_has_one_supervisor(configured: Settings) -> None:
    with only_one(configured), pytest.raises(SettingError, match="another `pnd up`"), only_one(configured):
        pass
    with only_one(configured), (configured.home / "up.lock").open() as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with only_one(configured):
        pass
