"""Numbers that can be prices, quantities or values. Zero, NaN, the infinite and the absurd are no price, whichever source says so."""

from __future__ import annotations

import polars as pl

LEAST, MOST = 1e-30, 1e30
"""Beyond these a number is a slip of its source, and ratios of such numbers would overflow."""


def positive(*names: str) -> pl.Expr:
    """Whether all these columns hold a positive, finite number."""
    return pl.all_horizontal(pl.col(name).is_between(LEAST, MOST) for name in names)


def not_negative(*names: str) -> pl.Expr:
    """Whether all these columns hold a finite number of 0 or more."""
    return pl.all_horizontal(pl.col(name).is_between(0, MOST) for name in names)


def known(name: str) -> pl.Expr:
    """The column, NULL where it is not finite."""
    return pl.when(pl.col(name).is_between(-MOST, MOST)).then(name).alias(name)
