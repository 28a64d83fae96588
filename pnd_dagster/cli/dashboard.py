"""`pnd dashboard`: the warehouse in a browser."""

from __future__ import annotations

from typing import Annotated

import typer

from pnd_dagster.cli.console import say
from pnd_dagster.errors import DatabaseError
from pnd_dagster.settings import settings
from pnd_dagster.storage import connect
from pnd_dagster.storage.roles import bi_url, ensure_bi_role


def dashboard(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0 takes any free one. Default: PND_DASHBOARD_PORT.")] = None,
    host: Annotated[str, typer.Option(help="Address to bind; anything but loopback shows the dashboards to the network.")] = "127.0.0.1",
) -> None:
    """Serve the dashboards on 127.0.0.1 until Ctrl-C. They read schema `mart` with the role pnd_bi, which can do nothing else."""
    from dashboards.app import build_app
    from dashboards.marts import Marts
    from dashboards.server import serve

    try:
        ensure_bi_role(connect(settings()), settings())
    except DatabaseError as error:
        say(f"[yellow]{error}[/]; the pages say so too until it answers")
    app = build_app(Marts(bi_url(settings())), ["127.0.0.1", "localhost", "[::1]", host])
    wanted = settings().dashboard_port if port is None else port
    serve(app, host, wanted, lambda bound: say(f"Dashboards: http://{host}:{bound} (Ctrl-C ends them)"))
