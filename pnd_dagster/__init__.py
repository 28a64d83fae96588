"""A data platform that warns of crypto pump-and-dump schemes before they happen."""

from importlib.metadata import version

__version__ = version("pnd-dagster")
