"""Cheap random numbers for the simulated markets."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np


class Noise:
    """Cheap random draws for markets: uniform ones, and others from tables made once.

    `exponential` has mean 1, `normal` mean 0 and deviation 1, `size` median 1 with the heavy tail of order sizes.
    """

    _TABLE = 8192

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.uniform: Callable[[], float] = Random(seed).random
        self._exponential: list[float] = rng.exponential(size=self._TABLE).tolist()
        self._normal: list[float] = rng.normal(size=self._TABLE).tolist()
        self._size: list[float] = rng.lognormal(0.0, 0.9, self._TABLE).tolist()

    def exponential(self) -> float:
        """A draw with mean 1."""
        return self._exponential[int(self.uniform() * self._TABLE)]

    def normal(self) -> float:
        """A draw with mean 0 and deviation 1."""
        return self._normal[int(self.uniform() * self._TABLE)]

    def size(self) -> float:
        """A draw with median 1 and mean 1.5."""
        return self._size[int(self.uniform() * self._TABLE)]
