"""`pnd login` and `pnd listen`: Telegram by hand and live."""

from __future__ import annotations

import asyncio

import typer

from pnd_dagster.cli.console import say
from pnd_dagster.settings import settings


def login() -> None:
    """Create the Telegram session, once: phone number, code, password. Only the session is kept, in a file of mode 0600."""
    from pnd_dagster.telegram import sessions

    made = asyncio.run(
        sessions.login(
            settings(),
            ask_phone=lambda: typer.prompt("Phone number, with country code"),
            ask_code=lambda: typer.prompt("Code that Telegram sent"),
            ask_password=lambda: typer.prompt("Password of two-step verification", hide_input=True),
        )
    )
    say(f"{'logged in' if made else 'already logged in'}; session in {settings().telegram_session_file}")
