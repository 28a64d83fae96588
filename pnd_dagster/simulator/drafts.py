"""Messages before they have ids: channels write drafts, and ids follow once all drafts stand in time order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pnd_dagster.simulator.reveals import Reveal


@dataclass(slots=True, kw_only=True, eq=False)
class Draft:
    """A message of one channel. `message_id` is 0 until `number_messages` has set it."""

    channel: int
    posted_at: datetime
    text: str
    edited_at: datetime | None = None
    media_type: str | None = None
    reveal: Reveal | None = None
    reply_to: Draft | None = None
    forward_of: Draft | None = None
    forward_from_outside: tuple[int, int] | None = None
    action: str | None = None
    is_pinned: bool = False
    is_by_member: bool = False
    grouped_id: int | None = None
    reach: float = 1.0
    message_id: int = 0
