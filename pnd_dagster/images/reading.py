"""Reads pictures in a process of its own, one for many of them, and judges what it found there."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from threading import Timer
from typing import IO, NamedTuple, cast

import msgspec

from pnd_dagster.errors import SourceError
from pnd_dagster.images.reveals import read_reveal
from pnd_dagster.images.safety import Limits, RefusedPicture
from pnd_dagster.images.words import Finding

RULES_VERSION = "rules-1"
_HEAD_BYTES = 4
_MOST_ANSWER_BYTES = 1 << 20
_START_SECONDS = 120


class ImageReading(NamedTuple):
    """What was read in one picture.

    Attributes:
        file: the picture.
        sha256: hash of its content; None if it could not be opened.
        status: reveal, none, doubtful or refused.
        symbol: the coin, upper case; None unless a reveal or doubtful.
        confidence: in the symbol, 0 to 1.
        texts: words found.
        reason: why it was refused or is doubtful, or what was missing.
    """

    file: Path
    sha256: str | None
    status: str
    symbol: str | None = None
    confidence: float | None = None
    texts: tuple[str, ...] = ()
    reason: str | None = None


def reader_version() -> str:
    """Version of rules and library: what another version read is read again."""
    return f"{RULES_VERSION} rapidocr-{version('rapidocr')}"


def read_images(files: Iterable[Path], known_symbols: frozenset[str], limits: Limits | None = None) -> Generator[ImageReading]:
    """A reading of each picture, in order; none of them can stop the others.

    The reading process is started with the first picture that needs it, and anew after one that killed it.

    Args:
        files: pictures.
        known_symbols: symbols that are or were listed, see `read_reveal`.
        limits: what a picture may cost; a larger one is refused.

    Raises:
        SourceError: the reading process cannot be started, or rapidocr's models are missing.
    """
    limits = limits or Limits()
    process: subprocess.Popen[bytes] | None = None
    try:
        for file in files:
            try:
                content = _content(file, limits)
            except RefusedPicture as refused:
                yield ImageReading(file, None, "refused", reason=str(refused))
                continue
            if process is None or process.poll() is not None:
                _end(process)
                process = _start(limits)
            digest = hashlib.sha256(content).hexdigest()
            finding = _ask(process, content, 2 * limits.seconds) or Finding(refusal=_last_words(process, limits))
            texts = tuple(word.text for word in finding.words)
            if finding.refusal:
                yield ImageReading(file, digest, "refused", reason=finding.refusal)
            else:
                yield ImageReading(file, digest, *_verdict(finding, known_symbols, texts))
    finally:
        _end(process)


def inside(folder: Path, name: str) -> Path | None:
    """The file `name` of `folder`; None if there is none, or if the name leads out of the folder."""
    try:
        file = (folder / name).resolve()
        return file if file.is_relative_to(folder.resolve()) and file.is_file() else None
    except (OSError, ValueError):
        return None


def _verdict(
    finding: Finding, known_symbols: frozenset[str], texts: tuple[str, ...]
) -> tuple[str, str | None, float | None, tuple[str, ...], str | None]:
    reveal = read_reveal(finding.words, known_symbols)
    return reveal.status, reveal.symbol, reveal.confidence, texts, reveal.reason


def _content(file: Path, limits: Limits) -> bytes:
    try:
        if not file.is_file():
            raise RefusedPicture("no such file")
        if (size := file.stat().st_size) > limits.file_bytes:
            raise RefusedPicture(f"{size} bytes are more than {limits.file_bytes}")
        if not size:
            raise RefusedPicture("empty")
        with file.open("rb") as opened:
            return opened.read(limits.file_bytes)
    except OSError as error:
        raise RefusedPicture(f"cannot be opened: {error.strerror}") from error


def _start(limits: Limits) -> subprocess.Popen[bytes]:
    arguments = (str(value) for value in (limits.seconds, limits.memory_bytes, limits.pixels))
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    process = subprocess.Popen(
        [sys.executable, "-I", "-m", "pnd_dagster.images.worker", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=kept | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        cwd="/",
        start_new_session=True,
    )
    ready = _ask(process, None, _START_SECONDS)
    if ready is None or ready.refusal:
        _end(process)
        raise SourceError(f"the reader of pictures cannot start: {ready.refusal if ready else _last_words(process, limits)}")
    return process


def _ask(process: subprocess.Popen[bytes], content: bytes | None, seconds: float) -> Finding | None:
    """What the process answers to a picture, or at its start; None if it died over it or took longer, and then it is dead."""
    to_it, from_it = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
    alarm = Timer(seconds, process.kill)
    alarm.start()
    try:
        if content is not None:
            to_it.write(len(content).to_bytes(_HEAD_BYTES, "big") + content)
            to_it.flush()
        size = int.from_bytes(from_it.read(_HEAD_BYTES), "big")
        if 0 < size <= _MOST_ANSWER_BYTES:
            return msgspec.json.decode(from_it.read(size), type=Finding)
    except (OSError, msgspec.MsgspecError):
        pass
    finally:
        alarm.cancel()
    _end(process)
    return None


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is None:
        return
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with suppress(OSError):
                pipe.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    process.kill()
    process.wait()


def _last_words(process: subprocess.Popen[bytes], limits: Limits) -> str:
    code = process.returncode
    if code == -signal.SIGXCPU:
        return f"took more than {limits.seconds} s of processor time"
    if code == -signal.SIGKILL:
        return f"took longer than {2 * limits.seconds} s, or more memory than there is"
    return f"ended the reader ({signal.Signals(-code).name if code and code < 0 else f'exit code {code}'})"
