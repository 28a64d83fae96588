"""`make bench [ARGS=messages]`: one table; each row is a ratio against a named peer measured in the same run."""

from __future__ import annotations

import importlib
import sys

from rich.console import Console
from rich.table import Table

SUBJECTS = ("messages", "events", "storage", "market", "ticks", "ranking", "detection", "feeds", "latency")


def main(subjects: list[str]) -> None:
    """Runs the benchmarks and prints their rows; rates are per second, a ratio above 1 means ours is faster."""
    table = Table("what", "n", "rows/s", "peer", "peer rows/s", "ratio")
    for subject in subjects or SUBJECTS:
        for row in importlib.import_module(f"benchmarks.{subject}").run():
            rates = (f"{row[name]:,}" for name in ("n", "rows_per_second", "peer_rows_per_second"))
            n, rate, peer_rate = rates
            table.add_row(row["what"], n, rate, row["peer"], peer_rate, str(row["ratio"]))
    Console().print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
