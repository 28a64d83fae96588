"""Session files of the simulated account, as Telethon keeps them: address, port and key of a server that is logged in to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from telethon.crypto import AuthKey
from telethon.sessions import SQLiteSession
from telethon.tl import types

from pnd_dagster.simulator.telegram.channels import ChannelInfo, SimulatedChannel
from pnd_dagster.simulator.telegram.requests import DATA_CENTRE
from pnd_dagster.simulator.telegram.transport import account_key

HOST = "127.0.0.1"
LISTENING, READING = "listen", "history"


def make_session(path: Path, port: int, *, account: str = LISTENING, seen: Sequence[ChannelInfo] = ()) -> None:
    """Writes a session that is logged in, with mode 0600, in place of any that is there.

    Args:
        path: ends in `.session`.
        port: the server's, of 127.0.0.1.
        account: whose key it holds; the server knows `LISTENING` and `READING`.
        seen: channels that are found by their id; others by username or link only.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in (path, path.with_name(f"{path.name}-journal")):
        old.unlink(missing_ok=True)
    path.touch(mode=0o600)
    session = SQLiteSession(str(path))
    session.set_dc(DATA_CENTRE, HOST, port)
    session.auth_key = AuthKey(account_key(account).key)
    session.process_entities(types.messages.Chats([SimulatedChannel(info).entity for info in seen]))
    session.save()
    session.close()


def make_sessions(path: Path, port: int, *, seen: Sequence[ChannelInfo] = ()) -> None:
    """Writes the session for listening and, beside it, that for history runs."""
    make_session(path, port, seen=seen)
    make_session(path.with_name(f"{path.stem}-history.session"), port, account=READING, seen=seen)
