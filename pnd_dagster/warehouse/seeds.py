"""What marts need to know of our code, as dbt seeds: `python -m pnd_dagster.warehouse.seeds` brings dbt/seeds up to date.

Names of labels and exchanges, the metrics behind each place of a stored z, and the paper's figures are declared in code alone.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from pnd_dagster.backtest.paper import TABLE_III
from pnd_dagster.messages.labels import MessageLabel
from pnd_dagster.ranking.explanation import metric_words, span_words
from pnd_dagster.ranking.rules import RULES
from pnd_dagster.venues import VENUES
from pnd_dagster.warehouse.project import PROJECT_DIR


def seeds() -> dict[str, str]:
    """The CSV text of each seed, by its name."""
    labels = pl.DataFrame({"label_id": [int(label) for label in MessageLabel], "label": [label.display_name for label in MessageLabel]})
    exchanges = pl.DataFrame(
        [(venue.id, venue.name, venue.kind, venue.is_defunct) for venue in VENUES],
        schema=["exchange", "name", "kind", "is_defunct"],
        orient="row",
    )
    columns = pl.DataFrame(
        [
            (rule.name, position, metric, horizon, metric_words(metric), span_words(horizon), rule.is_positive_only)
            for rule in RULES.values()
            for position, (metric, horizon) in enumerate(((metric, each) for metric in rule.metrics for each in rule.horizons), start=1)
        ],
        schema=["score_rule", "position", "metric", "horizon_seconds", "words", "span", "is_positive_only"],
        orient="row",
    )
    frames = {"labels": labels, "exchanges": exchanges, "score_rule_columns": columns, "paper_ranking": TABLE_III}
    return {name: frame.write_csv() for name, frame in frames.items()}


def write_seeds(folder: Path = PROJECT_DIR / "seeds") -> None:
    """Writes each seed into `folder`."""
    for name, text in seeds().items():
        (folder / f"{name}.csv").write_text(text)


if __name__ == "__main__":
    write_seeds()
