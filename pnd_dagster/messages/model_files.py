"""The folder a model lives in: its files beside a JSON card that holds their checksums. Safetensors, ONNX and JSON only, no pickles."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pnd_dagster.errors import SourceError

CARD_FILE = "model.json"
PACKAGED_DIR = Path(__file__).with_name("model")


def save_model(directory: Path, files: Mapping[str, bytes], card: Mapping[str, Any]) -> str:
    """Writes files and card as the folder `directory`, in the place of the model there, and returns the model's version.

    Raises:
        SourceError: the folder holds something else than a model, or cannot be written to.
    """
    check_replaceable(directory)
    version = version_of(files)
    checksums = {name: hashlib.sha256(blob).hexdigest() for name, blob in files.items()}
    full_card = {"version": version, "sha256": checksums, **card}
    with replacing(directory) as made:
        for name, blob in files.items():
            (made / name).write_bytes(blob)
        write_card(made, full_card)
    return version


def check_replaceable(directory: Path) -> None:
    """Refuses a folder that a new model would not replace but destroy.

    Raises:
        SourceError: `directory` is a file, or a folder that holds something else than a model.
    """
    if directory.is_dir() and ((directory / CARD_FILE).exists() or not any(directory.iterdir())):
        return
    if directory.exists():
        raise SourceError(f"{directory}: holds something else than a model, which would be lost; name another folder")


@contextmanager
def replacing(directory: Path) -> Generator[Path]:
    """An empty folder that takes the place of `directory` once it is filled; if that fails, what was there stays.

    Raises:
        SourceError: it cannot be written.
    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as temporary:
            made, old = Path(temporary) / "made", Path(temporary) / "old"
            made.mkdir()
            yield made
            _exchange(made, directory, old)
    except OSError as error:
        raise SourceError(f"{directory}: cannot write the model: {error.strerror or error}") from error


def _exchange(made: Path, directory: Path, old: Path) -> None:
    if directory.exists():
        directory.replace(old)
    try:
        made.replace(directory)
    except OSError:
        if old.exists():
            old.replace(directory)
        raise


def version_of(files: Mapping[str, bytes]) -> str:
    """Twelve characters that differ where any of the files differs."""
    return hashlib.sha256("".join(f"{name}{hashlib.sha256(files[name]).hexdigest()}" for name in sorted(files)).encode()).hexdigest()[:12]


def write_card(directory: Path, card: Mapping[str, Any]) -> None:
    """Writes the card of the model in `directory`; a reader sees the old one or the new one."""
    part = directory / f".{CARD_FILE}"
    part.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    part.replace(directory / CARD_FILE)


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


def read_files(directory: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The files of the model in `directory`, as its card lists them, and the card.

    Raises:
        SourceError: a file is missing, or its checksum is not the one on the card.
    """
    card = read_card(directory)
    checksums = card.get("sha256")
    if not isinstance(checksums, dict) or not checksums:
        raise SourceError(f"{directory / CARD_FILE}: the card lists no files; train again with `pnd train`")
    files: dict[str, bytes] = {}
    for name, digest in checksums.items():
        path = directory / Path(str(name)).name
        try:
            files[name] = path.read_bytes()
        except OSError as error:
            raise SourceError(f"{path}: cannot read the model: {error.strerror}") from error
        if (found := hashlib.sha256(files[name]).hexdigest()) != digest:
            raise SourceError(
                f"{path}: checksum {found[:12]} is not the one in {CARD_FILE}; restore the file or train again with `pnd train`"
            )
    return files, card
