"""A fine-tuned encoder as a file of its own: words that nobody used left out, adapters merged, int8 ONNX. Needs the extra `train`."""

from __future__ import annotations

import copy
import json
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pnd_dagster.messages.encoder_training import FineTuned, mean_of
from pnd_dagster.messages.labels import LABEL_COUNT
from pnd_dagster.messages.tokens import TokenLayout

# BERT's vocabulary is sorted by frequency: what stands further down and in no training text is dropped.
_KEPT_WORDS = 16_000


def export_encoder(tuned: FineTuned, texts: Sequence[str], *, is_quantised: bool = True) -> tuple[bytes, str, TokenLayout]:
    """ONNX, tokenizer.json and layout of a fine-tuned encoder.

    Args:
        tuned: stays as it is.
        texts: whose words are kept beside the most frequent ones.
        is_quantised: int8 weights, a quarter of the size.
    """
    import torch
    from torch import nn

    network = copy.deepcopy(tuned.network).to("cpu").eval()
    tokenizer = json.loads(tuned.tokenizer.backend_tokenizer.to_str())
    tokenizer["post_processor"] = tokenizer["truncation"] = tokenizer["padding"] = None
    encoder = network.encoder.merge_and_unload() if hasattr(network.encoder, "merge_and_unload") else network.encoder
    table = encoder.get_input_embeddings().weight.detach()[: len(tuned.tokenizer)]
    layout = tuned.layout
    if tokenizer["model"]["type"] == "WordPiece":
        used = {piece for text in texts for piece in tuned.tokenizer(text, add_special_tokens=False)["input_ids"]}
        kept = prune_word_pieces(tokenizer, used, {layout.first, layout.last, layout.padding})
        place = {old: new for new, old in enumerate(kept)}
        table = table[kept]
        layout = TokenLayout(place[layout.first], place[layout.last], place[layout.padding], layout.most)
    encoder.set_input_embeddings(nn.Embedding(1, table.shape[1]))  # not used: the words below are

    class Exported(nn.Module):
        """The network with its words in int8, each with a scale of its own: one scale for all would blur the common ones."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.head = encoder, network.head
            scales = table.abs().amax(1, keepdim=True).clamp(min=1e-8) / 127
            self.words: Any
            self.scales: Any
            self.register_buffer("words", (table / scales).round().to(torch.int8) if is_quantised else table)
            self.register_buffer("scales", scales if is_quantised else torch.ones_like(scales))

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            words = self.words[input_ids].float() * self.scales[input_ids]
            hidden = self.encoder(inputs_embeds=words, attention_mask=attention_mask).last_hidden_state
            return self.head(mean_of(hidden, attention_mask))[:, :LABEL_COUNT]

    example = torch.tensor([[layout.first, layout.last, layout.padding]] * 2)
    axes = {0: "messages", 1: "tokens"}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "encoder.onnx"
        torch.onnx.export(
            Exported().eval(),
            (example, (example != layout.padding).long()),
            str(path),
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "messages"}},
            opset_version=17,
            dynamo=False,
        )
        if is_quantised:
            path = _quantised(path)
        return path.read_bytes(), json.dumps(tokenizer, ensure_ascii=False), layout


def prune_word_pieces(tokenizer: dict[str, Any], used: set[int], needed: set[int]) -> list[int]:
    """Leaves in a WordPiece tokenizer.json (changed in place) the frequent, the used and the single-letter words.

    Returns:
        The old ids that are kept, in the order of their new ones.
    """
    vocabulary: dict[str, int] = tokenizer["model"]["vocab"]
    specials = {token["id"] for token in tokenizer["added_tokens"]} | needed | {vocabulary[tokenizer["model"]["unk_token"]]}

    def is_kept(word: str, number: int) -> bool:
        if number in specials or number in used:
            return True
        return (number < _KEPT_WORDS and not word.startswith("[unused")) or len(word.removeprefix("##")) == 1

    words = {number: word for word, number in vocabulary.items()}
    kept = [number for number in sorted(words) if is_kept(words[number], number)]
    kept += sorted(token["id"] for token in tokenizer["added_tokens"] if token["id"] not in words)
    place = {old: new for new, old in enumerate(kept)}
    tokenizer["model"]["vocab"] = {words[number]: place[number] for number in kept if number in words}
    for token in tokenizer["added_tokens"]:
        token["id"] = place[token["id"]]
    return kept


def _quantised(path: Path) -> Path:
    import logging

    from onnxruntime.quantization import QuantType, quantize_dynamic

    target = path.with_name("quantised.onnx")
    logging.disable(logging.WARNING)
    try:
        quantize_dynamic(str(path), str(target), weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul"])
    finally:
        logging.disable(logging.NOTSET)
    return target
