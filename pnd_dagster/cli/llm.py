"""`pnd llm-label`: a language model on the messages that the classifier was too unsure of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import polars as pl
import typer

from pnd_dagster.cli.console import print_json, print_table, progress, say
from pnd_dagster.cli.messages import JsonFlag
from pnd_dagster.errors import PndError, SettingError
from pnd_dagster.settings import settings

if TYPE_CHECKING:
    from pnd_dagster.messages.llm.asking import Tally


def llm_label(
    limit: Annotated[int | None, typer.Option(min=1, help="Ask about so many messages at most; a batch holds so many.")] = None,
    batch: Annotated[
        bool, typer.Option("--batch", help="By batch: half the price, within a day. Cut off, the next call collects it.")
    ] = False,
    extract: Annotated[bool, typer.Option("--extract", help="Also read announcements, postponements and cancellations.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Ask the language model of PND_OPENAI_MODEL for labels where the classifier abstained; every reply is kept with its cost."""
    if settings().openai_api_key is None:
        raise SettingError("PND_OPENAI_API_KEY: set your OpenAI API key; without one no language model is asked, `pnd review` does without")
    from pnd_dagster.events import llm_extraction
    from pnd_dagster.messages.classifier import chosen_model_dir, load_classifier
    from pnd_dagster.messages.llm import labeller
    from pnd_dagster.storage import connect

    engine, classifier = connect(settings()), load_classifier(chosen_model_dir(settings()))
    done: dict[str, Tally] = {}
    try:
        with progress() as bar:

            def follow(what: str) -> Callable[[Tally], None]:
                task = bar.add_task(what, total=None)

                def advance(tally: Tally) -> None:
                    done[what] = tally
                    bar.update(task, completed=tally.accepted + tally.fallen_back + tally.unanswered)

                return advance

            if batch:
                labeller.label_abstained_by_batch(engine, settings(), classifier, limit=limit, on_progress=follow("labelled"), on_wait=say)
            else:
                labeller.label_abstained(engine, settings(), classifier, limit=limit, on_progress=follow("labelled"))
            if extract and batch:
                llm_extraction.extract_labelled_by_batch(
                    engine, settings(), classifier, limit=limit, on_progress=follow("read"), on_wait=say
                )
            elif extract:
                llm_extraction.extract_labelled(engine, settings(), classifier, limit=limit, on_progress=follow("read"))
    except PndError:
        _show(done, as_json=as_json)
        raise
    _show(done, as_json=as_json)
    if any(tally.unanswered for tally in done.values()):
        say("unanswered messages are asked about again by the next call; raw.llm_replies says why")


def _show(done: dict[str, Tally], *, as_json: bool) -> None:
    if as_json:
        print_json({what: tally._asdict() for what, tally in done.items()})
    elif done:
        print_table(
            pl.DataFrame([{"messages": what, **tally._asdict()} for what, tally in done.items()]), f"Asked {settings().openai_model}"
        )
    else:
        say("nothing to ask about: the classifier abstained from no message that the model has not labelled")
