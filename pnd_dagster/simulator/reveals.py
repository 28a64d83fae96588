"""Images that reveal a coin: four tickers in the quadrants, the target in red and the decoys in black, so that bots cannot read it."""

from __future__ import annotations

import random
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont


class Reveal(NamedTuple):
    """What an image shows: four tickers, the index of the target, and a seed for the picture's looks."""

    tickers: tuple[str, str, str, str]
    target_index: int
    looks_seed: int

    @property
    def target(self) -> str:
        """The ticker printed in red."""
        return self.tickers[self.target_index]


def draw(reveal: Reveal) -> Image.Image:
    """The picture of `reveal`: 720 to 1,000 pixels wide, on a pale ground with a cross of lines."""
    rng = random.Random(reveal.looks_seed)
    width, height = rng.randrange(720, 1000), rng.randrange(400, 560)
    ground = rng.choice(((255, 255, 255), (245, 245, 240), (255, 250, 225), (230, 240, 255)))
    red = (rng.randrange(200, 256), rng.randrange(0, 40), rng.randrange(0, 40))
    image = Image.new("RGB", (width, height), ground)
    canvas = ImageDraw.Draw(image)
    canvas.line((width // 2, 20, width // 2, height - 20), fill=(190, 190, 190), width=3)
    canvas.line((20, height // 2, width - 20, height // 2), fill=(190, 190, 190), width=3)
    has_ring = rng.random() < 0.3
    for index, ticker in enumerate(reveal.tickers):
        is_target = index == reveal.target_index
        centre = (
            width * (1 + 2 * (index % 2)) // 4 + rng.randrange(-20, 21),
            height * (1 + 2 * (index // 2)) // 4 + rng.randrange(-15, 16),
        )
        font = ImageFont.load_default(rng.randrange(56, 84))
        canvas.text(centre, ticker, font=font, anchor="mm", fill=red if is_target else (15, 15, 15), stroke_width=1 if is_target else 0)
        if is_target and has_ring:
            left, top, right, bottom = canvas.textbbox(centre, ticker, font=font, anchor="mm")
            canvas.ellipse((left - 25, top - 20, right + 25, bottom + 20), outline=red, width=5)
    return image
