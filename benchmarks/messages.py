"""Speed of normalising and labelling, each against a named peer in the same run, on one core; latency of one live message.

`run()` returns rows: what, peer, rows_per_second, peer_rows_per_second, ratio, n. Texts are a sample of the real archive where it lies
beside the checkout, else generated.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from emoji import demojize
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline, make_union

from benchmarks.rows import row
from pnd_dagster.messages.classifier import label_messages, load_classifier
from pnd_dagster.messages.normalise import normalise_many

ARCHIVE = Path(__file__).parents[2] / "shared/data/telegram_messages.parquet"
SAMPLE_SIZE = 5_000
ENCODER_SAMPLE = 1_000


def run() -> list[dict[str, Any]]:
    """One row per measured job."""
    texts = _archive_texts() if ARCHIVE.exists() else _generated_texts()
    classifier = load_classifier()
    normalised = normalise_many(texts)
    labels = classifier.predict_probabilities(normalised).argmax(axis=1)
    # The same kinds of n-grams and a linear head of the same shape, as scikit-learn users write them.
    peer = make_pipeline(
        make_union(
            HashingVectorizer(analyzer="char", ngram_range=(2, 5), n_features=2**18),
            HashingVectorizer(ngram_range=(1, 3), n_features=2**18),
        ),
        SGDClassifier(loss="log_loss", max_iter=5, tol=None),
    ).fit(normalised[:500], labels[:500])
    frame = pl.DataFrame({"text": texts})
    # The same architecture in full precision, as transformers' users run it, one thread as ours.
    pipeline = _pipeline()
    encoder = classifier.encoder
    assert encoder is not None
    few = normalised[:ENCODER_SAMPLE]
    print(_latency("one message, normalised and labelled", texts[:ENCODER_SAMPLE], lambda text: label_messages(_one(text), classifier)))
    print(
        _latency("the same, messages that the encoder reads", texts[:ENCODER_SAMPLE], lambda text: encoder.logits(normalise_many([text])))
    )
    return [
        _row(
            "label a message, single",
            "transformers pipeline, fp32, same architecture",
            few,
            lambda sample: [classifier.predict_probabilities([text]) for text in sample],
            lambda sample: [pipeline(text) for text in sample],
        ),
        _row(
            "label messages, batch",
            "transformers pipeline, fp32, batches of 32",
            few,
            classifier.predict_probabilities,
            lambda sample: pipeline(sample, batch_size=32),
        ),
        _row(
            "encoder alone, batch",
            "transformers pipeline, fp32, batches of 32",
            few,
            encoder.logits,
            lambda sample: pipeline(sample, batch_size=32),
        ),
        _row("normalise", "emoji.demojize alone", texts, normalise_many, lambda sample: [demojize(text) for text in sample]),
        _row("label, normalised texts", "scikit-learn n-gram pipeline", normalised, classifier.predict_probabilities, peer.predict_proba),
        _row(
            "normalise and label",
            "normalise and scikit-learn n-gram pipeline",
            texts,
            lambda _: label_messages(frame, classifier),
            lambda sample: peer.predict_proba(normalise_many(sample)),
        ),
    ]


def _pipeline() -> Any:
    import torch
    import transformers

    from pnd_dagster.messages.encoder_training import offline_encoder

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    folder = str(offline_encoder())
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=6)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return transformers.pipeline("text-classification", model=model, tokenizer=tokenizer, truncation=True, max_length=128, device="cpu")


def _one(text: str) -> pl.DataFrame:
    return pl.DataFrame({"text": [text]})


def _latency(what: str, texts: list[str], job: Callable[[str], Any]) -> str:
    job(texts[0])
    seconds: list[float] = []
    for text in texts:
        started_at = time.perf_counter()
        job(text)
        seconds.append(1e3 * (time.perf_counter() - started_at))
    found = statistics.quantiles(seconds, n=100)
    return f"{what}: p50 {found[49]:.1f} ms, p95 {found[94]:.1f} ms, p99 {found[98]:.1f} ms (n = {len(texts)})"


def _row(what: str, peer: str, texts: list[str], ours: Callable[[list[str]], Any], theirs: Callable[[list[str]], Any]) -> dict[str, Any]:
    return row(what, peer, len(texts), _rate(ours, texts), _rate(theirs, texts))


def _rate(job: Callable[[list[str]], Any], texts: list[str]) -> float:
    """Texts per second of CPU time, the better of two runs."""
    seconds: list[float] = []
    for _ in range(2):
        started_at = time.process_time()
        job(texts)
        seconds.append(time.process_time() - started_at)
    return len(texts) / min(seconds)


def _archive_texts() -> list[str]:
    texts = pl.read_parquet(ARCHIVE, columns=["text"])["text"]
    return texts.filter(texts != "").sample(SAMPLE_SIZE, seed=1).to_list()


def _generated_texts() -> list[str]:
    rng = random.Random(1)  # noqa: S311 - texts to time, nothing secret
    parts: Sequence[str] = (
        "🚀 {n} minutes left until the pump on Binance!",
        "The coin is: {coin}\nhttps://www.binance.com/en/trade/{coin}_BTC",
        "Date: Sunday\nTime: {n}:00 GMT\nExchange: Kucoin ✅",
        "good morning traders, the market is up {n}% today",
        "#{coin} entry 0.000{n} targets 1 2 3, stop loss below",
        "🅹🅾🅸🅽 𝙤𝙪𝙧 VIP, contact @some_admin",
    )
    return [
        "\n".join(
            rng.choice(parts).format(n=rng.randint(1, 59), coin="".join(rng.choices("ABCDEFGHIKLMNOPRSTVX", k=4)))
            for _ in range(rng.randint(1, 4))
        )
        for _ in range(SAMPLE_SIZE)
    ]
