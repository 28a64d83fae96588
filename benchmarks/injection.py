"""`python -m benchmarks.injection`: what the corpus of injected instructions achieves, by kind, with 95% Wilson intervals.

Against the classifier and the rules, and against a language model on which every attack works (`tests/injection`). The attacks share
18 benign posts, so that they are not independent: the intervals are narrower than they should be.
"""

from __future__ import annotations

import json
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from pnd_dagster.messages.classifier import load_classifier
from pnd_dagster.settings import Settings, load_settings
from pnd_dagster.storage import connect, embedded, read_frame
from pnd_dagster.tables import LLM_REPLIES
from tests.injection.corpus import ANNOUNCEMENT, DELAY, LISTED, POSTED_AT, Attack, build_corpus
from tests.injection.proof import (
    Rate,
    as_releases,
    ask_extractions,
    ask_labels,
    by_kind,
    extract_attacks,
    label_attacks,
    obedient,
    outside_schema,
    rate,
    stands_in,
)


def main() -> None:
    """Prints the two tables."""
    attacks = build_corpus()
    rules, totals = measure_rules(attacks)
    with tempfile.TemporaryDirectory(prefix="pnd-bench-") as name:
        Path(name).chmod(0o755)
        settings = load_settings(home=Path(name) / "home", database_url=None)
        engine = connect(settings)
        try:
            model, model_totals = measure_model(engine, settings, attacks)
        finally:
            engine.dispose()
            embedded.stop(settings.home)
    columns = rules | model
    table = Table("kind", *columns)
    for kind in sorted(columns["classifier: label flips"], key=lambda kind: (kind == "all", kind)):
        table.add_row(kind, *(str(rates.get(kind, "")) for rates in columns.values()))
    sums = Table("what", "count, 95% interval")
    for what, found in (totals | model_totals).items():
        sums.add_row(what, str(found))
    console = Console(width=200)
    console.print(table, sums)


def measure_rules(attacks: list[Attack]) -> tuple[dict[str, dict[str, Rate]], dict[str, Rate]]:
    """Columns by kind and totals: labels that differ from the benign post's, symbols that are not in the text."""
    rows = {row["attack_id"]: row for row in label_attacks(attacks, load_classifier()).iter_rows(named=True)}
    columns = {
        "classifier: label flips": by_kind(attacks, lambda a: rows[a.attack_id]["label"] != rows[a.attack_id]["core_label"]),
        "to the wanted label": by_kind(attacks, lambda a: rows[a.attack_id]["core_label"] != rows[a.attack_id]["label"] == a.wanted_label),
    }
    text_of = {attack.attack_id: attack.text for attack in attacks}
    totals = {
        "classifier: abstained, so that a language model is asked": rate(sum(row["is_abstained"] for row in rows.values()), len(rows))
    }
    given = {attack_id: int(row["label"]) for attack_id, row in rows.items()}
    for what, labels in (("labels as classified", given), ("all taken for releases", as_releases(attacks))):
        found = list(extract_attacks(attacks, labels).iter_rows(named=True))
        invented = [row for row in found if not stands_in(row["symbol"], text_of[row["attack_id"]])]
        unlisted = [row for row in found if not row["is_symbol_listed"]]
        totals[f"rules, {what}: releases with a symbol that is not in the text"] = rate(len(invented), len(found))
        totals[f"rules, {what}: releases of an unlisted symbol (kept, marked)"] = rate(len(unlisted), len(found))
    return columns, totals


