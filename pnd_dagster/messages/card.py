"""The model card as a page: `python -m pnd_dagster.messages.card > docs/model-card.md`. Its facts are those of the model's folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pnd_dagster.messages.labels import MessageLabel
from pnd_dagster.messages.model_files import CARD_FILE, PACKAGED_DIR, read_card

_SOURCES = {
    "authors": "human labels of the paper's first author's group",
    "wild": "labels of 102 other channels by another reader (a language model, each message alone); trains a head of its own",
    "reader": "6,907 messages of 282 channels that the linear model was unsure of or took for critical, read one by one by a language "
    "model by the authors' conventions; on 378 of the authors' own messages mixed in, unmarked, it agreed with them on .942 (kappa .929), "
    "where it said it was sure on .968 (n = 342); six readings of 40 messages agreed on .92 (kappa .88)",
    "synthetic": "messages that the authors had written by GPT-4o",
    "human": "labels given in `pnd review`",
    "llm": "labels of a language model that were believed",
}
_FROZEN = "One channel in ten, by a hash of its id; human labels, near-duplicates purged."
_PARTS = {
    "linear": "linear model alone",
    "encoder": "encoder alone, full precision",
    "encoder_int8": "encoder alone, int8",
    "blend": "blend, full precision",
    "blend_int8": "blend, int8, every message read by the encoder",
}


def card_page(directory: Path = PACKAGED_DIR) -> str:
    """The card of the model in `directory` as markdown."""
    card = read_card(directory)
    size = sum(path.stat().st_size for path in directory.iterdir()) / 1e6
    lines = [
        "# PumpBERT: model card",
        "",
        f"{card['description']}. Version `{card['version']}`, {size:.1f} MB in all; no hub and no key are needed.",
        "",
        f"- **Encoder**: {card['encoder']}, method {card['method']}, losses by epoch {card.get('epoch_losses')}, "
        f"on the validation channels {card.get('validation_losses')}.",
        f"- **Skips the encoder** where the linear model alone is surer than {card['skip_noise_above']} of noise; **abstains** below a "
        f"confidence of {card['abstain_below']}.",
        f"- **Blend**: weights {card['blend']['weights']} for the linear model's and the encoder's log-probabilities, fitted on "
        f"{card['validated_on']['messages']} messages of {card['validated_on']['channels']} channels.",
        f"- **Data**: sha256 `{card['data_sha256'][:16]}` of sources, texts and labels.",
        "",
        "| source | what | " + " | ".join(label.display_name for label in MessageLabel) + " |",
        "|---|---|" + "---|" * len(MessageLabel),
    ]
    for source, counts in card["trained_on"].items():
        lines.append(
            f"| {source} | {_SOURCES.get(source, '')} | " + " | ".join(str(counts.get(str(int(k)), 0)) for k in MessageLabel) + " |"
        )
    lines += [
        "",
        "## Figures",
        "",
        "Intervals are 95%, bootstrap over channels. `frozen_test` was measured with the weights that ship, on channels they were not "
        "trained on; the protocols were measured with models fitted by the same code on each fold's training side.",
        "",
        "| protocol | n (channels) | weighted F1 | macro F1 | calibration error | accuracy |",
        "|---|---|---|---|---|---|",
    ]
    results: dict[str, Any] = card["results"]
    lines += [_row(name, found) for name, found in results.items()]
    for name, found in results.items():
        lines += [
            "",
            f"### {name}",
            "",
            found.get("protocol", "One channel in ten, by a hash of its id; human labels, near-duplicates purged."),
            "",
        ]
        lines += _classes(found)
        lines += _details(found)
    lines += ["", "## Limits", "", *(f"- {limit}" for limit in card["limits"]), "", f"Everything above is in the model's `{CARD_FILE}`."]
    return "\n".join(lines) + "\n"


def _row(name: str, found: dict[str, Any]) -> str:
    scores = " | ".join(_interval(found, score) for score in ("weighted_f1", "macro_f1"))
    others = " | ".join(f"{found[figure]:.3f}" for figure in ("expected_calibration_error", "accuracy"))
    return f"| {name} | {found['n']:,} ({found['channels']}) | {scores} | {others} |"


def _classes(found: dict[str, Any]) -> list[str]:
    lines = ["| class | n | recall | precision | F1 |", "|---|---|---|---|---|"]
    for label in MessageLabel:
        values = found["per_class"][label.name.lower()]
        lines.append(f"| {label.display_name} | {values['n']} | {values['recall']:.3f} | {values['precision']:.3f} | {values['f1']:.3f} |")
    return lines


def _details(found: dict[str, Any]) -> list[str]:
    if "parts" not in found:
        return []
    abstained = found["abstained"]
    lines = [
        "",
        f"Abstained from {abstained['share']:.1%}: accuracy {abstained['accuracy_of_kept']} of what was kept, "
        f"{abstained['accuracy_of_abstained']} of the rest. The encoder was skipped for {found['encoder_skipped']:.1%}. Weighted F1 under "
        f"the paper's distribution of classes (Table II): {found['reweighted_to_paper']:.3f}.",
        "",
        "| part | weighted F1 | macro F1 | calibration error |",
        "|---|---|---|---|",
    ]
    for name, values in found["parts"].items():
        score = _interval(values, "weighted_f1")
        lines.append(f"| {_PARTS.get(name, name)} | {score} | {values['macro_f1']:.3f} | {values['expected_calibration_error']:.3f} |")
    return lines


def _interval(found: dict[str, Any], name: str) -> str:
    return f"{found[name]:.3f} [{found[f'{name}_low']:.3f}, {found[f'{name}_high']:.3f}]"


if __name__ == "__main__":
    sys.stdout.write(card_page())
