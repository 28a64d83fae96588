"""The page on the model says what the model's own card says."""

from __future__ import annotations

from pathlib import Path

from pnd_dagster.messages.card import card_page
from pnd_dagster.messages.model_files import PACKAGED_DIR


def test_the_page_is_made_of_the_packaged_card() -> None:
    written = Path(__file__).parents[3] / "docs" / "model-card.md"
    assert written.read_text() == card_page(), "run: python -m pnd_dagster.messages.card > docs/model-card.md"


def test_what_ships_is_under_25_megabytes() -> None:
    assert sum(path.stat().st_size for path in PACKAGED_DIR.iterdir()) < 25e6
