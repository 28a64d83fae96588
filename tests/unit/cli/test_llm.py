"""`pnd llm-label` against a loopback language model."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import polars as pl
import pytest
import sqlalchemy as sa
import typer
from pydantic import SecretStr
from typer.testing import CliRunner

from pnd_dagster.cli import llm as command
from pnd_dagster.errors import SettingError
from pnd_dagster.messages.classifier import load_classifier
from pnd_dagster.messages.llm.budget import SpendLimitError
from pnd_dagster.settings import Settings
from pnd_dagster.simulator.llm import LLM_KEY, serve_llm
from pnd_dagster.storage import count_rows, upsert
from pnd_dagster.tables import LLM_EXTRACTIONS, MESSAGE_LABELS, TELEGRAM_MESSAGES

app = typer.Typer()
app.command()(command.llm_label)


@pytest.fixture
def stored(engine: sa.Engine) -> None:
    """A message that the classifier abstained from and an announcement that it was sure of."""
    classifier = load_classifier()
    at = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
    keys = pl.DataFrame({"channel_id": [-100, -100], "message_id": [1, 2], "revision_id": [1, 2]})
    texts = ["Only 10 minutes left until the pump", "Next pump: 5 March 2024, 17:00 GMT. Exchange: Kucoin"]
    messages = keys.with_columns(text=pl.Series(texts), occurred_at=pl.lit(at), ingested_at=pl.lit(at), is_deleted=pl.lit(False))
    upsert(engine, TELEGRAM_MESSAGES, messages.with_columns(kind=pl.lit("message"), source=pl.lit("simulated")))
    labels = keys.with_columns(label=pl.Series([5, 0]), is_abstained=pl.Series([True, False]), labelled_at=pl.lit(at))
    upsert(
        engine,
        MESSAGE_LABELS,
        labels.with_columns(labeller=pl.lit(classifier.name), labeller_version=pl.lit(classifier.version)),
    )


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("options", [[], ["--batch"]])
def test_it_labels_and_reads_and_prints_what_it_took(
    engine: sa.Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    with serve_llm(batch_seconds=0.0) as llm:
        asking = settings.model_copy(update={"openai_url": llm.url, "openai_api_key": SecretStr(LLM_KEY)})
        monkeypatch.setattr(command, "settings", lambda: asking)
        result = CliRunner().invoke(app, ["--extract", "--json", *options], catch_exceptions=False)
    printed = json.loads(result.stdout)
    assert (printed["labelled"]["accepted"], printed["read"]["accepted"]) == (1, 1)
    assert printed["labelled"]["cost_usd"] > 0
    assert count_rows(engine, MESSAGE_LABELS) == 3
    assert count_rows(engine, LLM_EXTRACTIONS) == 1


def test_a_missing_key_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "settings", lambda: settings)
    with pytest.raises(SettingError, match="PND_OPENAI_API_KEY"):
        CliRunner().invoke(app, [], catch_exceptions=False)


@pytest.mark.usefixtures("stored")
def test_what_was_done_is_printed_when_the_limit_stops_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_llm() as llm:
        asking = settings.model_copy(update={"openai_url": llm.url, "openai_api_key": SecretStr(LLM_KEY), "openai_usd_per_day": 0.005})
        monkeypatch.setattr(command, "settings", lambda: asking)
        result = CliRunner().invoke(app, ["--extract", "--json"])
    assert isinstance(result.exception, SpendLimitError)
    assert json.loads(result.stdout)["labelled"]["accepted"] == 1
