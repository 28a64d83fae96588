"""`pnd login` and `pnd listen`: Telegram by hand and live."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated

import typer

from pnd_dagster.cli.console import say
from pnd_dagster.settings import settings

if TYPE_CHECKING:
    from pnd_dagster.telegram.batches import MessageBatch


def login(
    history: Annotated[bool, typer.Option(help="Log in the session of history runs, which read while the listener listens.")] = False,
) -> None:
    """Create the Telegram session, once: phone number, code, password. Only the session is kept, in a file of mode 0600."""
    from pnd_dagster.telegram import sessions

    purpose = "history" if history else "listen"
    made = asyncio.run(
        sessions.login(
            settings(),
            purpose=purpose,
            ask_phone=lambda: typer.prompt("Phone number, with country code"),
            ask_code=lambda: typer.prompt("Code that Telegram sent"),
            ask_password=lambda: typer.prompt("Password of two-step verification", hide_input=True),
        )
    )
    say(f"{'logged in' if made else 'already logged in'}; session in {sessions.session_file(settings(), purpose)}")


def listen() -> None:
    """Follow the validated channels live until Ctrl-C: messages, edits and deletions; labels and events follow at once."""
    from pnd_dagster.events.replays import Replays
    from pnd_dagster.messages.classifier import chosen_model_dir, load_classifier
    from pnd_dagster.services.listen import run
    from pnd_dagster.services.message_duties import ask_further, handle_batch, sweep_unlabelled, warm_up
    from pnd_dagster.storage import connect

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # It calls every drop an error; what it means for the messages is told by ours.
    logging.getLogger("telethon").setLevel(logging.CRITICAL)
    engine, classifier = connect(settings()), load_classifier(chosen_model_dir(settings()))

    say("listening; Ctrl-C ends it after what was received is stored")
    # Pictures and the language model take seconds, which the next message must not wait for.
    replays, is_over = Replays(), threading.Event()
    warming = threading.Thread(target=_logged, args=(lambda: warm_up(engine, classifier, replays, is_over.is_set),))
    with ThreadPoolExecutor(max_workers=1) as later:

        def handle(batch: MessageBatch) -> None:
            handle_batch(engine, settings(), classifier, batch, replays)
            later.submit(_logged, lambda: ask_further(engine, settings(), classifier, batch))

        warming.start()
        try:
            run(engine, settings(), handle=handle, sweep=lambda: sweep_unlabelled(engine, settings(), classifier))
        finally:
            is_over.set()


def _logged(job: Callable[[], None]) -> None:
    try:
        job()
    except Exception:
        logging.getLogger(__name__).exception("left to the graph's next run")
