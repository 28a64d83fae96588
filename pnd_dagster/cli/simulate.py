"""`pnd simulate`: the five exchanges and the vendors on this machine, made up, for trying everything without an account."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live
from rich.text import Text

from pnd_dagster.cli.console import ERR, say
from pnd_dagster.errors import SettingError

if TYPE_CHECKING:
    from pnd_dagster.simulator.exchanges.server import SimulatedExchanges


def simulate(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port of 127.0.0.1; 0 takes a free one.")] = 18_080,
    coins: Annotated[int, typer.Option(min=40, max=4_400, help="Markets over all five exchanges, about.")] = 400,
    rate: Annotated[float, typer.Option(min=1, max=20_000, help="Changes of books per second over all markets.")] = 500,
    seed: Annotated[int, typer.Option(help="The same seed gives the same coins and books.")] = 7,
    pump: Annotated[
        list[str] | None,
        typer.Option(help="Play a pump: EXCHANGE:BASE:SECONDS until its coin is released, as in kucoin:VIA:120. May be given again."),
    ] = None,
) -> None:
    """Serve simulated exchanges and vendors until Ctrl-C. Give other commands the address that is printed."""
    from pnd_dagster.simulator.exchanges.process import simulated_server
    from pnd_dagster.simulator.universe import make_universe

    pumps = [_parse_pump(text) for text in pump or ()]
    asyncio.run(_run(simulated_server(make_universe(seed, coins), rate=rate, seed=seed, port=port), pumps, port))


async def _run(server: SimulatedExchanges, pumps: list[tuple[str, str, float]], port: int) -> None:
    from pnd_dagster.simulator.exchanges.control import schedule_pump

    for exchange, base, seconds in pumps:
        try:
            schedule_pump(server, exchange, base, seconds)
        except KeyError:
            raise SettingError(f"--pump {exchange}:{base}: there is no such market") from None
    try:
        async with server:
            _print_addresses(server.url)
            await _watch(server)
    except OSError as error:
        raise SettingError(f"--port {port}: {error.strerror or error}") from None


def _print_addresses(url: str) -> None:
    from pnd_dagster.simulator.llm import LLM_KEY
    from pnd_dagster.simulator.vendors import VENDOR_KEY, VENDORS

    say(f"simulated exchanges on {url}; Ctrl-C ends them")
    typer.echo(f"export PND_EXCHANGE_URL={url}")
    for vendor in VENDORS:
        typer.echo(f"export PND_{vendor.upper()}_URL={url}/{vendor}")
    for vendor in ("lunarcrush", "coinmarketcap"):
        typer.echo(f"export PND_{vendor.upper()}_KEY={VENDOR_KEY}")
    typer.echo(f"export PND_OPENAI_URL={url}/v1")
    typer.echo(f"export PND_OPENAI_API_KEY={LLM_KEY}")


async def _watch(server: SimulatedExchanges) -> None:
    before = server.sent()
    with Live(console=ERR, auto_refresh=False, transient=True) as live:
        while True:
            await asyncio.sleep(1)
            now = server.sent()
            live.update(
                Text(
                    f"{len(server.connections())} connections  {now['frames'] - before['frames']} frames/s  "
                    f"{now['books'] - before['books']} books/s  {now['trades'] - before['trades']} trades/s  {now['frames']} frames so far"
                ),
                refresh=True,
            )
            before = now


def _parse_pump(text: str) -> tuple[str, str, float]:
    parts = text.split(":")
    try:
        exchange, base, seconds = parts[0].lower(), parts[1].upper(), float(parts[2])
    except (IndexError, ValueError):
        raise SettingError(f"--pump {text}: expected EXCHANGE:BASE:SECONDS, as in kucoin:VIA:120") from None
    if len(parts) != 3 or not 0 < seconds < 1e9:
        raise SettingError(f"--pump {text}: expected EXCHANGE:BASE:SECONDS with seconds above 0")
    return exchange, base, seconds
