"""The file format of the linear model: weights in safetensors beside a JSON card that holds their checksum. No pickles."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pnd_dagster.errors import SourceError
from pnd_dagster.messages.features import COLUMNS, FEATURES_VERSION
from pnd_dagster.messages.labels import LABEL_COUNT

WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "model.json"
PACKAGED_DIR = Path(__file__).with_name("model")


class LinearModel(NamedTuple):
    """A linear model over hashed features.

    Attributes:
        importance: inverse document frequency of each column, 0 for columns unseen in training; float32 [COLUMNS].
        weights: float32 [COLUMNS, 6].
        bias: float32 [6].
        temperature: logits are divided by it before the softmax.
    """

    importance: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    temperature: float


def save_model(model: LinearModel, directory: Path, card: dict[str, Any]) -> str:
    """Writes weights and card into `directory` and returns the weights' sha256; only columns that count are stored."""
    from safetensors.numpy import save

    columns = np.flatnonzero(model.importance).astype(np.uint32)
    blob = save(
        {
            "columns": columns,
            "importance": model.importance[columns].astype(np.float16),
            "weights": np.ascontiguousarray(model.weights[columns].astype(np.float16)),
            "bias": model.bias.astype(np.float32),
            "temperature": np.array([model.temperature], dtype=np.float32),
        }
    )
    digest = hashlib.sha256(blob).hexdigest()
    directory.mkdir(parents=True, exist_ok=True)
    (directory / WEIGHTS_FILE).write_bytes(blob)
    full_card = {"weights_sha256": digest, "features_version": FEATURES_VERSION, **card}
    (directory / CARD_FILE).write_text(json.dumps(full_card, indent=2, ensure_ascii=False) + "\n")
    return digest


def read_card(directory: Path) -> dict[str, Any]:
    """The card of the model in `directory`.

    Raises:
        SourceError: it is missing or no JSON object.
    """
    path = directory / CARD_FILE
    try:
        card = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: cannot read the model's card: {error}") from error
    if not isinstance(card, dict):
        raise SourceError(f"{path}: the model's card is no JSON object")
    return card


def read_model(directory: Path) -> tuple[LinearModel, str]:
    """The model in `directory` and its sha256.

    Raises:
        SourceError: a file is missing, the weights are not those the card names, or they were trained on other features.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    card = read_card(directory)
    path = directory / WEIGHTS_FILE
    try:
        blob = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: cannot read the model's weights: {error.strerror}") from error
    digest = hashlib.sha256(blob).hexdigest()
    if digest != card.get("weights_sha256"):
        raise SourceError(f"{path}: checksum {digest[:12]} is not the one in {CARD_FILE}; restore the file or train again with `pnd train`")
    if card.get("features_version") != FEATURES_VERSION:
        raise SourceError(f"{path}: trained on features version {card.get('features_version')}, this is {FEATURES_VERSION}; train again")
    try:
        stored = load(blob)
        columns = stored["columns"].astype(np.int64)
        importance = np.zeros(COLUMNS, dtype=np.float32)
        weights = np.zeros((COLUMNS, LABEL_COUNT), dtype=np.float32)
        importance[columns] = stored["importance"]
        weights[columns] = stored["weights"]
        model = LinearModel(importance, weights, stored["bias"], float(stored["temperature"][0]))
    except (SafetensorError, KeyError, IndexError, ValueError) as error:
        raise SourceError(f"{path}: not a model of this kind: {error}") from error
    return model, digest
