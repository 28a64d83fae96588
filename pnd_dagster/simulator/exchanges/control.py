"""`POST /control` and `GET /control`: the server's faults, pumps and ledger for programs in other processes.

The body is a JSON object: `do`, and the arguments of what is to be done by their names, as in
`{"do": "drop", "exchange": "mexc", "base": "VIA", "frames": 2}`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from pnd_dagster.simulator.exchanges.pumps import PumpScript, row_for

if TYPE_CHECKING:
    from pnd_dagster.simulator.exchanges.server import SimulatedExchanges


def add_control_routes(app: web.Application, server: SimulatedExchanges) -> None:
    """Adds both routes to the server's application."""

    async def post(request: web.Request) -> web.Response:
        try:
            body = msgspec.json.decode(await request.read(), type=dict[str, Any])
            done = _actions(server)[body.pop("do")](**body)
        except (KeyError, TypeError, ValueError) as error:
            return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)
        return web.json_response({"done": done})

    async def get(request: web.Request) -> web.Response:
        connections: dict[str, int] = {}
        for connection in server.connections():
            connections[connection.exchange] = connections.get(connection.exchange, 0) + 1
        return web.json_response({"changes": server.changes, "sent": server.sent(), "connections": connections})

    app.router.add_post("/control", post)
    app.router.add_get("/control", get)


def schedule_pump(server: SimulatedExchanges, exchange: str, base: str, seconds: float) -> float:
    """Plays a pump whose coin is released so many seconds from now. Returns the release, Unix seconds.

    Raises:
        KeyError: the market is not listed.
        ValueError: the release is in the past.
    """
    release_at = time.time() + seconds
    server.world.schedule(PumpScript(exchange, base, release_at, row_for(exchange, base)))
    return release_at


def _actions(server: SimulatedExchanges) -> dict[str, Callable[..., object]]:
    faults, world = server.faults, server.world
    return {
        "drop": faults.drop,
        "duplicate": faults.duplicate,
        "reorder": faults.reorder,
        "corrupt": faults.corrupt,
        "rest": faults.rest,
        "refuse": faults.refuse,
        "mute_pong": faults.mute_pong,
        "skew_clock": faults.skew_clock,
        "kick": server.kick,
        "stall": server.stall,
        "pump": lambda exchange, base, seconds: schedule_pump(server, exchange, base, seconds),
        "delist": world.delist,
        "relist": lambda exchange, base: world.relist(exchange, base),
        "write_ledger": lambda folder: server.ledger.write(Path(folder)),
    }
