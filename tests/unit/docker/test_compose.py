"""The image and the composition of containers, checked without an engine."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from pnd_dagster.cli import app
from pnd_dagster.settings import EXCHANGES, Settings

TOP = Path(__file__).parents[3]
DOCKERFILE, COMPOSE = TOP / "docker" / "Dockerfile", TOP / "docker" / "compose.yaml"
PROGRAMS = Path(sys.executable).parent


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text())["services"]


def commands(services: dict[str, Any]) -> list[list[str]]:
    """What the containers of our image run, and what asks for their health."""
    ours = [service for service in services.values() if service["image"] == "pnd-dagster"]
    return [service["command"] for service in ours] + [service["healthcheck"]["test"][1:] for service in ours if "healthcheck" in service]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


def test_the_composition_fits_its_schema() -> None:
    found = run(PROGRAMS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)
    assert found.returncode == 0, found.stdout


def test_the_image_has_nothing_a_linter_minds() -> None:
    found = run(PROGRAMS / "hadolint", DOCKERFILE)
    assert (found.returncode, found.stdout) == (0, "")


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    kept = {line[1:] for line in DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [line.split()[1:-1] for line in DOCKERFILE.read_text().splitlines() if line.startswith("COPY ") and "--from" not in line]
    sources = {source for line in copied for source in line}
    assert sources == kept
    assert all((TOP / source).exists() for source in sources)


def test_images_have_a_version_and_ours_runs_without_rights(services: dict[str, Any]) -> None:
    base = re.findall(r"^ARG PYTHON=(.*)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert all(re.search(r":\d+\.\d+", image) for image in (*base, services["postgres"]["image"]))
    assert re.findall(r"^USER (\d+)", DOCKERFILE.read_text(), re.MULTILINE)[-1] != "0"
    ours = [service for service in services.values() if service["image"] == "pnd-dagster"]
    assert all(service["read_only"] and service["cap_drop"] == ["ALL"] for service in ours)


def test_nothing_is_reached_from_outside(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_each_command_is_one_that_we_have(services: dict[str, Any]) -> None:
    known = typer.main.get_command(app)
    for program, *arguments in commands(services):
        if program == "pnd" and arguments[0] == "exec":
            assert (PROGRAMS / arguments[1]).exists(), arguments
        elif program == "pnd":
            command, rest = known, list(arguments)
            while rest and hasattr(command, "commands"):
                command = command.commands[rest.pop(0)]
            # Parses the options as they stand there; nothing runs.
            command.make_context(shlex.join(arguments), rest, resilient_parsing=False)
        else:
            assert program in ("dagster", "python"), program


def test_every_exchange_is_collected_and_every_service_watched_over(services: dict[str, Any]) -> None:
    collected = [service["command"][-1] for service in services.values() if service.get("command", [])[:2] == ["pnd", "collect"]]
    assert sorted(collected) == sorted(EXCHANGES)
    for exchange in EXCHANGES:
        assert services[f"collect-{exchange}"]["healthcheck"]["test"][-1] == f"collect:{exchange}:1/1"
    assert [name for name, service in services.items() if "healthcheck" not in service] == ["migrate"]


def test_only_settings_that_exist_are_set(services: dict[str, Any]) -> None:
    names = {name for service in services.values() for name in service["environment"] if name.startswith("PND_")}
    names |= set(re.findall(r"(PND_\w+)=", DOCKERFILE.read_text()))
    assert names <= {f"PND_{name.upper()}" for name in Settings.model_fields}
    assert names
