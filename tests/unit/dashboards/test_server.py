from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
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


def test_a_port_that_is_taken_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SettingError, match="--port: cannot serve on"):
        serve(Flask("nothing"), "127.0.0.1", taken.getsockname()[1], lambda _: None)
