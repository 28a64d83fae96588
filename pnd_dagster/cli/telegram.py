"""`pnd login` and `pnd listen`: Telegram by hand and live."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated

import typer

from pnd_dagster.cli.console import say
from pnd_dagster.settings import settings


def login(
    history: Annotated[bool, typer.Option(help="Log in the session of history runs, which read while the listener listens.")] = False,
) -> None:
    """Create the Telegram session, once: phone number, code, password. Only the session is kept, in a file of mode 0600."""
    from pnd_dagster.telegram import sessions

    configured = settings()
    if history:
        configured = configured.model_copy(update={"telegram_session_file": configured.telegram_history_session_file})
    made = asyncio.run(
        sessions.login(
            configured,
            ask_phone=lambda: typer.prompt("Phone number, with country code"),
            ask_code=lambda: typer.prompt("Code that Telegram sent"),
            ask_password=lambda: typer.prompt("Password of two-step verification", hide_input=True),
        )
    )
    say(f"{'logged in' if made else 'already logged in'}; session in {configured.telegram_session_file}")


def listen() -> None:
    """Follow the validated channels live until Ctrl-C: messages, edits and deletions; labels and events follow at once."""
    from pnd_dagster.messages.classifier import load_classifier
    from pnd_dagster.services.listen import run
    from pnd_dagster.services.message_duties import message_duties
    from pnd_dagster.storage import connect
    from pnd_dagster.telegram.channel_store import PostgresChannelStore
    from pnd_dagster.telegram.history import start_reading
    from pnd_dagster.telegram.media import MediaFolder
    from pnd_dagster.telegram.sessions import open_reader

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    reader = open_reader(settings())
    engine = connect(settings())
    media = MediaFolder(settings().media_dir, settings().media_max_bytes)
    reading = start_reading(reader, PostgresChannelStore(engine), source="live", media=media)
    say("listening; Ctrl-C ends it after what was received is stored")
    run(reading, message_duties(engine, load_classifier()))
