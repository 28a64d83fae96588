"""The model that ships: what is plainly noise skips the encoder, and a folder that is not whole is refused in one line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pnd_dagster.errors import SourceError
from pnd_dagster.messages.blend import Blend, softmax
from pnd_dagster.messages.features import FEATURES_VERSION
from pnd_dagster.messages.linear import LinearModel, fit_linear, linear_from_bytes, linear_to_bytes
from pnd_dagster.messages.model_files import read_card, save_model
from pnd_dagster.messages.pumpbert import ENCODER_FILE, LINEAR_FILE, TOKENIZER_FILE, PumpBert, load_pumpbert

TEXTS = [
    "good morning friends",
    "the coin is ABCD",
    "5 minutes left",
    "have a nice day friends",
    "the coin is QRST",
    "9 minutes left now",
] * 4
LABELS = np.array([5, 2, 1, 5, 2, 1] * 4)
CARD: dict[str, Any] = {
    "features_version": FEATURES_VERSION,
    "blend": {"weights": [0.5, 0.5], "bias": [0.0] * 6},
    "skip_noise_above": 0.6,
    "abstain_below": 0.7,
}


@pytest.fixture(scope="module")
def linear() -> LinearModel:
    return fit_linear(TEXTS, LABELS, np.ones(len(TEXTS)))


class Half:
    """An encoder that calls everything a result, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def logits(self, normalised: Sequence[str]) -> NDArray[np.float32]:
        self.asked += normalised
        return np.tile(np.array([0, 0, 0, 90, 0, 0], np.float32), (len(normalised), 1))


def test_the_linear_half_tells_its_classes_apart_and_gives_unseen_ones_no_chance(linear: LinearModel) -> None:
    probabilities = softmax(linear.logits(["3 minutes left", "the coin is XYZ", "nice morning friends"]))
    assert probabilities.argmax(axis=1).tolist() == [1, 2, 5]
    assert probabilities[:, [0, 3, 4]].max() < 1e-6


def test_the_linear_half_of_two_classes_is_fitted_and_of_one_refused() -> None:
    model = fit_linear(TEXTS[:2] * 5, np.tile(LABELS[:2], 5), np.ones(10))
    assert softmax(model.logits(TEXTS[:2])).argmax(axis=1).tolist() == [5, 2]
    with pytest.raises(SourceError, match="at least two classes"):
        fit_linear(["a", "b"], np.array([1, 1]), np.ones(2))


def test_the_linear_half_survives_its_file_in_half_precision(linear: LinearModel) -> None:
    again = linear_from_bytes(linear_to_bytes(linear))
    np.testing.assert_allclose(again.logits(TEXTS), linear.logits(TEXTS), atol=0.02)
    assert linear.logits([]).shape == (0, 6)
    for garbage in (b"", b"\x00" * 40, b'{"a": 1}'):
        with pytest.raises(ValueError, match="no linear model"):
            linear_from_bytes(garbage)


def test_only_what_is_not_plainly_noise_is_asked_of_the_encoder(linear: LinearModel) -> None:
    encoder = Half()
    model = PumpBert(linear, encoder, Blend((0.5, 0.5), (0.0,) * 6), 0.6, 0.7, "1")  # type: ignore[arg-type]
    texts = ["good morning friends", "the coin is ABCD", "have a nice day friends", "5 minutes left"]
    probabilities = model.predict_probabilities(texts)
    assert encoder.asked == ["the coin is ABCD", "5 minutes left"]
    assert probabilities.argmax(axis=1).tolist() == [5, 3, 5, 3]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    everything = Half()
    dataclasses.replace(model, encoder=everything, skip_noise_above=1.0).predict_probabilities(texts)
    assert everything.asked == texts
    assert model.predict_probabilities([]).shape == (0, 6)


def test_a_model_without_an_encoder_is_saved_and_loaded(linear: LinearModel, tmp_path: Path) -> None:
    version = save_model(tmp_path / "model", {LINEAR_FILE: linear_to_bytes(linear)}, CARD)
    model = load_pumpbert(tmp_path / "model")
    assert (model.version, model.name, model.abstain_below, model.encoder) == (version, "pumpbert", 0.7, None)
    assert model.predict_probabilities(["the coin is XYZ"]).argmax() == 2


def test_the_version_changes_with_the_files_and_not_with_the_card(linear: LinearModel, tmp_path: Path) -> None:
    files = {LINEAR_FILE: linear_to_bytes(linear)}
    first = save_model(tmp_path / "a", files, CARD)
    assert save_model(tmp_path / "b", files, CARD | {"results": {}}) == first
    assert save_model(tmp_path / "c", files | {"other": b"1"}, CARD) != first


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"features_version": 0}, "trained on features version 0"),
        ({"blend": {"weights": [1.0], "bias": [0.0] * 6}}, "blend has another shape"),
        ({"blend": {"weights": [1.0, 1.0], "bias": [0.0] * 5}}, "blend has another shape"),
        ({"blend": None}, "not a model of this kind"),
        ({"abstain_below": "high"}, "not a model of this kind"),
        ({"sha256": {}}, "the card lists no files"),
        ({"sha256": ["linear.safetensors"]}, "the card lists no files"),
        ({"sha256": {"gone.onnx": "00"}}, "gone.onnx: cannot read the model"),
        ({"sha256": {"../../etc/passwd": "00"}}, "passwd: cannot read the model"),
    ],
)
def test_a_card_that_says_something_else_is_refused(linear: LinearModel, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    save_model(tmp_path / "model", {LINEAR_FILE: linear_to_bytes(linear)}, CARD)
    path = tmp_path / "model/model.json"
    path.write_text(json.dumps(read_card(tmp_path / "model") | change))
    with pytest.raises(SourceError, match=said) as raised:
        load_pumpbert(tmp_path / "model")
    assert "\n" not in str(raised.value)
    assert str(tmp_path / "model") in str(raised.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "\udcff"])
def test_a_card_that_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SourceError, match=r"model\.json"):
        load_pumpbert(tmp_path)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({LINEAR_FILE: b"no safetensors"}, "no linear model"),
        ({"other.bin": b"1"}, "linear.safetensors"),
        ({ENCODER_FILE: b"no onnx", TOKENIZER_FILE: b"{}"}, "no encoder"),
        ({ENCODER_FILE: b"no onnx"}, "tokenizer.json"),
        ({ENCODER_FILE: b"no onnx", TOKENIZER_FILE: b"\xff"}, "not a model of this kind"),
    ],
)
def test_files_that_are_something_else_are_refused(linear: LinearModel, tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    whole = {} if "other.bin" in files else {LINEAR_FILE: linear_to_bytes(linear)}
    layout = {"token_layout": {"first": 1, "last": 2, "padding": 0, "most": 128}}
    save_model(tmp_path / "model", whole | files, CARD | layout)
    with pytest.raises(SourceError, match=said) as raised:
        load_pumpbert(tmp_path / "model")
    assert "\n" not in str(raised.value)


def test_one_changed_byte_is_noticed(linear: LinearModel, tmp_path: Path) -> None:
    save_model(tmp_path / "model", {LINEAR_FILE: linear_to_bytes(linear)}, CARD)
    path = tmp_path / "model" / LINEAR_FILE
    blob = bytearray(path.read_bytes())
    blob[-1] ^= 1
    path.write_bytes(blob)
    with pytest.raises(SourceError, match=r"linear\.safetensors: checksum .* is not the one in model\.json"):
        load_pumpbert(tmp_path / "model")
