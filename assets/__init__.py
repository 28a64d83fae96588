"""The graph. One module per group; only definitions."""

from assets import candidates, events, market, messages, snapshots, telegram

ASSET_GROUPS = {
    "telegram": [telegram],
    "messages": [messages],
    "events": [events],
    "market": [market],
    "snapshots": [snapshots],
    "candidates": [candidates],
}
