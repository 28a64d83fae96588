"""Settings reach a child process as they are; wrong ones are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from pnd_dagster.errors import SettingError
from pnd_dagster.settings import environment, load_settings


def test_another_process_reads_the_same_settings_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archives = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    first = load_settings(home=tmp_path, archives=archives, exchanges=["xt", "kucoin"], lunarcrush_key="secret", market_cap_max_usd=1e6)
    for name, value in environment(first).items():
        monkeypatch.setenv(name, value)
    again = load_settings()
    assert again == first
    assert again.lunarcrush_key
    assert again.lunarcrush_key.get_secret_value() == "secret"


def test_settings_left_at_their_default_are_not_passed_on(tmp_path: Path) -> None:
    assert set(environment(load_settings(home=tmp_path))) == {"PND_HOME"}


def test_an_exchange_that_is_no_id_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PND_EXCHANGES", "kucoin, XT.com")
    with pytest.raises(SettingError, match=r"PND_EXCHANGES: .*XT\.com"):
        load_settings()
