"""Red ink, red grounds and red rings in drawn pictures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pnd_dagster.images.colours import red_mask, red_ratio, ringed
from pnd_dagster.images.words import Word

WORD = Word("NEBL", 0.99, 0, 150, 80, 290, 140)
Ink = str | tuple[int, int, int]


def picture(ground: Ink, ink: Ink) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (440, 220), ground)
    canvas = ImageDraw.Draw(image)
    canvas.text((220, 110), "NEBL", fill=ink, anchor="mm", font_size=60)
    return image, canvas


def ratio_of(image: Image.Image) -> float:
    pixels = np.asarray(image)
    return red_ratio(pixels, red_mask(pixels), WORD)


def is_ringed(image: Image.Image) -> bool:
    return ringed(red_mask(np.asarray(image)), [WORD])[0]


@pytest.mark.parametrize("ground", ["white", "black", "navy", (245, 200, 10), (200, 200, 200)])
@pytest.mark.parametrize(("ink", "is_red"), [("red", True), ((205, 30, 40), True), ("white", False), ("black", False), ("green", False)])
def test_red_ink_is_told_from_other_ink_on_any_ground(ground: Ink, ink: Ink, is_red: bool) -> None:
    assert (ratio_of(picture(ground, ink)[0]) > 0.5) == is_red


def test_a_red_ground_counts_as_red() -> None:
    assert ratio_of(picture((230, 60, 60), "white")[0]) > 0.5


def test_a_word_outside_the_picture_has_no_colour() -> None:
    pixels = np.asarray(picture("white", "red")[0])
    assert red_ratio(pixels, red_mask(pixels), WORD._replace(left=600, right=700)) == 0


def test_a_ring_around_the_word_is_seen_closed_or_nearly() -> None:
    for start, end in ((0, 360), (20, 350)):
        image, canvas = picture("white", "black")
        canvas.arc((110, 50, 330, 170), start, end, fill="red", width=5)
        assert is_ringed(image)


def test_a_ring_elsewhere_a_line_below_and_a_frame_around_all_are_no_rings() -> None:
    for shape in ((10, 10, 100, 100), (5, 5, 435, 215)):
        image, canvas = picture("white", "black")
        canvas.rectangle(shape, outline="red", width=5)
        assert not is_ringed(image)
    image, canvas = picture("white", "black")
    canvas.line((150, 150, 290, 150), fill="red", width=5)
    assert not is_ringed(image)


def test_red_print_is_no_ring_around_itself() -> None:
    assert not is_ringed(picture("white", "red")[0])


def test_a_red_ground_is_no_ring() -> None:
    image, canvas = picture("white", "black")
    canvas.rectangle((110, 50, 330, 170), fill="red")
    canvas.text((220, 110), "NEBL", fill="white", anchor="mm", font_size=60)
    assert not is_ringed(image)
