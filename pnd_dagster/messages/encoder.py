"""The encoder half of the classifier at work: a fine-tuned transformer as int8 ONNX. Nothing is fetched, and torch is not needed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pnd_dagster.messages.labels import LABEL_COUNT
from pnd_dagster.messages.tokens import Pieces, TokenLayout, sequences

# Fewer texts are read faster by one thread than shared out.
_LEAST_SHARED = 8


class Encoder(NamedTuple):
    """An encoder ready for use.

    Attributes:
        session: an `onnxruntime.InferenceSession` with inputs input_ids and attention_mask [n, length] and output logits [n, 6].
        pieces: token ids of texts, without the ids that begin and end a sequence.
        layout: of the sequences.
    """

    session: Any
    pieces: Pieces
    layout: TokenLayout

    def logits(self, normalised: Sequence[str]) -> NDArray[np.float32]:
        """Logits [n, 6] of normalised texts, each read alone: in a batch, int8 would read it by the scale of its neighbours."""
        rows = sequences(self.pieces, normalised, self.layout)
        found = np.zeros((len(rows), LABEL_COUNT), dtype=np.float32)

        def run(places: range) -> None:
            for place in places:
                ids = np.array([rows[place]], dtype=np.int64)
                found[place] = self.session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0]

        workers = os.cpu_count() or 1
        if len(rows) < _LEAST_SHARED or workers == 1:
            run(range(len(rows)))
        else:
            # The library lets go of the interpreter's lock while it computes.
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(run, (range(first, len(rows), workers) for first in range(workers))))
        return found


def open_encoder(model: bytes, tokenizer: str, layout: TokenLayout) -> Encoder:
    """An encoder from its files' contents.

    Args:
        model: ONNX.
        tokenizer: tokenizer.json of the library `tokenizers`.
        layout: of the sequences.

    Raises:
        ValueError: one of them is something else.
    """
    import onnxruntime
    from tokenizers import Tokenizer

    options = onnxruntime.SessionOptions()
    # With two spinning threads on a busy machine a single message took thirty times as long at the 95th percentile.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        parser = Tokenizer.from_str(tokenizer)
    except Exception as error:
        raise ValueError(f"no encoder: {str(error).splitlines()[0]}") from error

    def pieces(texts: Sequence[str]) -> list[list[int]]:
        # A lone surrogate has no UTF-8, which is what the tokenizer reads.
        readable = [text.encode("utf-8", "replace").decode() for text in texts]
        return [found.ids for found in parser.encode_batch(readable, add_special_tokens=False)]

    return Encoder(session, pieces, layout)
