"""`pnd db`: the database by hand."""

from __future__ import annotations

import signal
import threading

import typer

from pnd_dagster.cli.console import say
from pnd_dagster.settings import settings
from pnd_dagster.storage import connect, create_engine, dagster_url, database_url, embedded
from pnd_dagster.storage.engine import check_connection, create_databases
from pnd_dagster.storage.schema import upgrade

app = typer.Typer(no_args_is_help=True)


@app.command("start")
def start() -> None:
    """Start the embedded server (or check the one of PND_DATABASE_URL) and bring its schema up to date."""
    if settings().database_url is not None:
        say(f"PND_DATABASE_URL is set: Postgres {check_connection(database_url(settings()))} answers")
        return
    connect(settings())
    say(f"Postgres runs on 127.0.0.1:{embedded.start(settings().home).port}, data in {settings().home}")


@app.command("stop")
def stop() -> None:
    """Stop the embedded server cleanly; its data stays."""
    say("stopped" if embedded.stop(settings().home) else "it was not running")


@app.command("serve")
def serve() -> None:
    """Keep the embedded server running until Ctrl-C, start it again when it ends by itself, and stop it at the end."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    is_told = False
    try:
        while not stop.is_set():
            if not is_told or not embedded.is_running(settings().home):
                is_told, server = True, embedded.start(settings().home, port=settings().database_port)
                say(f"Postgres runs on 127.0.0.1:{server.port}, data in {settings().home}")
            stop.wait(0.5)
    finally:
        embedded.stop(settings().home)


@app.command("upgrade")
def upgrade_() -> None:
    """Create what is missing and migrate the schema to this version."""
    create_databases(settings())
    say(f"schema is at revision {upgrade(create_engine(database_url(settings())))}")


@app.command("url")
def url(dagster: bool = typer.Option(False, help="Address of Dagster's own database.")) -> None:
    """Print the database's address, with its password, for psql and other clients."""
    typer.echo(dagster_url(settings()) if dagster else database_url(settings()))
