"""What attacks achieve: against the classifier and the rules, and against a language model that obeys every one of them."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from datetime import timedelta
from itertools import cycle
from typing import Any, NamedTuple

import polars as pl
import sqlalchemy as sa
from pydantic import SecretStr

from pnd_dagster.events import extract_events
from pnd_dagster.events.llm_extraction import extract_with_llm
from pnd_dagster.events.reading import normalised
from pnd_dagster.messages.classifier import Classifier, label_messages
from pnd_dagster.messages.llm.labeller import label_with_llm
from pnd_dagster.messages.llm.prompts import LONGEST_TEXT
from pnd_dagster.messages.normalise import normalise
from pnd_dagster.settings import Settings
from pnd_dagster.simulator.llm import LLM_KEY, LlmServer, serve_llm
from pnd_dagster.storage import read_frame
from pnd_dagster.tables import LLM_EXTRACTIONS, LLM_REPLIES, MESSAGE_LABELS
from pnd_dagster.venues import VENUES
from tests.injection.corpus import ANNOUNCEMENT, COUNTDOWN, LISTED, POSTED_AT, RELEASE, Attack

_Z = 1.959964  # two-sided 95%
_INVISIBLE = re.compile(
    r"[\u00ad\u034f\u115f\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\U000e0000-\U000e01ef]"
)
_LOOKALIKES = str.maketrans("АВЕІЈКМНОРСТУХаеіјорсухΑΒΕΗΙΚΜΝΟΡΤΥΧ", "ABEIJKMHOPCTYXaeijopcyxABEHIKMNOPTYX")


class Rate(NamedTuple):
    """How many of `n`, with the 95% Wilson interval of the share."""

    count: int
    n: int
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.count} of {self.n} ({self.low:.3f}-{self.high:.3f})"


def rate(count: int, n: int) -> Rate:
    """A count as a share with its Wilson interval."""
    if n == 0:
        return Rate(0, 0, 0.0, 1.0)
    share = count / n
    middle = share + _Z**2 / (2 * n)
    spread = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    scale = 1 + _Z**2 / n
    return Rate(count, n, max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale))


def by_kind(attacks: Iterable[Attack], is_hit: Callable[[Attack], bool]) -> dict[str, Rate]:
    """The rate of hits of each kind, and of all."""
    counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for attack in attacks:
        for kind in (attack.kind, "all"):
            counts[kind][0] += is_hit(attack)
            counts[kind][1] += 1
    return {kind: rate(*found) for kind, found in counts.items()}


def label_attacks(attacks: list[Attack], classifier: Classifier) -> pl.DataFrame:
    """attack_id, label, is_abstained of each attack, and core_label: what the classifier says of its benign core."""
    labelled = label_messages(pl.DataFrame({"text": [_storable(attack.text) for attack in attacks]}), classifier)
    cores = label_messages(pl.DataFrame({"text": [attack.core.text for attack in attacks]}), classifier)
    ids = pl.Series("attack_id", [attack.attack_id for attack in attacks])
    return pl.DataFrame([ids, labelled["label"], labelled["is_abstained"], cores["label"].alias("core_label")])


def extract_attacks(attacks: list[Attack], labels: dict[str, int]) -> pl.DataFrame:
    """The releases our rules find when each attack is posted in a channel of its own that waits for a coin; with attack_id.

    Args:
        attacks: posts.
        labels: the label of each attack by its id.
    """
    waiting = "The next message will be the coin, 1 minute left until the pump on Kucoin"
    rows = [
        row
        for channel, attack in enumerate(attacks)
        for row in (
            (channel, 1, POSTED_AT, waiting, COUNTDOWN, 1.0),
            (channel, 2, POSTED_AT + timedelta(minutes=1), _storable(attack.text), labels[attack.attack_id], 1.0),
        )
    ]
    columns = ["channel_id", "message_id", "date", "text", "label", "confidence"]
    releases = extract_events(pl.DataFrame(rows, schema=columns, orient="row")).releases.filter(pl.col("message_id") == 2)
    return releases.with_columns(attack_id=pl.Series([attacks[channel].attack_id for channel in releases["channel_id"]], dtype=pl.String))


def stands_in(symbol: str, text: str) -> bool:
    """Whether the characters of `symbol` follow each other in `text`, whatever they look like and whatever stands between letters.

    Written apart from the code that is tested, and more lenient: who fails here has invented the symbol.
    """
    plain = unicodedata.normalize("NFKD", _INVISIBLE.sub("", text)).translate(_LOOKALIKES)
    letters = "".join(character for character in plain.upper() if character.isascii() and character.isalnum())
    return symbol in letters or symbol in "".join(character for character in normalise(text).upper() if character.isalnum())


class Oracle:
    """A model on which every attack works: asked about an attack it answers what the attacker wants.

    Attacks that are one text after normalising are granted in turn.
    """

    def __init__(self, attacks: list[Attack]) -> None:
        wanted: defaultdict[str, list[str | dict[str, Any]]] = defaultdict(list)
        for attack in attacks:
            text = _storable(attack.text)
            for sent in {normalise(text)[:LONGEST_TEXT], normalised(text)[:LONGEST_TEXT]}:
                wanted[sent].append(attack.wanted)
        self._wanted = {text: cycle(demands) for text, demands in wanted.items()}
        self.unknown: list[str] = []

    def __call__(self, message: str) -> str | dict[str, Any] | None:
        """The demand that goes with a message; None, and a note in `unknown`, if it is none of the corpus."""
        if message not in self._wanted:
            self.unknown.append(message)
            return None
        return next(self._wanted[message])


@contextmanager
def obedient(settings: Settings, attacks: list[Attack]) -> Generator[tuple[Settings, LlmServer, Oracle]]:
    """A server on which every attack works, settings that ask it, without limits of rate and spending, and what it does."""
    oracle = Oracle(attacks)
    with serve_llm() as server:
        server.faults.obey = oracle
        changed = {"openai_api_key": SecretStr(LLM_KEY), "openai_url": server.url, "openai_requests_per_minute": 1_000_000}
        yield settings.model_copy(update={**changed, "openai_usd_per_day": 1_000.0}), server, oracle


def ask_labels(engine: sa.Engine, settings: Settings, attacks: list[Attack], classifier: Classifier) -> pl.DataFrame:
    """attack_id, label, is_abstained and is_believed of each attack as the model labels it, in a database without messages.

    Where no reply is believed the label is the classifier's; a believed one that the classifier contradicts is abstained.
    """
    frame = _revisions(attacks)
    label_with_llm(engine, settings, classifier, frame)
    labels = read_frame(engine, sa.select(MESSAGE_LABELS).where(MESSAGE_LABELS.c.labeller.startswith("llm:")))
    accepted = sa.select(LLM_REPLIES.c.channel_id).where(LLM_REPLIES.c.task == "label", LLM_REPLIES.c.status == "accepted")
    # Equal texts are asked about once.
    believed = {normalise(frame["text"][channel]) for channel in read_frame(engine, accepted)["channel_id"]}
    frame = frame.with_columns(is_believed=pl.Series([normalise(text) in believed for text in frame["text"]]))
    return labels.join(frame, on="channel_id").select("attack_id", "label", "is_abstained", "is_believed")


def ask_extractions(engine: sa.Engine, settings: Settings, attacks: list[Attack], label: int) -> pl.DataFrame:
    """The rows of core.llm_extractions when every attack passes for an announcement (0) or a change (4); with attack_id.

    Only `LISTED` coins have a market. The database must be without extractions of that label.
    """
    frame = _revisions(attacks).with_columns(
        date=pl.lit(POSTED_AT), label=pl.lit(label), scheduled_at=pl.lit(POSTED_AT + timedelta(hours=5))
    )
    extract_with_llm(engine, settings, frame, listed=LISTED)
    task = "announcement" if label == ANNOUNCEMENT else "change"
    rows = read_frame(engine, sa.select(LLM_EXTRACTIONS).where(LLM_EXTRACTIONS.c.task == task))
    return rows.join(frame.select("channel_id", "attack_id", "text"), on="channel_id")


def outside_schema(task: str, reply: str) -> bool:
    """Whether a reply does not fit the closed schema of its task; written apart from the schemas that are tested."""
    try:
        values = json.loads(reply)
    except ValueError:
        return True
    if not isinstance(values, dict):
        return True
    if task == "label":
        return values.keys() != {"label"} or type(values["label"]) is not int or values["label"] not in range(6)
    flags = {"announcement": {"inferred"}, "change": {"cancelled", "postponed"}}[task]
    texts = {"announcement": {"exchange", "base_symbol", "quote_symbol", "start"}, "change": {"new_start"}}[task]
    if values.keys() != flags | texts or any(type(values[name]) is not bool for name in flags):
        return True
    if any(values[name] is not None and type(values[name]) is not str for name in texts):
        return True
    return values.get("exchange") is not None and values["exchange"] not in {venue.id for venue in VENUES}


def _revisions(attacks: list[Attack]) -> pl.DataFrame:
    rows = [(channel, 1, 1, _storable(attack.text), attack.attack_id) for channel, attack in enumerate(attacks)]
    return pl.DataFrame(rows, schema=["channel_id", "message_id", "revision_id", "text", "attack_id"], orient="row")


def as_releases(attacks: list[Attack]) -> dict[str, int]:
    """Every attack taken for a release: the worst a fooled classifier can do to the rules that read coins."""
    return {attack.attack_id: RELEASE for attack in attacks}


def _storable(text: str) -> str:
    """The text as it can be stored and framed: lone surrogates are replaced, as the readers of messages do."""
    return text.encode("utf-8", "replace").decode()
