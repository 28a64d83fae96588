"""The manifest that the graph is made of, parsed by dbt. Needs neither database nor network."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from pnd_dagster.errors import SourceError
from pnd_dagster.warehouse.project import EXECUTABLE, MANIFEST, PROJECT_DIR, manifest_problem, offline, source_hash


def prepare(*, force: bool = False) -> bool:
    """Parses the dbt project into its manifest, unless that is up to date. Several may do so at once: each replaces whole files.

    Returns:
        Whether it was parsed.

    Raises:
        SourceError: dbt is missing or refuses the project; quotes it.
    """
    if not force and manifest_problem() is None:
        return False
    hashed = source_hash()
    MANIFEST.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=MANIFEST.parent) as folder:
        output = Path(folder)
        command = [str(EXECUTABLE), "--no-use-colors", "parse", "--no-partial-parse", "--project-dir", str(PROJECT_DIR)]
        try:
            done = subprocess.run(command, env=os.environ | offline(output), capture_output=True, text=True, timeout=300, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SourceError(f"dbt: cannot run {EXECUTABLE}: {error}") from error
        if done.returncode:
            raise SourceError(f"dbt: {PROJECT_DIR} cannot be parsed: {' '.join(done.stdout.split())[-800:]}")
        marked = output / "manifest.sha256"
        marked.write_text(hashed)
        (output / "target" / "manifest.json").replace(MANIFEST)
        marked.replace(MANIFEST.with_suffix(".sha256"))
    return True
