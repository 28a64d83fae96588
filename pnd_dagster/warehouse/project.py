"""The dbt project: its folder, its manifest, and the variables under which dbt finds the platform's database."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import sqlalchemy as sa

from pnd_dagster.settings import Settings
from pnd_dagster.storage import database_url

_PACKAGED, _CHECKOUT = Path(__file__).parent / "dbt", Path(__file__).parents[2] / "dbt"
PROJECT_DIR = _PACKAGED if (_PACKAGED / "dbt_project.yml").exists() else _CHECKOUT
MANIFEST = PROJECT_DIR / "target" / "manifest.json"
GRAPH = MANIFEST.with_name("graph.json")
"""The project as dbt parsed it, and what dagster-dbt makes of it: by `python -m pnd_dagster.resources.dbt_graph`, never on import."""

EXECUTABLE = Path(sys.executable).parent / "dbt"
_SOURCE_HASH = PROJECT_DIR / "target" / "manifest.sha256"
_WRITTEN_BY_DBT = ("target", "logs", "dbt_packages")


def environment(settings: Settings) -> dict[str, str]:
    """Variables that dbt/profiles.yml reads, with the password; for dbt's own process only.

    What else the address asks for, e.g. `sslmode=verify-full`, reaches dbt's driver as the variables that libpq has for it.

    Raises:
        SettingError: `PND_DATABASE_URL` is no Postgres address.
        DatabaseError: the embedded server does not start.
    """
    url = sa.make_url(database_url(settings))
    return {
        "PND_DBT_HOST": str(url.host or url.query.get("host") or "127.0.0.1"),
        "PND_DBT_PORT": str(url.port or 5432),
        "PND_DBT_USER": url.username or "",
        "DBT_ENV_SECRET_PND_PASSWORD": url.password or "",
        "PND_DBT_DATABASE": str(url.database),
        **{f"PG{name.replace('_', '').upper()}": str(value) for name, value in url.query.items() if name not in ("host", "port")},
        **offline(settings.home / "dbt"),
    }


def offline(output: Path) -> dict[str, str]:
    """Variables that keep dbt quiet and at home: no telemetry, its own files under `output`."""
    return {
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_PROFILES_DIR": str(PROJECT_DIR),
        "DBT_LOG_PATH": str(output / "logs"),
        "DBT_TARGET_PATH": str(output / "target"),
        "DBT_LOG_LEVEL_FILE": "info",
        "DO_NOT_TRACK": "1",
    }


def source_hash() -> str:
    """Hash of everything in the project that people write."""
    digest = hashlib.sha256()
    for file in sorted(PROJECT_DIR.rglob("*")):
        name = file.relative_to(PROJECT_DIR)
        if file.is_file() and name.parts[0] not in _WRITTEN_BY_DBT:
            digest.update(f"{name.as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def manifest_problem() -> str | None:
    """Why the manifest does not serve, in words; None if it does. The remedy is `python -m pnd_dagster.resources.dbt_graph`."""
    if missing := [str(path) for path in (MANIFEST, GRAPH) if not path.exists()]:
        return f"{missing[0]} is missing: the group `warehouse` is left out of the graph"
    if PROJECT_DIR == _CHECKOUT and (not _SOURCE_HASH.exists() or _SOURCE_HASH.read_text() != source_hash()):
        return "the manifest is older than the dbt project: the graph shows the marts as they were"
    return None
