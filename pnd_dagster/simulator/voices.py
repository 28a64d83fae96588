"""What makes one channel sound unlike another: its templates, its clock, its letters, its habits.

Slots of the templates: exchange, quote, day, hour, left, delay, symbol (in the channel's lettering), ticker (plain), url,
target, gain, volume, handle. The templates themselves stand in `pump_channels` and `other_channels`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pnd_dagster.simulator.clocks import ENGLISH_UNITS, Clock, clock
from pnd_dagster.simulator.lettering import Lettering, plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A channel's character.

    Attributes:
        noise_per_day: posts a day that have nothing to do with a pump.
        topics: shared noise topics (`small_talk.TOPICS`) and their weights.
        own_noise: noise in the channel's own words.
        dress: prefix and suffix pairs put around shared noise.
        lead_weight: how often it leads a pump, relative to the others; 0 for channels that never pump.
        is_ally: joins pumps that others lead.
        forwards_share: share of others' pumps whose posts it forwards.
        countdown: minutes before the pump at which it posts.
        image_share: share of its pumps revealed by an image.
        members_per_day: posts a day by members (groups).
        is_raided: texts sent to break readers are posted in it.
    """

    title: str
    username: str
    noise_per_day: float
    topics: dict[str, float]
    own_noise: tuple[str, ...] = ()
    dress: tuple[tuple[str, str], ...] = (("", ""),)
    lead_weight: float = 0
    is_ally: bool = False
    forwards_share: float = 0
    exchanges: tuple[str, ...] = ()
    clock: Clock = field(default_factory=lambda: clock("iso", "24", "UTC"))
    units: tuple[str, str, str, str] = ENGLISH_UNITS
    letters: tuple[Lettering, ...] = (plain,)
    title_letters: Lettering = plain
    countdown: tuple[int, ...] = ()
    image_share: float = 0
    members_per_day: float = 0
    is_raided: bool = False
    announcements: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()
    countdowns: tuple[str, ...] = ()
    last_calls: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    split_release: tuple[str, ...] = ()
    hype: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    delays_by: tuple[str, ...] = ()
    delays_to: tuple[str, ...] = ()
    cancellations: tuple[str, ...] = ()
