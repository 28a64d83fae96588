"""A real Chromium, steered over its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import shutil
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Page:
    """The page of a browser.

    Args:
        loop: loop that speaks to the browser.
        socket: the page's DevTools socket.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._loop, self._socket, self._count = loop, socket, 0
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Performance.enable", timeDomain="threadTicks")

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        """A command of the protocol and its result; what the page reports meanwhile is kept in `events`."""
        return self._loop.run_until_complete(asyncio.wait_for(self._call(method, values), 30))

    async def _call(self, method: str, values: dict[str, Any]) -> dict[str, Any]:
        self._count += 1
        await self._socket.send_json({"id": self._count, "method": method, "params": values})
        while True:
            answer = await self._socket.receive_json()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def look(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def wait(self, expression: str, seconds: float = 20) -> Any:
        """Waits until an expression is true, and returns it."""
        until = time.monotonic() + seconds
        while not (value := self.look(f"(() => {{ try {{ return ({expression}) }} catch (e) {{ return null }} }})()")):
            assert time.monotonic() < until, (
                f"not within {seconds} s: {expression}; the page says: {self.look('document.body.innerText')[:500]}"
            )
            time.sleep(0.02)
        return value

    def open(self, address: str) -> None:
        """Goes to an address."""
        self.events.clear()
        self.call("Page.navigate", url=address)

    def picture(self, file: Path) -> None:
        """Writes a PNG of what is seen."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def busy_seconds(self) -> float:
        """Processor time that the page's own thread has taken since it was opened: the same whatever else the machine does."""
        measured = {entry["name"]: entry["value"] for entry in self.call("Performance.getMetrics")["metrics"]}
        return float(measured["TaskDuration"])

    @property
    def asked_for(self) -> list[str]:
        """Addresses that the page requested since it was opened."""
        asked = (event["params"]["request"]["url"] for event in self.events if event.get("method") == "Network.requestWillBeSent")
        return [address for address in asked if not address.startswith(("data:", "blob:"))]

    @property
    def answers(self) -> list[int]:
        """Bytes of the answers to what the page asked its server for by POST since it was opened."""
        asked = {
            event["params"]["requestId"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent" and event["params"]["request"]["method"] == "POST"
        }
        got = (event["params"] for event in self.events if event.get("method") == "Network.loadingFinished")
        return [int(answer["encodedDataLength"]) for answer in got if answer["requestId"] in asked]

    @property
    def errors(self) -> list[str]:
        """What the page complained about since it was opened."""
        thrown = [str(e["params"]["exceptionDetails"]) for e in self.events if e.get("method") == "Runtime.exceptionThrown"]
        logged = [e["params"]["entry"]["text"] for e in self.events if e.get("method") == "Log.entryAdded"]
        printed = [
            str(e["params"]["args"])
            for e in self.events
            if e.get("method") == "Runtime.consoleAPICalled" and e["params"]["type"] == "error"
        ]
        return thrown + [text for text in logged if "favicon" not in text] + printed


@contextmanager
def browser(folder: Path, *, zone: str = "Europe/Zurich") -> Generator[Page]:
    """A page of a headless Chromium with a profile in `folder` and a time zone; skips where there is no Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    command = [chromium, *FLAGS, "--window-size=1600,1000", "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    loop = asyncio.new_event_loop()
    try:
        session, socket = loop.run_until_complete(_connect(folder / "DevToolsActivePort"))
        page = Page(loop, socket)
        page.call("Emulation.setTimezoneOverride", timezoneId=zone)
        yield page
        loop.run_until_complete(session.close())
    finally:
        process.terminate()
        process.wait(20)
        loop.close()


async def _connect(file: Path) -> tuple[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse]:
    for _ in range(300):
        if file.exists() and len(file.read_text().split()) == 2:
            break
        await asyncio.sleep(0.1)
    port = file.read_text().split()[0]
    session = aiohttp.ClientSession()
    async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
        [address] = [target["webSocketDebuggerUrl"] for target in await answer.json() if target["type"] == "page"]
    return session, await session.ws_connect(address, max_msg_size=0)
