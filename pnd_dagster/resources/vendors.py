"""Metadata of what was collected from a vendor."""

from __future__ import annotations

from typing import Any

import polars as pl
import sqlalchemy as sa

from pnd_dagster.resources import table_metadata
from pnd_dagster.snapshots.collected import Collected


def collected_metadata(table: sa.Table, collected: Collected, engine: sa.Engine) -> dict[str, Any]:
    """What was written, refused and left unread, and what it cost of the vendor's quota."""
    unread = pl.DataFrame(
        {"column": list(collected.unread), "rows": list(collected.unread.values())}, schema={"column": pl.String, "rows": pl.Int64}
    )
    return table_metadata.written(table, collected.written, engine) | {
        "coins": collected.coins,
        "refused": collected.refused,
        "requests": collected.requests,
        "credits": collected.credits,
        "unread_values": table_metadata.preview(unread, 50),
    }
