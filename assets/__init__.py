"""The graph. One module per group; only definitions."""

from assets import (
    analysis,
    candidates,
    conduct,
    events,
    learned_filter,
    market,
    messages,
    models,
    rankings,
    readings,
    snapshots,
    telegram,
    warehouse,
)

ASSET_GROUPS = {
    "telegram": [telegram],
    "messages": [messages],
    "models": [models],
    "readings": [readings],
    "events": [events],
    "market": [market],
    "snapshots": [snapshots],
    "candidates": [candidates],
    "rankings": [rankings],
    "conduct": [conduct],
    "warehouse": [warehouse],
    "analysis": [analysis, learned_filter],
}
