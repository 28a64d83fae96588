"""From labelled messages to pump events: readers of time, exchange, pair and symbol, announcement state, releases, clustering."""

from pnd_dagster.events.channels import ChannelPumps, build_channel
from pnd_dagster.events.clusters import cluster_events
from pnd_dagster.events.extraction import EXTRACTOR_VERSION, Extraction, extract_events
from pnd_dagster.events.schedule import schedule_pumps
from pnd_dagster.events.symbols import load_known_symbols

__all__ = [
    "EXTRACTOR_VERSION",
    "ChannelPumps",
    "Extraction",
    "build_channel",
    "cluster_events",
    "extract_events",
    "load_known_symbols",
    "schedule_pumps",
]
