"""Red in pictures: the share of red in a word, and red rings around words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pnd_dagster.images.words import Word

# OpenCV's hue runs from 0 to 179; red lies around its seam.
_RED_HUES = 10
_LEAST_SATURATION = 60
_LEAST_VALUE = 80
_INK_DISTANCE = 60
_SECTORS = 16
_RING_SECTORS = 11


def red_mask(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pixels of an RGB picture are red: hue within 20 degrees of red, neither pale nor dark."""
    import cv2

    hue, saturation, value = np.moveaxis(cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV), 2, 0)
    return ((hue <= _RED_HUES) | (hue >= 180 - _RED_HUES)) & (saturation >= _LEAST_SATURATION) & (value >= _LEAST_VALUE)


def red_ratio(pixels: NDArray[np.uint8], red: NDArray[np.bool_], word: Word) -> float:
    """Share of red in the ink of a word, or in its ground where that is red.

    The ground is the most frequent colour of the word's box, the ink whatever differs clearly from it.
    """
    rows, columns = slice(max(0, int(word.top)), int(word.bottom) + 1), slice(max(0, int(word.left)), int(word.right) + 1)
    box, box_red = pixels[rows, columns].reshape(-1, 3).astype(np.int16), red[rows, columns].ravel()
    if not box.size:
        return 0.0
    shades = box // 32 @ np.array([64, 8, 1], dtype=np.int16)
    is_ground = shades == np.bincount(shades).argmax()
    if box_red[is_ground].mean() > 0.5:
        return float(box_red.mean())
    ink = np.abs(box - np.median(box[is_ground], axis=0)).max(axis=1) > _INK_DISTANCE
    return float(box_red[ink].mean()) if ink.any() else 0.0


def ringed(red: NDArray[np.bool_], words: list[Word]) -> list[bool]:
    """Which words have a red ring: one connected red line that runs around most of the word, and not around the whole picture."""
    import cv2

    height, width = red.shape
    joined = cv2.dilate(red.astype(np.uint8), np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    rings = [
        (np.nonzero(labels == ring), stats[ring, :4])
        for ring in range(1, count)
        if stats[ring, 4] < 0.5 * stats[ring, 2] * stats[ring, 3] and (stats[ring, 2] < 0.8 * width or stats[ring, 3] < 0.8 * height)
    ]
    return [any(_surrounds(places, bounds, word) for places, bounds in rings) for word in words]


def _surrounds(places: tuple[NDArray[np.intp], ...], bounds: NDArray[Any], word: Word) -> bool:
    left, top, ring_width, ring_height = (float(value) for value in bounds)
    slack_x, slack_y = 0.1 * (word.right - word.left), 0.25 * (word.bottom - word.top)
    is_inside = left <= word.left + slack_x and top <= word.top + slack_y
    is_inside &= left + ring_width >= word.right - slack_x and top + ring_height >= word.bottom - slack_y
    if not is_inside:
        return False
    rows, columns = places
    # Ink of the word itself is no ring: only what lies outside the inner part of its box counts.
    outer = (
        (columns < word.left + slack_x) | (columns > word.right - slack_x) | (rows < word.top + slack_y) | (rows > word.bottom - slack_y)
    )
    x = (columns[outer] - (word.left + word.right) / 2) / max(1.0, word.right - word.left)
    y = (rows[outer] - (word.top + word.bottom) / 2) / max(1.0, word.bottom - word.top)
    sectors = ((np.arctan2(y, x) + np.pi) / (2 * np.pi) * _SECTORS).astype(int) % _SECTORS
    return bool(np.count_nonzero(np.bincount(sectors)) >= _RING_SECTORS)
