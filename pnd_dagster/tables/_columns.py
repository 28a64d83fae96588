"""Column constructors shared by the table declarations. Every column has a comment; quantities carry a unit."""

from __future__ import annotations

from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

METADATA = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
    }
)

TIMESTAMP_UTC = sa.TIMESTAMP(timezone=True)


# What an upsert does to a column of a row that exists: "first" keeps the value first written, "change" rewrites it only when
# another column changes, "known" lets NULL overwrite nothing; otherwise the new value counts.
OnUpdate = Literal["first", "change", "known"]


def key(name: str, type_: Any, comment: str, *, unit: str | None = None) -> sa.Column[Any]:
    """A primary key column."""
    return column(name, type_, comment, unit=unit, nullable=False, primary_key=True)


def column(
    name: str,
    type_: Any,
    comment: str,
    *,
    unit: str | None = None,
    nullable: bool = True,
    primary_key: bool = False,
    on_update: OnUpdate | None = None,
) -> sa.Column[Any]:
    """A column with its comment, and its unit in `info` where it is a quantity."""
    if type_ is sa.TIMESTAMP:
        type_, unit = TIMESTAMP_UTC, unit or "UTC"
    # autoincrement=False: keys are natural here, never sequences.
    return sa.Column(
        name,
        type_,
        comment=comment,
        nullable=nullable,
        primary_key=primary_key,
        autoincrement=False,
        info={name: value for name, value in (("unit", unit), ("on_update", on_update)) if value},
    )


def one_of(name: str, values: tuple[str, ...]) -> sa.CheckConstraint:
    """A CHECK that a text column holds one of `values`."""
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{name} IN ({listed})", name=name)


TEXT_ARRAY = pg.ARRAY(sa.Text)
BIGINT_ARRAY = pg.ARRAY(sa.BigInteger)
