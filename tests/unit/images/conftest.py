"""Pictures made for the tests: reveals as the simulated channels post them, a logo, and files that are no pictures."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from pnd_dagster.simulator.reveals import Reveal, draw

KNOWN = frozenset({"NEBL", "VIBE", "BTC", "ETH", "SOL", "XRP", "LTC", "SALT"})


@pytest.fixture
def known_symbols() -> frozenset[str]:
    return KNOWN


@pytest.fixture
def save_reveal(tmp_path: Path) -> Callable[..., Path]:
    """`save_reveal("NEBL", "x.jpg")`: a picture with NEBL in red among three black decoys."""

    def save(symbol: str, name: str = "reveal.jpg", looks_seed: int = 1, target_index: int = 2) -> Path:
        tickers = ["BTC", "ETH", "SOL"]
        tickers.insert(target_index, symbol)
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        draw(Reveal((tickers[0], tickers[1], tickers[2], tickers[3]), target_index, looks_seed)).save(file, "JPEG")
        return file

    return save


@pytest.fixture
def logo() -> bytes:
    """A red name with a black line below, as a logo has it; PNG."""
    picture = Image.new("RGB", (400, 400), "white")
    canvas = ImageDraw.Draw(picture)
    canvas.ellipse((100, 40, 300, 200), outline="red", width=12)
    canvas.text((200, 270), "NEBL", fill="red", anchor="mm", font_size=90)
    canvas.text((200, 350), "NETWORK", fill="black", anchor="mm", font_size=40)
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()
