"""Names of coins, made comparable across exchanges and vendors."""

from __future__ import annotations

import re
import unicodedata

# Words that one vendor adds to a coin's name and another leaves out.
_FILLERS = frozenset({"token", "coin", "protocol", "network", "finance", "project", "the", "dao", "usd"})
_WORD = re.compile(r"[^\W_]+")


def normalised_name(name: str | None) -> str:
    """Letters and digits of a name in one case and width; '' for none. `Ocean Protocol (old)` becomes `oceanprotocolold`."""
    return "".join(_words(name))


def loose_name(name: str | None) -> str:
    """The same without words such as Token or Protocol; the whole name where nothing else is in it."""
    words = _words(name)
    return "".join(word for word in words if word not in _FILLERS) or "".join(words)


def _words(name: str | None) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", name or "").casefold())
