"""`POST /control/telegram/ACTION`, `GET /control/telegram` and `GET /control/telegram/ledger`: the server for programs in other processes.

The body of an action is a JSON object of its arguments by their names; a picture is base64, a date ISO 8601 with its zone.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from pnd_dagster.simulator.telegram.channels import ChannelInfo
from pnd_dagster.simulator.telegram.server import SimulatedTelegram
from pnd_dagster.simulator.telegram.sessions import make_sessions


def add_telegram_routes(app: web.Application, telegram: SimulatedTelegram) -> None:
    """Adds the routes to an application that runs in the server's event loop."""
    actions = _actions(telegram)

    async def act(request: web.Request) -> web.Response:
        try:
            body = msgspec.json.decode(await request.read() or b"{}", type=dict[str, Any])
            done = actions[request.match_info["action"]](**body)
        except (KeyError, TypeError, ValueError, OSError) as error:
            return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)
        return web.json_response({"done": done})

    async def status(_: web.Request) -> web.Response:
        told = {
            "port": telegram.port,
            "channels": {channel_id: channel.pts for channel_id, channel in telegram.channels.items()},
            "connections": telegram.connections(),
            "requests": telegram.requests,
            "unknown": telegram.unknown,
            "changes": len(telegram.ledger.entries),
        }
        return web.json_response(told)

    async def ledger(_: web.Request) -> web.Response:
        return web.json_response([entry._asdict() for entry in telegram.ledger.entries])

    app.router.add_get("/control/telegram", status)
    app.router.add_get("/control/telegram/ledger", ledger)
    app.router.add_post("/control/telegram/{action}", act)


def _actions(telegram: SimulatedTelegram) -> dict[str, Callable[..., object]]:
    def post(channel_id: int, text: str, image: str | None = None, at: str | None = None, reply_to: int | None = None) -> int:
        picture = None if image is None else base64.b64decode(image, validate=True)
        return telegram.post(channel_id, text, image=picture, at=None if at is None else datetime.fromisoformat(at), reply_to=reply_to)

    def sessions(path: str) -> None:
        make_sessions(Path(path), telegram.port, seen=[channel.info for channel in telegram.channels.values()])

    return {
        "post": post,
        "edit": telegram.edit,
        "delete": lambda channel_id, message_ids: telegram.delete(channel_id, *message_ids),
        "add_channel": lambda **info: telegram.add_channel(ChannelInfo(**info)),
        "make_sessions": sessions,
        "drop_connections": telegram.drop_connections,
        "close_door": telegram.close_door,
        "go_silent": telegram.go_silent,
        "lose_updates": telegram.lose_updates,
        "flood": telegram.flood,
        "fail": telegram.fail,
        "revoke": telegram.revoke,
        "heal": telegram.heal,
    }
