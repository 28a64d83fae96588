"""The dashboard's web server: one process, a thread per request, quiet, ends cleanly."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType

from flask import Flask, Response
from werkzeug.serving import WSGIRequestHandler, make_server

from pnd_dagster.errors import SettingError

# Whatever text came into a page, the browser may load nothing from elsewhere and tell nothing to anybody else.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; form-action 'none'; base-uri 'self'"
)


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Requests that were answered are not logged."""


def harden(server: Flask, hosts: list[str]) -> None:
    """Answers only requests for `hosts`, so that no other site's name can be pointed here, and sends what browsers shall refuse."""
    server.config["TRUSTED_HOSTS"] = hosts

    @server.after_request
    def _headers(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response


def serve(app: Flask, host: str, port: int, on_ready: Callable[[int], None]) -> None:
    """Serves until SIGINT or SIGTERM.

    Args:
        app: the application.
        host: address to bind.
        port: port to bind; 0 takes any free one.
        on_ready: is called with the port once requests are accepted.

    Raises:
        SettingError: the port is taken.
    """
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        raise SettingError(f"--port: cannot serve on {host}:{port}: {error.strerror}") from error
    # By itself the server would print several lines and exit where it cannot bind.
    server = make_server(host, port, app, threaded=True, request_handler=_Quiet, fd=listener.fileno())

    def _stop(_number: int, _frame: FrameType | None) -> None:
        # The loop cannot be stopped from its own thread.
        threading.Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    on_ready(int(listener.getsockname()[1]))
    try:
        server.serve_forever()
    finally:
        server.server_close()
