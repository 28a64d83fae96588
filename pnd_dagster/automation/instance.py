"""Dagster's instance of this installation: its folder, its database, and how to serve it."""

from __future__ import annotations

import shutil
import socket
import sys
from pathlib import Path

from pnd_dagster.errors import SettingError
from pnd_dagster.settings import Settings, environment, project_folder
from pnd_dagster.storage import connect, dagster_url


def prepare(settings: Settings) -> dict[str, str]:
    """Makes the databases and `DAGSTER_HOME`; returns the variables Dagster's processes need.

    Raises:
        PndError: the database cannot be used; says why.
    """
    connect(settings)
    folder = settings.home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(__file__).parent / "dagster.yaml", folder / "dagster.yaml")
    return environment(settings) | {
        "DAGSTER_HOME": str(folder),
        "PND_DAGSTER_URL": dagster_url(settings),
        "PND_HOME": str(settings.home),
        # A run over 3,000 days logs 3,000 events an asset; one transaction each takes minutes.
        "DAGSTER_EVENT_BATCH_SIZE": "500",
        # `dagster dev` recommends a successor at every start; that is our concern, not the user's.
        "PYTHONWARNINGS": "ignore::FutureWarning",
        "DAGSTER_DISABLE_TELEMETRY": "true",
        "GX_ANALYTICS_ENABLED": "false",
    }


def serve_command(settings: Settings) -> list[str]:
    """The command that serves UI, daemon and code location on 127.0.0.1.

    Raises:
        SettingError: the port is taken.
    """
    refuse_taken_port("PND_UI_PORT", settings.ui_port)
    project = project_folder()
    location = ["--workspace", str(project / "workspace.yaml")] if project else ["--module-name", "pnd_dagster.definitions"]
    dagster = str(Path(sys.executable).with_name("dagster"))
    return [dagster, "dev", "--host", "127.0.0.1", "--port", str(settings.ui_port), "--log-level", "warning", *location]


def refuse_taken_port(setting: str, port: int) -> None:
    """Says so before anything starts.

    Raises:
        SettingError: another program listens there.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise SettingError(f"{setting}: port {port} is in use by another program; choose another") from None
