"""The simulated Telegram in a process of its own, for callers that have no event loop or measure their own time."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web

from pnd_dagster.simulator.telegram.channels import ChannelInfo
from pnd_dagster.simulator.telegram.control import add_telegram_routes
from pnd_dagster.simulator.telegram.history import load_folder
from pnd_dagster.simulator.telegram.server import SimulatedTelegram
from pnd_dagster.simulator.telegram.sessions import HOST

STOP_SECONDS, ANSWER_SECONDS = 10.0, 30.0


class ServedTelegram(NamedTuple):
    """A running server: the address of its control, the port clients connect to, and the id of its process."""

    url: str
    port: int
    process_id: int

    def control(self, action: str, **arguments: object) -> Any:
        """Has the server do something (see `control`): post, edit, delete, a fault. Returns what it returns.

        Raises:
            ValueError: the server does not know the action, or refuses its arguments.
        """
        return self._ask(f"/{action}", json.dumps(arguments).encode())["done"]

    def make_sessions(self, path: Path) -> None:
        """Writes the session files for listening and for history runs; see `sessions.make_sessions`. They have seen every channel."""
        self.control("make_sessions", path=str(path))

    def status(self) -> dict[str, Any]:
        """Channels with their counts, connections, requests by method, unknown requests, number of changes."""
        return self._ask("", None)

    def ledger(self) -> list[dict[str, Any]]:
        """What was posted, edited and deleted; see `ledger.Entry`."""
        return self._ask("/ledger", None)

    def _ask(self, path: str, body: bytes | None) -> Any:
        try:
            with urllib.request.urlopen(f"{self.url}/control/telegram{path}", body, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(error.read().decode(errors="replace")) from None


@contextmanager
def serve_in_process(channels: Sequence[ChannelInfo] = (), *, history: Path | None = None, port: int = 0) -> Generator[ServedTelegram]:
    """Serves Telegram from a child process while the context lasts; the child ends with its parent, too.

    Args:
        channels: the channels there are.
        history: a folder that `telegram_channels.write_simulation` wrote; its channels that are not among `channels` have no username.
        port: of 127.0.0.1, for clients; a free one by default.

    Raises:
        RuntimeError: the server did not start.
    """
    settings = {"channels": [info._asdict() for info in channels], "history": str(history) if history else None, "port": port}
    # The child's standard input ends when this process ends, however it ends; Ctrl-C is for this process alone.
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0) as child:
        assert child.stdin is not None  # noqa: S101
        assert child.stdout is not None  # noqa: S101
        try:
            child.stdin.write(json.dumps(settings) + "\n")
            child.stdin.flush()
            told = child.stdout.readline()
            if not told:
                raise RuntimeError(f"the simulated Telegram did not start on port {port}")
            yield ServedTelegram(**json.loads(told), process_id=child.pid)
        finally:
            child.stdin.close()
            try:
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()


async def _serve(channels: list[dict[str, Any]], history: str | None, port: int) -> None:
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), gone.set)
    telegram = SimulatedTelegram([ChannelInfo(**info) for info in channels], port=port)
    if history is not None:
        load_folder(telegram, Path(history))
    app = web.Application()
    add_telegram_routes(app, telegram)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        async with telegram:
            await web.TCPSite(runner, HOST, 0).start()
            told = {"url": f"http://{HOST}:{runner.addresses[0][1]}", "port": telegram.port}
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
            await gone.wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(_serve(**json.loads(sys.stdin.readline())))
