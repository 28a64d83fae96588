"""Composes the pages into one application."""

# Vizro declares its defaults where pyright does not look for them.
# pyright: reportCallIssue=false

from __future__ import annotations

from pathlib import Path

import vizro.models as vm
from dash import html
from dash.development.base_component import Component
from flask import Flask, redirect
from vizro import Vizro

from dashboards.marts import Marts
from dashboards.pages import BOARDS
from dashboards.server import harden
from dashboards.text import data


class _Dashboard(vm.Dashboard):
    """The frame, with both clocks in its head: what a page calls local is the zone named here."""

    def custom_header(self) -> Component:
        utc = html.Div(["UTC ", html.B(**data("clock", "utc"))])
        local = html.Div([html.Span(**data("clock", "zone")), " (local) ", html.B(**data("clock", "local"))])
        return html.Div([utc, local], className="pnd-clock")


def build_app(marts: Marts, hosts: list[str]) -> Flask:
    """The web application.

    Args:
        marts: what the pages read.
        hosts: names under which it is asked for.
    """
    Vizro._reset()  # pyright: ignore[reportPrivateUsage] - a process may build it more than once
    vizro = Vizro(
        assets_folder=str(Path(__file__).parent / "assets"),
        serve_locally=True,
        compress=False,
        update_title="",
        health_endpoint="health",
        enable_mcp=False,
    )
    boards = [make() for make in BOARDS]
    dashboard = _Dashboard(
        title="Pump and dump monitor",
        pages=[board.page() for board in boards],
        navigation=vm.Navigation(nav_selector=vm.NavBar(position="top")),
        theme="vizro_dark",
    )
    vizro.build(dashboard)
    for board in boards:
        board.connect(vizro.dash, marts)
    server: Flask = vizro.dash.server
    # Vizro serves its first page under `/` only.
    server.add_url_rule(f"/{boards[0].name}", boards[0].name, lambda: redirect("/"))
    harden(server, hosts)
    return server
