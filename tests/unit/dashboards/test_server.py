from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
import yaml
from flask import Flask
from flask.testing import FlaskClient

from dashboards.app import build_app
from dashboards.marts import Marts
from dashboards.server import serve
from pnd_dagster.errors import SettingError


@pytest.fixture(scope="module")
def client(new_marts: dict[str, Marts]) -> FlaskClient:
    return build_app(new_marts["full"], ["127.0.0.1", "localhost"]).test_client()


def test_the_page_loads_nothing_from_elsewhere_and_browsers_are_told_to_refuse_it(client: FlaskClient) -> None:
    answer = client.get("/", base_url="http://127.0.0.1")
    assert answer.status_code == 200
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    sources = re.findall(r'(?:src|href)="([^"]+)"', answer.get_data(as_text=True))
    assert sources
    assert all(source.startswith("/") for source in sources)


def test_another_sites_name_that_points_here_gets_nothing(client: FlaskClient) -> None:
    assert client.get("/", base_url="http://attacker.example").status_code == 400


def test_a_health_check_needs_no_database(client: FlaskClient) -> None:
    assert client.get("/health", base_url="http://localhost").status_code == 200


def test_our_scripts_are_served_from_here(client: FlaskClient) -> None:
    page = client.get("/", base_url="http://127.0.0.1").get_data(as_text=True)
    for script in ("clock.js", "dashAgGridFunctions.js", "style.css"):
        assert f"assets/{script}" in page


def test_no_page_lets_a_component_render_markup_or_foreign_code() -> None:
    code = "".join(file.read_text() for file in (Path(__file__).parents[3] / "dashboards").rglob("*.*") if file.suffix in (".py", ".js"))
    for danger in ("dangerously", "innerHTML", "Markdown(", "vm.Card", "markdown"):
        assert danger not in code


def test_every_page_reads_the_marts_that_its_exposure_names_and_no_others() -> None:
    root = Path(__file__).parents[3]
    exposures = yaml.safe_load((root / "dbt/models/marts/exposures.yml").read_text())["exposures"]
    named = {exposure["name"]: set(re.findall(r"'(\w+)'", " ".join(exposure["depends_on"]))) for exposure in exposures}
    read: dict[str, set[str]] = {}
    for file in (root / "dashboards/pages").glob("[!_]*.py"):
        # A single event's page is a part of the events.
        page = "events" if file.stem == "event" else file.stem
        read[page] = read.get(page, set()) | set(re.findall(r"mart\.(\w+)", file.read_text()))
    assert read == named


def test_the_first_page_is_found_under_its_name(client: FlaskClient) -> None:
    answer = client.get("/radar", base_url="http://127.0.0.1")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")


def test_a_port_that_is_taken_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SettingError, match="--port: cannot serve on"):
        serve(Flask("nothing"), "127.0.0.1", taken.getsockname()[1], lambda _: None)
