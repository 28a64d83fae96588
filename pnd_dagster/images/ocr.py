"""Words in the pixels of a picture, by rapidocr's models, which its package carries: nothing is fetched, one thread.

Runs in the reading process only; imports OpenCV and onnxruntime when asked to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pnd_dagster.errors import SourceError
from pnd_dagster.images.colours import red_mask, red_ratio, ringed
from pnd_dagster.images.words import Word

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST_SIDE = 960
_MOST_BOXES = 200  # a page of text is no reveal, and reading all of it takes half a minute
_MOST_WORDS = 100
_MOST_CHARACTERS = 200

_Part = tuple[str, float, Any]  # text, score and corners
FindWords = Callable[["NDArray[np.uint8]"], tuple[Word, ...]]


def load_reader() -> FindWords:
    """A function from an RGB picture [height, width, 3] to its words, at most 100. Loading takes about a second.

    Raises:
        SourceError: rapidocr's models are missing or damaged.
    """
    import cv2
    from rapidocr import RapidOCR

    cv2.setNumThreads(1)
    engine = RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.use_cls": False,
            "Global.return_word_box": True,
            "Global.max_side_len": LONGEST_SIDE,
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "Det.limit_type": "max",
            "Det.limit_side_len": LONGEST_SIDE,
            "Det.max_candidates": _MOST_BOXES,
            "Det.model_path": _model("det"),
            "Rec.model_path": _model("rec"),
        }
    )
    return lambda pixels: find_words(engine, pixels)


def find_words(engine: Any, pixels: NDArray[np.uint8]) -> tuple[Word, ...]:
    """The words of an RGB picture with their colour, in reading order."""
    found = engine(np.ascontiguousarray(pixels[:, :, ::-1]))
    if not found.txts:
        return ()
    words = [
        word for line, (text, parts) in enumerate(zip(found.txts, found.word_results, strict=True)) for word in _words(text, line, parts)
    ]
    words = words[:_MOST_WORDS]
    red = red_mask(pixels)
    rings = ringed(red, words)
    return tuple(
        word._replace(red_ratio=round(red_ratio(pixels, red, word), 4), is_ringed=is_ringed)
        for word, is_ringed in zip(words, rings, strict=True)
    )


def _words(text: str, line: int, parts: Sequence[_Part]) -> list[Word]:
    """The words of a line. The recogniser also parts what merely stands wide apart: only white space in the line's text ends a word."""
    words: list[Word] = []
    left = list(parts)
    for written in text.split():
        own: list[_Part] = []
        while left and len("".join(part[0] for part in own)) < len(written):
            own.append(left.pop(0))
        if own:
            corners = np.concatenate([np.asarray(part[2], dtype=float).reshape(-1, 2) for part in own])
            bounds = (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
            words.append(Word(written[:_MOST_CHARACTERS], round(min(float(part[1]) for part in own), 4), line, *bounds))
    return words


def _model(task: str) -> str:
    """Path of a model in rapidocr's package. Given a path, rapidocr never downloads."""
    import rapidocr
    from rapidocr.inference_engine.base import FileInfo, InferSession
    from rapidocr.utils.typings import EngineType, LangDet, LangRec, ModelType, OCRVersion, TaskType

    language = LangDet.CH if task == "det" else LangRec.CH
    declared = InferSession.get_model_url(FileInfo(EngineType.ONNXRUNTIME, OCRVersion.PPOCRV6, TaskType(task), language, ModelType.SMALL))
    path = Path(rapidocr.__file__).parent / "models" / declared["model_dir"].rsplit("/", 1)[-1]
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != declared["SHA256"]:
        raise SourceError(f"{path.name}: the model is missing or damaged; install the package rapidocr again")
    return str(path)
