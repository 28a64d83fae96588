"""The packaged model labels made-up messages as a reader would, and frames are labelled whole, once per text, in order."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from pnd_dagster.errors import SchemaError, SourceError
from pnd_dagster.messages.classifier import Classifier, chosen_model_dir, label_messages, load_classifier
from pnd_dagster.messages.features import hash_features
from pnd_dagster.messages.labels import MessageLabel
from pnd_dagster.messages.model_files import PACKAGED_DIR
from pnd_dagster.messages.normalise import normalise_many
from pnd_dagster.settings import load_settings

L = MessageLabel


@dataclass
class Recorder:
    """A classifier that calls everything a countdown and keeps what it was asked."""

    name: str = "recorder"
    version: str = "1"
    abstain_below: float = 0.6
    asked: list[str] = field(default_factory=list)

    def predict_probabilities(self, normalised: Sequence[str]) -> NDArray[np.float32]:
        self.asked += normalised
        return np.tile(np.array([0.1, 0.5, 0.1, 0.1, 0.1, 0.1], dtype=np.float32), (len(normalised), 1))


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier()


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("📣 Next pump: Saturday 12 March at 17:00 GMT on Kucoin, pairing USDT. Everyone is welcome!", L.PUMP_ANNOUNCEMENT),
        ("Date: Sunday 4 April\nTime: 6 pm GMT\nExchange: Hotbit\nPair: BTC\nThis pump will be our biggest yet", L.PUMP_ANNOUNCEMENT),
        ("⏰ 30 minutes left until the pump on Binance! Be ready", L.COUNTDOWN),
        ("5 minutes left. Next post will be the coin name", L.COUNTDOWN),
        ("The coin is: ABCX\nhttps://www.binance.com/en/trade/ABCX_BTC", L.TARGET_COIN_RELEASE),
        ("$ABCX", L.TARGET_COIN_RELEASE),
        ("The coin we have picked to pump today is #ABCX", L.TARGET_COIN_RELEASE),
        ("Pump results: we went from 120 to 470 satoshi, a peak of 290% and 60 BTC of volume! Congratulations to all", L.PUMP_RESULTS),
        ("Sorry guys, the pump is postponed to tomorrow because of bad market conditions", L.DELAY_CANCELLATION),
        ("Today's pump has been cancelled, we will announce a new date soon", L.DELAY_CANCELLATION),
        ("Good morning everybody, have a nice day", L.NOISE),
        ("#ABCX/USDT LONG\nEntry zone: 1.20 - 1.25\nTargets: 1.30, 1.40, 1.55\nStop loss: 1.10\nLeverage 10x", L.NOISE),
        ("Bitcoin fell below its support as regulators spoke about stablecoins", L.NOISE),
    ],
)
def test_the_packaged_model_reads_plain_cases(classifier: Classifier, text: str, label: MessageLabel) -> None:
    probabilities = classifier.predict_probabilities(normalise_many([text]))
    assert MessageLabel(int(probabilities.argmax())) == label


def test_probabilities_sum_to_one_and_do_not_depend_on_the_batch(classifier: Classifier) -> None:
    texts = ["", "a", "The coin is: ABC", "5 minutes left", "x" * 100_000, "\ud800", *(f"message number {n} of many" for n in range(600))]
    together = classifier.predict_probabilities(texts)
    assert together.shape == (len(texts), 6)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)
    alone = np.concatenate([classifier.predict_probabilities([text]) for text in texts[:20]])
    np.testing.assert_allclose(together[:20], alone, atol=1e-4)
    assert classifier.predict_probabilities([]).shape == (0, 6)


def test_features_of_no_text_and_of_an_empty_text_are_none_or_few() -> None:
    assert hash_features([]).rows.tolist() == []
    assert set(hash_features(["", "a b"]).rows.tolist()) == {0, 1}


def test_a_frame_keeps_its_rows_columns_and_order() -> None:
    frame = pl.DataFrame({"message_id": [3, 1, 2], "text": ["b", "a", "b"]})
    labelled = label_messages(frame, Recorder())
    assert labelled.select("message_id", "text").equals(frame)
    assert labelled.schema["label"] == pl.Int16
    assert labelled.schema["confidence"] == pl.Float32
    assert labelled["label"].to_list() == [1, 1, 1]
    assert labelled["model_version"].unique().to_list() == ["recorder-1"]


def test_empty_and_missing_texts_are_noise_for_certain() -> None:
    labelled = label_messages(pl.DataFrame({"text": ["", None, " \n ", "\u200b", "word"]}), Recorder())
    assert labelled["label"].to_list() == [5, 5, 5, 5, 1]
    assert labelled["confidence"].to_list()[:4] == [1.0] * 4
    assert labelled["text"].to_list()[1] is None


def test_what_is_less_certain_than_the_threshold_is_abstained_and_an_empty_text_never() -> None:
    frame = pl.DataFrame({"text": ["word", "", None]})
    assert label_messages(frame, Recorder())["is_abstained"].to_list() == [True, False, False]
    assert label_messages(frame, Recorder(abstain_below=0.5))["is_abstained"].to_list() == [False] * 3
    assert label_messages(frame.with_columns(is_abstained=pl.lit("old")), Recorder()).schema["is_abstained"] == pl.Boolean


def test_texts_that_normalise_alike_are_asked_once() -> None:
    recorder = Recorder()
    label_messages(pl.DataFrame({"text": ["B I G  pump", "BIG pump", "𝐁𝐈𝐆 pump", "BIG pump"]}), recorder)
    assert recorder.asked == ["BIG pump"]


def test_an_empty_frame_and_a_frame_of_nulls_are_labelled() -> None:
    assert label_messages(pl.DataFrame({"text": []}, schema={"text": pl.String}), Recorder()).columns == [
        "text",
        "label",
        "confidence",
        "is_abstained",
        "model_version",
    ]
    assert label_messages(pl.DataFrame({"text": [None, None]}), Recorder())["label"].to_list() == [5, 5]


def test_progress_ends_at_the_number_of_distinct_texts() -> None:
    seen: list[tuple[int, int]] = []
    label_messages(pl.DataFrame({"text": ["a", "b", "a"]}), Recorder(), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (2, 2)


def test_a_missing_or_wrong_text_column_is_named() -> None:
    with pytest.raises(SchemaError, match="missing column text"):
        label_messages(pl.DataFrame({"message": ["a"]}), Recorder())
    with pytest.raises(SchemaError, match="column text is Int64"):
        label_messages(pl.DataFrame({"text": [1]}), Recorder())


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(PACKAGED_DIR, folder)
    weights = folder / "linear.safetensors"
    blob = bytearray(weights.read_bytes())
    blob[-1] ^= 1
    weights.write_bytes(blob)
    with pytest.raises(SourceError, match=r"checksum .* is not the one in model\.json"):
        load_classifier(folder)


def test_a_missing_card_or_other_features_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"model\.json"):
        load_classifier(tmp_path)
    folder = tmp_path / "model"
    shutil.copytree(PACKAGED_DIR, folder)
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(card | {"features_version": -1}))
    with pytest.raises(SourceError, match="features version -1"):
        load_classifier(folder)


def test_the_package_ships_less_than_25_mb_and_no_pickle() -> None:
    assert sum(path.stat().st_size for path in PACKAGED_DIR.iterdir()) < 25_000_000
    assert {path.suffix for path in PACKAGED_DIR.iterdir()} <= {".safetensors", ".onnx", ".json", ".md"}


def test_the_model_in_use_is_the_one_named_else_the_one_promoted_else_the_one_that_ships(tmp_path: Path) -> None:
    plain = load_settings(home=tmp_path)
    assert chosen_model_dir(plain) == PACKAGED_DIR
    shutil.copytree(PACKAGED_DIR, plain.promoted_model_dir)
    assert chosen_model_dir(plain) == plain.promoted_model_dir == tmp_path / "models/promoted"
    assert chosen_model_dir(load_settings(home=tmp_path, model_dir=tmp_path / "other")) == tmp_path / "other"


def test_labelling_imports_no_training_library() -> None:
    code = (
        "import sys; from pnd_dagster.messages.classifier import load_classifier as load;"
        "load().predict_probabilities(['the coin is ABC']);"
        "print([m for m in ('sklearn', 'scipy', 'torch', 'transformers', 'dagster') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
