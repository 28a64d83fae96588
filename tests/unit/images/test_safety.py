"""What is decoded, and what is refused from its header or because it is broken."""

from __future__ import annotations

import io
import struct
import time
import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pnd_dagster.images.safety import Limits, RefusedPicture, decode

LIMITS = Limits(pixels=1_000_000)


def encoded(image: Image.Image, image_format: str, **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, image_format, **options)
    return content.getvalue()


def bomb(side: int) -> bytes:
    """A PNG of a few bytes whose header claims `side` x `side` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_photos_become_rgb_no_larger_than_asked(image_format: str) -> None:
    pixels = decode(encoded(Image.new("RGB", (800, 200), "red"), image_format), LIMITS, 400)
    assert pixels.shape == (100, 400, 3)
    assert pixels[50, 200, 0] > 240
    assert pixels[50, 200, 1] < 20


def test_what_is_transparent_becomes_white() -> None:
    assert decode(encoded(Image.new("RGBA", (20, 20), (0, 0, 0, 0)), "PNG"), LIMITS, 100).min() == 255


def test_a_photo_taken_sideways_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(encoded(Image.new("RGB", (80, 20)), "JPEG", exif=exif), LIMITS, 100).shape == (80, 20, 3)


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "LA"])
def test_other_colour_models_are_converted(mode: str) -> None:
    content = encoded(Image.new("RGB", (20, 20), "white").convert(mode), "JPEG" if mode == "CMYK" else "PNG")
    assert decode(content, LIMITS, 100).shape == (20, 20, 3)


@pytest.mark.parametrize("side", [1_001, 30_000, 2**31 - 1])
def test_too_many_pixels_are_refused_by_the_header_before_any_is_decoded(side: int) -> None:
    started = time.process_time()
    with pytest.raises(RefusedPicture, match="pixels"):
        decode(bomb(side), LIMITS, 100)
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no JPEG, PNG or WEBP"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><text>NEBL</text></svg>", "no JPEG, PNG or WEBP"),
        (encoded(Image.new("RGB", (20, 20)), "GIF"), "no JPEG, PNG or WEBP"),
        (encoded(Image.new("RGB", (20, 20)), "BMP"), "no JPEG, PNG or WEBP"),
        (encoded(Image.new("RGB", (20, 20)), "WEBP", save_all=True, append_images=[Image.new("RGB", (20, 20), "red")]), "animated"),
        (encoded(Image.new("RGB", (20, 20)), "PNG", save_all=True, append_images=[Image.new("RGB", (20, 20), "red")]), "animated"),
        (bomb(100), "broken"),
    ],
    ids=["empty", "svg", "gif", "bmp", "animated webp", "animated png", "cut png"],
)
def test_other_files_are_refused_with_a_reason(content: bytes, reason: str) -> None:
    with pytest.raises(RefusedPicture, match=reason):
        decode(content, LIMITS, 100)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_a_file_cut_or_spoilt_anywhere_is_refused_or_read_and_never_fails_otherwise(image_format: str) -> None:
    rng = np.random.default_rng(3)
    whole = encoded(Image.fromarray(rng.integers(0, 255, (60, 60, 3), dtype=np.uint8)), image_format)
    for _ in range(60):
        spoilt = bytearray(whole[: rng.integers(1, len(whole))] if rng.random() < 0.5 else whole)
        for place in rng.integers(0, len(spoilt), 5):
            spoilt[place] = rng.integers(0, 256)
        with suppress(RefusedPicture):
            assert decode(bytes(spoilt), LIMITS, 100).ndim == 3
