"""`pnd db`: the database by hand."""

from __future__ import annotations

import signal
import threading

import polars as pl
import typer

from pnd_dagster.cli.console import print_table, progress, say
from pnd_dagster.settings import settings
from pnd_dagster.storage import connect, create_engine, dagster_url, database_url, embedded
from pnd_dagster.storage.engine import check_connection, create_databases
from pnd_dagster.storage.roles import bi_url, ensure_bi_role
from pnd_dagster.storage.schema import upgrade
from pnd_dagster.warehouse.build import build

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


@app.command("bi")
def bi(show_password: bool = typer.Option(False, "--show-password", help="Print the password, too.")) -> None:
    """Make the read-only role pnd_bi and print how a BI tool connects with it. It sees the schema `mart` only."""
    ensure_bi_role(connect(settings()), settings())
    url = bi_url(settings()).set(drivername="postgresql")
    source = "of PND_BI_PASSWORD" if settings().bi_password else f"in {settings().home / 'bi-password'}"
    typer.echo(f"host {url.host}\nport {url.port or 5432}\ndatabase {url.database}\nuser {url.username}\nschema mart")
    typer.echo(f"password {url.password}" if show_password else f"password {source} (--show-password prints it)")
    typer.echo(f"address {url.render_as_string(hide_password=not show_password)}")


@app.command("marts")
def marts(full_refresh: bool = typer.Option(False, "--full-refresh", help="Build the tables that grow from the start, too.")) -> None:
    """Build and test the marts now, as the job `warehouse` does every hour."""
    engine = connect(settings())
    with progress() as bar:
        bar.add_task("dbt build", total=None)
        built = build(engine, settings(), *(["--full-refresh"] if full_refresh else []))
    counts = built.group_by("kind", "status", maintain_order=True).agg(pl.len().alias("count"), pl.col("seconds").sum().round(1))
    print_table(counts, "Views and marts")
    for name, message in built.filter(status="warn").select("name", "message").iter_rows():
        say(f"[yellow]check failed:[/] {name}: {message}")


@app.command("url")
def url(dagster: bool = typer.Option(False, help="Address of Dagster's own database.")) -> None:
    """Print the database's address, with its password, for psql and other clients."""
    typer.echo(dagster_url(settings()) if dagster else database_url(settings()))
