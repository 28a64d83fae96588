"""`pnd detect`: pumps that show on the market after their start."""

from __future__ import annotations

import logging
from typing import Any

from rich.markup import escape

from pnd_dagster.cli.console import OUT, say
from pnd_dagster.settings import settings


def detect() -> None:
    """Flag pumps on the collected exchanges within seconds of their start, announced or not, until Ctrl-C."""
    from pnd_dagster.services.detect import run_until_told
    from pnd_dagster.storage import connect

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    say(f"watching {', '.join(settings().exchanges)}; Ctrl-C ends it")
    run_until_told(connect(settings()), settings(), _show)


def _show(row: dict[str, Any]) -> None:
    announced = "announced" if row["pump_id"] else "not announced"
    line = f"{row['detected_at']:%Y-%m-%d %H:%M:%S} UTC  {row['exchange']}  {row['symbol']}  suspected pump, {announced}: {row['reason']}"
    OUT.print(escape(line), highlight=False, soft_wrap=True)
