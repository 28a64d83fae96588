"""PumpBERT: a linear model over n-grams and a fine-tuned encoder, blended and calibrated. What is plainly noise skips the encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pnd_dagster.errors import SourceError
from pnd_dagster.messages.blend import Blend, softmax
from pnd_dagster.messages.encoder import Encoder, open_encoder
from pnd_dagster.messages.features import FEATURES_VERSION
from pnd_dagster.messages.labels import LABEL_COUNT, MessageLabel
from pnd_dagster.messages.linear import LinearModel, linear_from_bytes
from pnd_dagster.messages.model_files import read_files
from pnd_dagster.messages.tokens import TokenLayout

LINEAR_FILE, ENCODER_FILE, TOKENIZER_FILE = "linear.safetensors", "encoder.onnx", "tokenizer.json"


@dataclass(frozen=True)
class PumpBert:
    """The classifier that ships.

    Attributes:
        linear: n-grams and cues.
        encoder: the fine-tuned transformer; None where a model was trained without one.
        blend: makes one opinion of both.
        skip_noise_above: the encoder is not asked where the linear model alone is surer than this that a message is noise.
        abstain_below: confidence below which a better labeller should decide.
        version: of the weights.
    """

    linear: LinearModel
    encoder: Encoder | None
    blend: Blend
    skip_noise_above: float
    abstain_below: float
    version: str
    name: str = "pumpbert"

    def predict_probabilities(self, normalised: Sequence[str]) -> NDArray[np.float32]:
        """Probabilities [n, 6]; see `classifier.Classifier`."""
        linear = self.linear.logits(normalised)
        alone = self.blend.probabilities(linear, linear)
        if self.encoder is None:
            return alone
        unsure = np.flatnonzero(is_asked(linear, self.skip_noise_above))
        if len(unsure):
            alone[unsure] = self.blend.probabilities(linear[unsure], self.encoder.logits([normalised[place] for place in unsure.tolist()]))
        return alone


def is_asked(linear: NDArray[np.floating[Any]], skip_noise_above: float) -> NDArray[np.bool_]:
    """Which messages [n] go to the encoder, by the linear model's logits [n, 6]."""
    return softmax(linear)[:, MessageLabel.NOISE] <= skip_noise_above


def load_pumpbert(directory: Path) -> PumpBert:
    """The model in `directory`.

    Raises:
        SourceError: a file is missing, altered, or no model of this kind; says which.
    """
    files, card = read_files(directory)
    return pumpbert_of(files, card, str(directory))


def pumpbert_of(files: Mapping[str, bytes], card: Mapping[str, Any], where: str) -> PumpBert:
    """The model from its files' contents and its card; `where` is for errors."""
    if card.get("features_version") != FEATURES_VERSION:
        raise SourceError(f"{where}: trained on features version {card.get('features_version')}, this is {FEATURES_VERSION}; train again")
    try:
        linear = linear_from_bytes(files[LINEAR_FILE])
        encoder = None
        if ENCODER_FILE in files:
            encoder = open_encoder(files[ENCODER_FILE], files[TOKENIZER_FILE].decode(), TokenLayout(**card["token_layout"]))
        blend = Blend(tuple(card["blend"]["weights"]), tuple(card["blend"]["bias"]))
        if len(blend.weights) != 2 or len(blend.bias) != LABEL_COUNT:
            raise ValueError("blend has another shape")
        return PumpBert(linear, encoder, blend, float(card["skip_noise_above"]), float(card["abstain_below"]), str(card["version"]))
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(f"{where}: not a model of this kind: {error}") from error
