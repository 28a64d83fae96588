"""The process that looks at pictures: it gets their bytes, answers with their words, and has neither files, network nor secrets.

`python -m pnd_dagster.images.worker SECONDS MEMORY_BYTES PIXELS`: frames of four bytes of length (big-endian) and content, on standard
input the pictures, on standard output one `Finding` each as JSON, before the first picture one that says whether loading went well.
"""

from __future__ import annotations

import io
import os
import resource
import struct
import sys
import time
from contextlib import suppress
from typing import BinaryIO

import msgspec

from pnd_dagster.images.ocr import LONGEST_SIDE, FindWords, load_reader
from pnd_dagster.images.safety import FORMATS, Limits, RefusedPicture, decode
from pnd_dagster.images.words import Finding

HEAD = struct.Struct(">I")


def main() -> None:
    """Reads pictures until standard input ends."""
    seconds, memory_bytes, pixels = (int(argument) for argument in sys.argv[1:4])
    limits = Limits(seconds=seconds, memory_bytes=memory_bytes, pixels=pixels)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    try:
        with suppress(ValueError):  # macOS knows no such limit
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        find_words = load_reader()
        # The first pictures load the models and whatever else is loaded late.
        for content in _first_pictures():
            find_words(decode(content, limits, LONGEST_SIDE))
    except Exception as error:  # noqa: BLE001 - the other side raises it
        _answer(answers, Finding(refusal=str(error) or type(error).__name__))
        return
    _confine()
    _answer(answers, Finding())
    while head := sys.stdin.buffer.read(HEAD.size):
        content = sys.stdin.buffer.read(HEAD.unpack(head)[0])
        _allow_processor_time(seconds)
        _answer(answers, _look(content, limits, find_words))


def _look(content: bytes, limits: Limits, find_words: FindWords) -> Finding:
    try:
        return Finding(find_words(decode(content, limits, LONGEST_SIDE)))
    except RefusedPicture as refused:
        return Finding(refusal=str(refused))
    except Exception as error:  # noqa: BLE001 - whatever a picture makes a library raise, the next one is read
        return Finding(refusal=f"cannot be read: {str(error).splitlines()[0][:200] if str(error) else type(error).__name__}")


def _first_pictures() -> list[bytes]:
    from PIL import Image, ImageDraw

    picture = Image.new("RGBA", (200, 160), "white")
    canvas = ImageDraw.Draw(picture)
    for place, word, colour in (((20, 10), "BLACK", "black"), ((20, 60), "RED", "red"), ((60, 110), "RING", "black")):
        canvas.text(place, word, fill=colour, font_size=24)
    canvas.ellipse((30, 100, 160, 150), outline="red", width=4)
    contents = [io.BytesIO() for _ in FORMATS]
    for image_format, content in zip(FORMATS, contents, strict=True):
        (picture.convert("RGB") if image_format == "JPEG" else picture).save(content, image_format)
    return [content.getvalue() for content in contents]


def _confine() -> None:
    """From here on nothing can be opened, written or connected to."""
    lowest_free = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, lowest_free))
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        resource.setrlimit(limit, (0, 0))


def _allow_processor_time(seconds: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    until = int(time.process_time()) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (until if most == resource.RLIM_INFINITY else min(until, most), most))


def _answer(answers: BinaryIO, finding: Finding) -> None:
    content = msgspec.json.encode(finding)
    answers.write(HEAD.pack(len(content)) + content)
    answers.flush()


if __name__ == "__main__":
    main()