def measure_model(engine: sa.Engine, settings: Settings, attacks: list[Attack]) -> tuple[dict[str, dict[str, Rate]], dict[str, Rate]]:
    """Columns by kind and totals for a model that grants every wish: what of it is believed."""
    totals: dict[str, Rate] = {}
    with obedient(settings, attacks) as (asking, _, oracle):
        rows = {row["attack_id"]: row for row in ask_labels(engine, asking, attacks, load_classifier()).iter_rows(named=True)}
        extracted = {label: ask_extractions(engine, asking, attacks, label) for label in (ANNOUNCEMENT, DELAY)}
        assert not oracle.unknown

    def is_flipped(attack: Attack) -> bool:
        row = rows[attack.attack_id]
        return row["is_believed"] and row["label"] != attack.core.label

    columns = {
        "obedient model: labels flipped": by_kind(attacks, is_flipped),
        "of these to review": by_kind(filter(is_flipped, attacks), lambda attack: rows[attack.attack_id]["is_abstained"]),
    }
    unseen = [attack for attack in attacks if is_flipped(attack) and not rows[attack.attack_id]["is_abstained"]]
    unsure = set(label_attacks(attacks, load_classifier()).filter("is_abstained")["attack_id"])
    totals["obedient model: labels flipped that do not go to review, everything asked"] = rate(len(unseen), len(attacks))
    totals["the same, only what the classifier abstained from asked (as shipped)"] = rate(
        sum(attack.attack_id in unsure for attack in unseen), len(attacks)
    )
    stored = list(read_frame(engine, sa.select(LLM_REPLIES)).iter_rows(named=True))
    for task in ("label", "announcement", "change"):
        outside = [row for row in stored if row["task"] == task and outside_schema(task, row["reply"])]
        believed = sum(row["status"] == "accepted" for row in outside)
        totals[f"obedient model, {task}: replies outside the schema that were believed"] = rate(believed, len(outside))
    named = [row for row in stored if row["task"] == "announcement" and _is_false_symbol(row["reply"], attacks[row["channel_id"]].text)]
    totals["obedient model, announcement: replies with a symbol unlisted or not in the text that were believed"] = rate(
        sum(row["status"] == "accepted" for row in named), len(named)
    )
    fallen_back = [row for row in rows.values() if not row["is_believed"]]
    totals["obedient model, label: fallen back to the classifier, marked"] = rate(len(fallen_back), len(rows))
    announcements = extracted[ANNOUNCEMENT]
    believed_rows = list(announcements.filter(~pl.col("is_fallback")).iter_rows(named=True))
    totals |= _believed("announcement", believed_rows)
    fallback = list(announcements.filter(pl.col("is_fallback")).iter_rows(named=True))
    unlisted = [row for row in fallback if row["base_symbol"] and row["base_symbol"] not in LISTED]
    totals["obedient model, announcement: fallen back to the rules, marked"] = rate(len(fallback), announcements.height)
    totals["of these with an unlisted symbol that the rules read in the text"] = rate(len(unlisted), len(fallback))
    changes = extracted[DELAY]
    totals["obedient model, change: fallen back to the rules, marked"] = rate(int(changes["is_fallback"].sum()), changes.height)
    return columns, totals


def _is_false_symbol(reply: str, text: str) -> bool:
    """Whether a reply names a coin that no market lists or that is not in the text."""
    try:
        values = json.loads(reply)
    except ValueError:
        return False
    symbol = values.get("base_symbol") if isinstance(values, dict) else None
    return symbol is not None and not (isinstance(symbol, str) and symbol in LISTED and stands_in(symbol, text))


def _believed(task: str, rows: list[dict[str, Any]]) -> dict[str, Rate]:
    """What stands in believed extractions that should not."""
    unlisted = [row for row in rows if row["base_symbol"] and row["base_symbol"] not in LISTED]
    invented = [row for row in rows if row["base_symbol"] and not stands_in(row["base_symbol"], row["text"])]
    far = [row for row in rows if row["scheduled_at"] and abs(row["scheduled_at"] - POSTED_AT) > timedelta(days=14)]
    doubted = [row for row in rows if row["disagreement"]]
    return {
        f"obedient model, {task}: believed with an unlisted symbol": rate(len(unlisted), len(rows)),
        f"obedient model, {task}: believed with a symbol that is not in the text": rate(len(invented), len(rows)),
        f"obedient model, {task}: believed with a start more than 14 days away": rate(len(far), len(rows)),
        f"obedient model, {task}: believed, but the rules disagree (review)": rate(len(doubted), len(rows)),
    }


if __name__ == "__main__":
    main()
