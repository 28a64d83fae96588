"""The simulated Telegram in a process of its own, driven from outside."""

from __future__ import annotations

import asyncio
import base64
import socket
from pathlib import Path
from typing import Any

import pytest

from pnd_dagster.settings import load_settings
from pnd_dagster.simulator.telegram.channels import ChannelInfo
from pnd_dagster.simulator.telegram.ledger import text_hash
from pnd_dagster.simulator.telegram.process import serve_in_process
from pnd_dagster.telegram.client import ChannelReference
from pnd_dagster.telegram.sessions import open_reader


def test_a_child_process_serves_clients_and_takes_commands_until_the_context_ends(tmp_path: Path) -> None:
    path = tmp_path / "telegram.session"
    settings = load_settings(home=tmp_path, telegram_session_file=path, telegram_api_id=1, telegram_api_hash="x")
    with serve_in_process([ChannelInfo(1001, "Rocket Room", "rocket_room")]) as telegram:
        telegram.make_sessions(path)
        assert path.stat().st_mode & 0o777 == 0o600

        async def main() -> list[Any]:
            reader, updates = open_reader(settings), asyncio.Queue[Any]()
            reader.subscribe(updates.put)
            await reader.connect()
            try:
                channel = await reader.find_channel(ChannelReference(1001))
                picture = base64.b64encode(b"a picture").decode()
                first = telegram.control("post", channel_id=1001, text="hello", image=picture, at="2026-03-01T12:00:00+00:00")
                telegram.control("edit", channel_id=1001, message_id=first, text="hello again")
                telegram.control("delete", channel_id=1001, message_ids=[first])
                got = [await asyncio.wait_for(updates.get(), 10) for _ in range(3)]
                assert await reader.photo(got[0].message, max_bytes=100) == b"a picture"
                assert (await reader.find_channel(ChannelReference(1001))).title == channel.title
                return got
            finally:
                await reader.disconnect()

        got = asyncio.run(main())
        assert [type(update).__name__ for update in got] == [
            "UpdateNewChannelMessage",
            "UpdateEditChannelMessage",
            "UpdateDeleteChannelMessages",
        ]
        ledger = telegram.ledger()
        assert [(entry["kind"], entry["edit"]) for entry in ledger] == [("post", 0), ("edit", 1), ("delete", 1)]
        assert ledger[0]["text_hash"] == text_hash("hello")
        status = telegram.status()
        assert (status["unknown"], status["channels"], status["changes"]) == ([], {"1001": 4}, 3)
        for action, arguments in {"post": {"channel_id": 4, "text": "x"}, "dance": {}, "edit": {"channel": 1001}}.items():
            with pytest.raises(ValueError, match="error"):
                telegram.control(action, **arguments)
        process = Path(f"/proc/{telegram.process_id}")
        assert process.exists()
    assert not process.exists()


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RuntimeError, match=str(port)), serve_in_process(port=port):
            pass
