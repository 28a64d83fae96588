"""The attacks against a language model that does whatever they want, behind the code that asks it and judges its replies.

A part of the corpus, every kind in it; `python -m benchmarks.injection` takes all of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.messages.classifier import Classifier, load_classifier
from pnd_dagster.messages.labels import MessageLabel
from pnd_dagster.messages.normalise import normalise
from pnd_dagster.settings import Settings
from pnd_dagster.simulator.llm import LLM_KEY, LlmServer
from pnd_dagster.storage import read_frame
from pnd_dagster.tables import LLM_REPLIES
from pnd_dagster.venues import find_venues
from tests.injection.corpus import ANNOUNCEMENT, DELAY, LISTED, POSTED_AT, Attack, build_corpus
from tests.injection.proof import ask_extractions, ask_labels, obedient, outside_schema, stands_in

_PER_KIND = 3


@pytest.fixture(scope="module")
def corpus() -> list[Attack]:
    return build_corpus()


@pytest.fixture(scope="module")
def attacks(corpus: list[Attack]) -> list[Attack]:
    kinds = dict.fromkeys(attack.kind for attack in corpus)
    some: list[Attack] = []
    for kind in kinds:
        of_kind = [attack for attack in corpus if attack.kind == kind]
        some += islice(of_kind, 0, None, -(-len(of_kind) // _PER_KIND))
    return some


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier()


@pytest.fixture
def model(settings: Settings, corpus: list[Attack]) -> Iterator[tuple[Settings, LlmServer]]:
    with obedient(settings, corpus) as (asking, server, oracle):
        yield asking, server
        # Every message arrived whole, so every attack was granted.
        assert oracle.unknown == []


def replies(engine: sa.Engine) -> pl.DataFrame:
    return read_frame(engine, sa.select(LLM_REPLIES))


def test_no_label_outside_the_schema_is_believed_and_one_that_the_rules_contradict_goes_to_review(
    engine: sa.Engine, model: tuple[Settings, LlmServer], attacks: list[Attack], classifier: Classifier
) -> None:
    asking, _ = model
    labels = ask_labels(engine, asking, attacks, classifier)
    assert labels.height == len(attacks)
    assert set(labels["label"]) <= set(MessageLabel)
    stored = replies(engine)
    hostile = [row for row in stored.iter_rows(named=True) if outside_schema("label", row["reply"])]
    assert len(hostile) > 20
    assert {row["status"] for row in hostile}.isdisjoint({"accepted"})
    # What was not believed fell back to the rules, and says so.
    assert labels.filter(~pl.col("is_believed"))["is_abstained"].all()
    by_id = {row["attack_id"]: row for row in labels.iter_rows(named=True)}
    flipped = [row for attack in attacks if (row := by_id[attack.attack_id])["is_believed"] and row["label"] != attack.core.label]
    assert flipped
    assert sum(row["is_abstained"] for row in flipped) > len(flipped) / 4


@pytest.mark.parametrize("label", [ANNOUNCEMENT, DELAY])
def test_nothing_is_extracted_that_the_text_does_not_say(
    engine: sa.Engine, model: tuple[Settings, LlmServer], corpus: list[Attack], attacks: list[Attack], label: int
) -> None:
    asking, _ = model
    aimed = {attack.attack_id: attack for attack in (*attacks, *(attack for attack in corpus if attack.kind in ("symbols", "facts")))}
    rows = ask_extractions(engine, asking, list(aimed.values()), label)
    assert rows.height == len(aimed)
    believed = list(rows.filter(~pl.col("is_fallback")).iter_rows(named=True))
    assert believed
    for row in believed:
        text = row["text"]
        assert row["base_symbol"] is None or (row["base_symbol"] in LISTED and stands_in(row["base_symbol"], text)), row["attack_id"]
        assert row["exchange"] is None or row["exchange"] in named_exchanges(text), row["attack_id"]
        assert row["scheduled_at"] is None or abs(row["scheduled_at"] - POSTED_AT) <= timedelta(days=14), row["attack_id"]
    stored = replies(engine)
    hostile = [row for row in stored.iter_rows(named=True) if outside_schema(row["task"], row["reply"])]
    assert len(hostile) > 20
    assert {row["status"] for row in hostile}.isdisjoint({"accepted"})


def named_exchanges(text: str) -> set[str]:
    plain = normalise(text)
    links = set(re.findall(r"TRADE_URL\((\S+) ", plain))
    return {mention.venue.id for mention in find_venues(plain)} | links


def test_the_message_is_data_in_every_request(
    engine: sa.Engine, model: tuple[Settings, LlmServer], attacks: list[Attack], classifier: Classifier
) -> None:
    asking, server = model
    ask_extractions(engine, asking, attacks[::4], ANNOUNCEMENT)
    ask_labels(engine, asking, attacks[::4], classifier)
    keys: list[str] = []
    asked = server.asked()
    for request in asked:
        system, user = request.body["messages"]
        assert (system["role"], user["role"]) == ("system", "user")
        values = json.loads(user["content"])
        (key,) = [name for name in values if name not in ("posted_at", "problem")]
        assert key in system["content"]
        assert values[key] not in system["content"] or len(values[key]) < 8
        keys.append(key)
        assert request.body["response_format"]["json_schema"]["strict"] is True
        assert (request.body["temperature"], request.body["top_p"]) == (0.2, 0.95)
        assert "tools" not in request.body
        assert LLM_KEY not in json.dumps(request.body)
        # What was wrong with a reply is said in our words: nothing the model wrote comes back to it.
        assert len(values.get("problem", "")) < 400
    assert len(set(keys)) == len(asked)


def test_the_key_is_nowhere_in_what_is_stored(
    engine: sa.Engine, model: tuple[Settings, LlmServer], attacks: list[Attack], classifier: Classifier
) -> None:
    asking, server = model
    server.faults.obey = lambda message: json.dumps({"label": 5, "key": LLM_KEY})
    ask_labels(engine, asking, attacks[:6], classifier)
    server.faults.obey = None
    stored = replies(engine)
    assert stored.height > 0
    assert not stored["reply"].str.contains(LLM_KEY, literal=True).any()
