"""What is refused before a picture is decoded: too many bytes or pixels, other formats than photos have, animations, broken files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

FORMATS = ("JPEG", "PNG", "WEBP")
MEGABYTE = 1 << 20


class Limits(NamedTuple):
    """What one picture may cost.

    Attributes:
        file_bytes: size of the file.
        pixels: width times height, by the header.
        seconds: processor time, and twice that by the clock.
        memory_bytes: address space of the reading process, of which its libraries take about 1 GB.
    """

    file_bytes: int = 10 * MEGABYTE
    pixels: int = 20_000_000
    seconds: int = 15
    memory_bytes: int = 2 << 30


class RefusedPicture(Exception):  # noqa: N818 - a verdict, not a failure
    """A picture that is not read; says why in a few words."""


def decode(content: bytes, limits: Limits, longest_side: int) -> NDArray[np.uint8]:
    """The picture as RGB [height, width, 3], its longer side at most `longest_side`; transparent parts become white.

    Raises:
        RefusedPicture: the header shows something that is not read, or the rest of the file is broken.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            _check_header(picture, limits)
            picture.draft("RGB", (longest_side, longest_side))
            upright = ImageOps.exif_transpose(picture)
            upright.thumbnail((longest_side, longest_side))
            return np.asarray(_on_white(upright))
    except RefusedPicture:
        raise
    except Image.UnidentifiedImageError:
        raise RefusedPicture(f"no {', '.join(FORMATS[:-1])} or {FORMATS[-1]} picture") from None
    except Image.DecompressionBombError:
        raise RefusedPicture(f"more than {limits.pixels} pixels") from None
    except MemoryError:
        raise RefusedPicture("needs too much memory") from None
    except Exception as error:  # noqa: BLE001 - decoders raise whatever a broken file drives them to
        raise RefusedPicture(f"broken file: {str(error)[:100]}") from None


def _check_header(picture: Image, limits: Limits) -> None:
    width, height = picture.size
    if width * height > limits.pixels:
        raise RefusedPicture(f"{width} x {height} is more than {limits.pixels} pixels")
    if getattr(picture, "n_frames", 1) > 1:
        raise RefusedPicture("animated")


def _on_white(picture: Image) -> Image:
    from PIL import Image

    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return picture.convert("RGB")
    transparent = picture.convert("RGBA")
    ground = Image.new("RGBA", transparent.size, "white")
    return Image.alpha_composite(ground, transparent).convert("RGB")
