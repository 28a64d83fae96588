"""The simulated exchanges and vendors in a process of their own, for callers that have no event loop or measure their own time."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from aiohttp import web

from pnd_dagster.simulator.exchanges.pumps import deal_rows
from pnd_dagster.simulator.exchanges.server import SimulatedExchanges
from pnd_dagster.simulator.exchanges.world import World
from pnd_dagster.simulator.llm import add_llm_routes
from pnd_dagster.simulator.universe import Universe, make_universe
from pnd_dagster.simulator.vendors import add_vendor_routes

STOP_SECONDS, ANSWER_SECONDS = 10.0, 30.0


class ServedExchanges(NamedTuple):
    """A running server: its address, and the id of its process."""

    url: str
    process_id: int

    def control(self, do: str, **arguments: object) -> Any:
        """Has the server do something (see `control`): a fault, a pump, writing its ledger. Returns what it returns.

        Raises:
            ValueError: the server does not know the action, or refuses its arguments.
        """
        return self._ask(json.dumps({"do": do, **arguments}).encode())["done"]

    def status(self) -> dict[str, Any]:
        """Changes so far, what was sent, open connections by exchange."""
        return self._ask(None)

    def _ask(self, body: bytes | None) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"{self.url}/control", body, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(error.read().decode(errors="replace")) from None


def simulated_server(
    universe: Universe,
    *,
    rate: float,
    seed: int,
    port: int = 0,
    time_factor: float = 1.0,
    past_pumps: Iterable[tuple[str, str, datetime]] = (),
) -> SimulatedExchanges:
    """The exchanges of a universe, its vendors and a language model behind one server. Arguments as in `serve_in_process`."""
    world = World(universe, seed=seed, rate=rate, past_pumps=deal_rows(past_pumps))

    def extend(app: web.Application) -> None:
        add_vendor_routes(app, universe)
        add_llm_routes(app)

    return SimulatedExchanges(world, port=port, time_factor=time_factor, extend=extend)


@contextmanager
def serve_in_process(
    *,
    coins: int = 400,
    rate: float = 500.0,
    seed: int = 7,
    port: int = 0,
    time_factor: float = 1.0,
    past_pumps: Iterable[tuple[str, str, datetime]] = (),
) -> Generator[ServedExchanges]:
    """Serves a made-up universe from a child process while the context lasts; the child ends with its parent, too.

    Args:
        coins: number of markets over all exchanges, about.
        rate: changes per second over all markets.
        seed: of all that is random.
        port: of 127.0.0.1; a free one by default.
        time_factor: stretches the durations of limits and keepalives.
        past_pumps: exchange, base and release of pumps that the daily candles show.

    Raises:
        RuntimeError: the server did not start.
    """
    pumps = [(exchange, base, released_at.isoformat()) for exchange, base, released_at in past_pumps]
    settings = {"coins": coins, "rate": rate, "seed": seed, "port": port, "time_factor": time_factor, "past_pumps": pumps}
    # The child's standard input ends when this process ends, however it ends; Ctrl-C is for this process alone.
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0) as child:
        assert child.stdin is not None  # noqa: S101
        assert child.stdout is not None  # noqa: S101
        try:
            child.stdin.write(json.dumps(settings) + "\n")
            child.stdin.flush()
            url = child.stdout.readline().strip()
            if not url:
                raise RuntimeError(f"the simulated exchanges did not start on port {port}")
            yield ServedExchanges(url, child.pid)
        finally:
            child.stdin.close()
            try:
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()


async def _serve(coins: int, rate: float, seed: int, port: int, time_factor: float, past_pumps: list[tuple[str, str, str]]) -> None:
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), gone.set)
    pumps = [(exchange, base, datetime.fromisoformat(released_at)) for exchange, base, released_at in past_pumps]
    universe = make_universe(seed, coins)
    async with simulated_server(universe, rate=rate, seed=seed, port=port, time_factor=time_factor, past_pumps=pumps) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        await gone.wait()


if __name__ == "__main__":
    asyncio.run(_serve(**json.loads(sys.stdin.readline())))
