"""The graph. One module per group; only definitions."""

from assets import events, messages, telegram

ASSET_GROUPS = {
    "telegram": [telegram],
    "messages": [messages],
    "events": [events],
}
