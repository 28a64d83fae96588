"""`pnd` as its users call it, but in this process: to start one for every command took longer than all that they do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pnd_dagster.cli import main
from pnd_dagster.settings import Settings
from pnd_dagster.settings import settings as settings_of_this_process


@pytest.fixture
def pnd(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`pnd("channels", "list", settings=..., PND_UI_PORT="80")`: exit code and what was printed; no other of our variables is set."""

    def run(*arguments: str | Path, settings: Settings | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        if settings is not None:
            assert settings.database_url
            variables |= {"PND_DATABASE_URL": settings.database_url.get_secret_value(), "PND_HOME": str(settings.home)}
        command = ["pnd", *map(str, arguments)]
        with monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("PND_")]:
                patch.delenv(name)
            for name, value in variables.items():
                patch.setenv(name, value)
            patch.chdir("/")
            patch.setattr(sys, "argv", command)
            settings_of_this_process.cache_clear()
            capsys.readouterr()
            try:
                main()
                code = 0
            except SystemExit as ended:
                code = int(ended.code or 0)
            finally:
                settings_of_this_process.cache_clear()
        return subprocess.CompletedProcess(command, code, *capsys.readouterr())

    return run
