"""What channels post when there is no pump: small talk from the shared topics and in their own words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

from pnd_dagster.simulator import small_talk
from pnd_dagster.simulator.drafts import Draft
from pnd_dagster.simulator.markets import INVENTED_COINS, MAJORS, REAL_COINS, VENUES
from pnd_dagster.simulator.voices import Voice


def post_idly(channel: int, voice: Voice, voices: Sequence[Voice], *, start_at: datetime, days: int, rng: Random) -> list[Draft]:
    """Everything `channel` posts apart from pumps, its creation and a change of title included; `voices` are those it may praise."""
    drafts = [Draft(channel=channel, posted_at=start_at + timedelta(seconds=channel), text="", action="MessageActionChannelCreate")]
    if days > 10 and rng.random() < 0.4:
        renamed_at = start_at + timedelta(days=rng.uniform(3, days - 3))
        drafts.append(Draft(channel=channel, posted_at=renamed_at, text="", action="MessageActionChatEditTitle"))
    for _ in range(round(days * voice.noise_per_day)):
        drafts += _noise_post(channel, voice, voices, _waking_hour(start_at, days, rng), rng)
    for _ in range(round(days * voice.members_per_day)):
        text = _fill(rng.choice(small_talk.MEMBER_LINES), voice, voices, rng)
        drafts.append(Draft(channel=channel, posted_at=_waking_hour(start_at, days, rng), text=text, is_by_member=True, reach=0.3))
    if voice.is_raided:
        raids = rng.sample(small_talk.HOSTILE_TEXTS, min(len(small_talk.HOSTILE_TEXTS), 1 + days // 5))
        for template in raids:
            text = _fill(template, voice, voices, rng)
            drafts.append(Draft(channel=channel, posted_at=_waking_hour(start_at, days, rng), text=text))
        drafts.append(Draft(channel=channel, posted_at=_waking_hour(start_at, days, rng), text=small_talk.long_text(rng)))
    return drafts


def _noise_post(channel: int, voice: Voice, voices: Sequence[Voice], posted_at: datetime, rng: Random) -> list[Draft]:
    if voice.own_noise and rng.random() < 0.2:
        return [Draft(channel=channel, posted_at=posted_at, text=_fill(rng.choice(voice.own_noise), voice, voices, rng))]
    topic = rng.choices(list(voice.topics), list(voice.topics.values()))[0]
    text = _fill(rng.choice(small_talk.TOPICS[topic]), voice, voices, rng)
    draft = Draft(channel=channel, posted_at=posted_at, text=text)
    if topic in small_talk.MEDIA:
        draft.media_type = rng.choice(small_talk.MEDIA[topic])
        if topic == "photo" and rng.random() < 0.25:
            draft.grouped_id = rng.randrange(10**15)
            rest = Draft(channel=channel, posted_at=posted_at, text="", media_type="MessageMediaPhoto", grouped_id=draft.grouped_id)
            return [draft, rest]
    elif rng.random() < 0.7:
        before, after = rng.choice(voice.dress)
        draft.text = f"{before}{text}{after}"
    if "https://" in text and draft.media_type is None:
        draft.media_type = "MessageMediaWebPage"
    if rng.random() < 0.05:
        draft.edited_at = posted_at + timedelta(minutes=rng.randrange(1, 300))
    if topic in ("news", "advert", "vip_offer") and rng.random() < 0.15:
        draft.forward_from_outside = (1_950_000_000 + rng.randrange(40), rng.randrange(1, 9_000))
    return [draft]


def _fill(template: str, voice: Voice, voices: Sequence[Voice], rng: Random) -> str:
    venues = tuple(venue.spellings[0] for venue in VENUES.values())
    return small_talk.fill(
        template,
        rng,
        coins=REAL_COINS + INVENTED_COINS,
        majors=MAJORS,
        venues=venues,
        username=voice.username,
        other=rng.choice(voices).username,
    )


def _waking_hour(start_at: datetime, days: int, rng: Random) -> datetime:
    """A time within the history, by day more often than by night."""
    day = start_at + timedelta(days=rng.randrange(days))
    return day + timedelta(seconds=int(rng.triangular(0, 86_399, 57_600)))
