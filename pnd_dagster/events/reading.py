"""One message as the replay sees it: its place in the channel, its label, and what its text says, read when asked for."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from pnd_dagster.events.exchanges import read_exchange
from pnd_dagster.events.symbols import SymbolReading, read_symbol
from pnd_dagster.messages.normalise import normalise

_KEPT_TEXTS = 50_000  # the same texts come again and again, in one channel and across channels
_TURKISH = str.maketrans("İı", "Ii")  # 'BİNANCE' is no other exchange
NAMED_POINTS = 3.0  # evidence from which a caption names the coin itself, whatever its picture shows
_IMAGE_POINTS = 6.0  # a reveal in a picture is as good as a trade link
LONGEST_TEXT = 20_000  # characters; what stands further down announces nothing


class Message(NamedTuple):
    """A message revision. `text` is normalised; `date` is when this text was known, UTC; `image_symbol` is what its picture reveals."""

    channel_id: int
    message_id: int
    date: datetime
    raw_text: str
    label: int
    confidence: float
    image_symbol: str | None = None
    image_confidence: float | None = None

    @property
    def text(self) -> str:
        """The normalised text."""
        return normalised(self.raw_text)

    @property
    def exchange(self) -> str | None:
        """The exchange the text means."""
        return _exchange(self.raw_text)

    def symbol(self, known_symbols: frozenset[str]) -> SymbolReading | None:
        """The coin the text names, or the picture where the text hardly names one."""
        spoken = read_symbol_of(self.raw_text, known_symbols)
        if self.image_symbol is None or (spoken and spoken.points >= NAMED_POINTS):
            return spoken
        return SymbolReading(self.image_symbol, self.image_confidence or 0.0, _IMAGE_POINTS, ("image",))


@lru_cache(maxsize=_KEPT_TEXTS)
def normalised(raw_text: str) -> str:
    """Normalised text, remembered."""
    return normalise(raw_text[:LONGEST_TEXT]).translate(_TURKISH)


@lru_cache(maxsize=_KEPT_TEXTS)
def _exchange(raw_text: str) -> str | None:
    return read_exchange(normalised(raw_text))


@lru_cache(maxsize=_KEPT_TEXTS)
def read_symbol_of(raw_text: str, known_symbols: frozenset[str]) -> SymbolReading | None:
    """The coin a raw text names, remembered."""
    return read_symbol(normalised(raw_text), known_symbols)
