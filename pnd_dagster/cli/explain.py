"""`pnd explain`: all that lies behind a pump, for a person or a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import polars as pl
import typer

from pnd_dagster.cli.console import OUT, print_json, print_table
from pnd_dagster.settings import settings

if TYPE_CHECKING:
    from pnd_dagster.alerts.explanation import Explanation

SHOWN_Z, SHOWN_PRIOR = 12, 10


def explain(
    event: Annotated[str, typer.Argument(help="Id of an event, pump, watch, detection or announcement; its beginning is enough.")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Show the messages, the market, the ranking, the filter's decision, the alerts and the versions behind a pump."""
    from pnd_dagster.alerts.explanation import explain
    from pnd_dagster.storage import connect

    found = explain(connect(settings()), event)
    if as_json:
        print_json(found._asdict())
    else:
        _print(found)


def _print(found: Explanation) -> None:
    _print_facts(found.summary, "suspected pump")
    _print_rows(found.timeline, "timeline")
    messages = [
        {"posted_at": row["posted_at"], "channel": row["channel"], "id": row["message_id"], "label": row["label"], "text": row["text"]}
        for row in found.messages
    ]
    _print_rows(messages, "messages")
    _print_rows(found.standings, "where the coin stood before it was named")
    _print_rows(found.prior_pumps[:SHOWN_PRIOR], f"earlier pumps of that symbol, maybe of another coin; the last {SHOWN_PRIOR}")
    _print_rows(found.ranking, "ranking before it was named: the first, and those around the coin")
    _print_rows(found.z[:SHOWN_Z], f"z-scores of the coin before it was named, the furthest {SHOWN_Z}")
    # Prices of such coins are far below a cent.
    market = [{name: _short(value) for name, value in row.items() if name != "instrument_id"} for row in found.metrics]
    _print_rows(market, "market around the release")
    _print_rows(found.filter, "market-cap filter")
    _print_rows(found.warning_signs, "warning signs")
    alerts = [{name: row[name] for name in ("created_at", "stage", "channel", "state", "title", "last_error")} for row in found.alerts]
    _print_rows(alerts, "alerts")
    _print_facts({name: ", ".join(value) if isinstance(value, list) else value for name, value in found.versions.items()}, "versions")
    if found.missing:
        _print_rows([{"not known": line} for line in found.missing], "what cannot be told")


def _print_facts(facts: dict[str, Any], title: str) -> None:
    rows = [{"what": name.replace("_", " "), "value": str(value)} for name, value in facts.items() if value not in (None, "")]
    _print_rows(rows, title)


def _print_rows(rows: list[dict[str, Any]], title: str) -> None:
    if rows:
        print_table(pl.DataFrame(rows, infer_schema_length=None), title)
        OUT.print()


def _short(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value
