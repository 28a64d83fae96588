"""`pnd train`, `pnd evaluate`: fit the message classifier, and measure how it is fitted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import polars as pl
import typer

from pnd_dagster.cli.console import OUT, print_json, print_table, progress, say
from pnd_dagster.errors import SettingError
from pnd_dagster.settings import settings

if TYPE_CHECKING:
    from pnd_dagster.messages.encoder_training import EncoderOptions

DataOption = Annotated[Path, typer.Option(help="Folder with author_labels.parquet and the other label files.")]
MethodOption = Annotated[str, typer.Option(help="full (upper layers), lora (adapters), or linear (no encoder; a minute, no torch).")]
EpochsOption = Annotated[int, typer.Option(min=1, help="Epochs at most; the best one on the validation channels is kept.")]
SeedOption = Annotated[int, typer.Option(help="Of everything that is drawn.")]
EncoderOption = Annotated[
    str | None, typer.Option(help="Hugging Face encoder, by name or folder. Default: PND_ENCODER, else offline MiniLM.")
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print a JSON document on standard output.")]


def train(
    data: DataOption,
    output: Annotated[Path, typer.Option(help="Folder the model is written to.")],
    method: MethodOption = "full",
    epochs: EpochsOption = 2,
    seed: SeedOption = 0,
    encoder: EncoderOption = None,
    promote: Annotated[bool, typer.Option("--promote", help="Use it from now on if it is not worse on the frozen test channels.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Train the message classifier; measures it on channels it never sees."""
    from pnd_dagster.messages.classifier import chosen_model_dir
    from pnd_dagster.messages.dataset import read_examples
    from pnd_dagster.messages.promotion import judge, train_model
    from pnd_dagster.messages.promotion import promote as put_in_use

    options = _options(method, epochs, seed, encoder)
    with progress() as bar:
        task = bar.add_task("reading labels", total=None)
        examples = read_examples(data)
        report = train_model(
            examples, options, output, lambda done, all_, what: bar.update(task, completed=done, total=all_, description=what)
        )
    result: dict[str, Any] = {"version": report.version, "frozen_test": report.figures}
    if promote:
        verdict = judge(output, chosen_model_dir(settings()), examples)
        if verdict.is_promoted:
            put_in_use(output, settings().promoted_model_dir)
        result |= {"is_promoted": verdict.is_promoted, "reason": verdict.reason}
        say(f"{'promoted' if verdict.is_promoted else 'not promoted'}: {verdict.reason}")
        if verdict.is_promoted and settings().model_dir is not None:
            say("PND_MODEL_DIR is set: that model stays in use until the setting is emptied")
    if as_json:
        print_json(result)
    elif report.figures is not None:
        print_table(figures_table({"frozen test channels": report.figures}), f"Model {report.version}")
        print_table(classes_table(report.figures), "By class")
    say(f"model {report.version} written to {output}")


def evaluate(
    data: DataOption,
    work: Annotated[Path, typer.Option(help="Folder that keeps the predictions of each fold, so that a stopped run goes on.")],
    protocol: Annotated[list[str] | None, typer.Option(help="One of the protocols; several times for several. Default: all.")] = None,
    fold: Annotated[
        list[int] | None, typer.Option(min=0, max=4, help="Only these folds, from 0, so that several processes can share the work.")
    ] = None,
    method: MethodOption = "full",
    epochs: EpochsOption = 2,
    seed: SeedOption = 0,
    encoder: EncoderOption = None,
    card: Annotated[Path | None, typer.Option(help="Folder of a model whose card gets the figures.")] = None,
    context: Annotated[bool, typer.Option("--context", help="Also what the channel's earlier messages add, for channel_disjoint.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Measure how the classifier is trained, by the protocols of docs/quality.md; hours on a CPU, minutes for --method linear."""
    from pnd_dagster.messages.context import measure_context
    from pnd_dagster.messages.dataset import read_examples
    from pnd_dagster.messages.model_files import read_card, write_card
    from pnd_dagster.messages.protocols import PROTOCOLS, run_protocol, shipped_predictions

    options = _options(method, epochs, seed, encoder)
    names = protocol or list(PROTOCOLS)
    if unknown := [name for name in names if name not in PROTOCOLS]:
        raise SettingError(f"--protocol {unknown[0]}: expected {', '.join(PROTOCOLS)}")
    whole = None if card is None else read_card(card)
    results: dict[str, Any] = {}
    with progress() as bar:
        task = bar.add_task("reading labels", total=None)
        examples = read_examples(data)
        for name in names:
            found = run_protocol(
                name,
                examples,
                options,
                work,
                folds=fold,
                on_progress=lambda done, all_, what: bar.update(task, completed=done, total=all_, description=what),
            )
            if found is not None:
                results[name] = {"protocol": PROTOCOLS[name]} | found
            else:
                say(f"{name}: other folds are not done yet")
        first = shipped_predictions("channel_disjoint", examples, options, work) if context and "channel_disjoint" in results else None
        if first is not None:
            bar.update(task, description="the channel's context")
            results["channel_disjoint"]["with_context"] = measure_context(examples, data / "telegram_messages.parquet", first)
    if card is not None and whole is not None:
        write_card(card, whole | {"results": whole.get("results", {}) | results})
    if as_json:
        print_json(results)
        return
    if results:
        print_table(figures_table(results), "Figures, with 95% intervals (bootstrap over channels)")
    for name, found in results.items():
        OUT.print(PROTOCOLS[name], markup=False)
        print_table(classes_table(found), name)
        print_table(parts_table(found), f"{name}: the model's parts")


def figures_table(results: dict[str, Any]) -> pl.DataFrame:
    """One row per protocol: n, channels, F1 scores with their intervals, calibration error."""
    return pl.DataFrame(
        [
            {
                "protocol": name,
                "n": found["n"],
                "channels": found["channels"],
                "weighted F1": _interval(found, "weighted_f1"),
                "macro F1": _interval(found, "macro_f1"),
                "calibration error": f"{found['expected_calibration_error']:.3f}",
            }
            for name, found in results.items()
        ]
    )


def classes_table(found: dict[str, Any]) -> pl.DataFrame:
    """One row per class: n, recall, precision, F1."""
    return pl.DataFrame([{"class": name} | values for name, values in found["per_class"].items()])


def parts_table(found: dict[str, Any]) -> pl.DataFrame:
    """One row per part of the model: F1 scores and calibration error."""
    return pl.DataFrame(
        [
            {
                "part": name,
                "weighted F1": _interval(values, "weighted_f1"),
                "macro F1": f"{values['macro_f1']:.3f}",
                "calibration error": f"{values['expected_calibration_error']:.3f}",
            }
            for name, values in found["parts"].items()
        ]
    )


def _interval(found: dict[str, Any], name: str) -> str:
    return f"{found[name]:.3f} [{found[f'{name}_low']:.3f}, {found[f'{name}_high']:.3f}]"


def _options(method: str, epochs: int, seed: int, encoder: str | None) -> EncoderOptions | None:
    from pnd_dagster.messages.encoder_training import encoder_options

    return encoder_options(method, encoder=encoder or settings().encoder, epochs=epochs, seed=seed)
