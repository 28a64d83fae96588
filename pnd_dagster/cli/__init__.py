"""`pnd`: the command line. Each module holds one group of commands; this one composes them."""

from __future__ import annotations

import sys

import typer

from pnd_dagster import __version__
from pnd_dagster.cli import (
    alerts,
    analysis,
    backtest,
    channels,
    dashboard,
    database,
    demo,
    detect,
    doctor,
    explain,
    health,
    images,
    learned_filter,
    llm,
    market,
    messages,
    orchestration,
    replay,
    review,
    simulate,
    telegram,
    training,
    up,
    watch,
)
from pnd_dagster.cli.console import fail
from pnd_dagster.errors import PndError

app = typer.Typer(
    help="Warns of crypto pump-and-dump schemes before they happen.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(database.app, name="db", help="The database: start, stop, upgrade, url; how BI tools connect.")
app.add_typer(learned_filter.app, name="filter", help="What tells coins that will be pumped from others, and clusters of coins.")
app.add_typer(channels.app, name="channels", help="Channels we know, and what a human decides about them.")
app.add_typer(alerts.app, name="alert", help="Alerts: try the channels, list, mute, unmute.")
app.command("demo")(demo.demo)
app.command("dashboard")(dashboard.dashboard)
app.command("doctor")(doctor.doctor)
app.command("import")(messages.import_)
app.command("train")(training.train)
app.command("evaluate")(training.evaluate)
app.command("classify")(messages.classify)
app.command("extract-events")(messages.extract_events)
app.command("read-image")(images.read_image)
app.command("llm-label")(llm.llm_label)
app.command("review")(review.review)
app.command("login")(telegram.login)
app.command("listen")(telegram.listen)
app.command("collect")(market.collect)
app.command("detect")(detect.detect)
app.command("plot")(market.plot)
app.command("simulate")(simulate.simulate)
app.command("analysis")(analysis.analysis)
app.command("backtest")(backtest.backtest)
app.command("explain")(explain.explain)
app.command("deliver")(alerts.deliver)
app.command("run")(orchestration.run)
app.command("ui")(orchestration.ui)
app.command("exec", context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})(
    orchestration.exec_
)
app.command("health")(health.health)
app.command("up")(up.up)
app.command("watch")(watch.watch)
app.command("replay")(replay.replay)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point: our own errors are one line on standard error and exit code 1, never a traceback."""
    try:
        app()
    except PndError as error:
        fail(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        fail("interrupted")
        sys.exit(130)
