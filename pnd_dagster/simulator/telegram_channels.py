"""A believable set of Telegram channels with known pumps: the demo's input, and the truth to compare its output with.

The same arguments give the same messages. The channels speak in many styles; the frame has the columns of a message archive.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import polars as pl

from pnd_dagster.simulator.drafts import Draft
from pnd_dagster.simulator.idle_posts import post_idly
from pnd_dagster.simulator.markets import INVENTED_COINS, REAL_COINS
from pnd_dagster.simulator.other_channels import OTHER_CHANNELS
from pnd_dagster.simulator.pump_channels import PUMP_CHANNELS
from pnd_dagster.simulator.pumps import Pump, plan_pumps
from pnd_dagster.simulator.reveals import Reveal, draw
from pnd_dagster.simulator.scripts import play
from pnd_dagster.simulator.voices import Voice

UTC_DATETIME = pl.Datetime("us", "UTC")
MESSAGE_SCHEMA = pl.Schema(
    {
        "channel_id": pl.Int64,
        "channel_title": pl.String,
        "message_id": pl.Int64,
        "kind": pl.String,
        "date": UTC_DATETIME,
        "edit_date": UTC_DATETIME,
        "text": pl.String,
        "views": pl.Int64,
        "forwards": pl.Int64,
        "replies": pl.Int64,
        "reply_to_msg_id": pl.Int64,
        "fwd_channel_id": pl.Int64,
        "fwd_channel_post": pl.Int64,
        "media_type": pl.String,
        "image_file": pl.String,
        "pinned": pl.Boolean,
        "posted_by_user": pl.Boolean,
        "grouped_id": pl.Int64,
        "action": pl.String,
        "source": pl.String,
    }
)
TRUTH_SCHEMA = pl.Schema(
    {
        "event_number": pl.Int64,
        "channel_ids": pl.List(pl.Int64),
        "exchange": pl.String,
        "symbol": pl.String,
        "quote": pl.String,
        "announced_at": UTC_DATETIME,
        "first_scheduled_at": UTC_DATETIME,
        "scheduled_at": UTC_DATETIME,
        "released_at": UTC_DATETIME,
        "outcome": pl.String,
        "is_image_reveal": pl.Boolean,
    }
)
_SOURCE = "simulated"
# Pump channels and others alternate, so that a small set has both.
VOICES: tuple[Voice, ...] = (
    *(voice for pair in zip(PUMP_CHANNELS[: len(OTHER_CHANNELS)], OTHER_CHANNELS, strict=True) for voice in pair),
    *PUMP_CHANNELS[len(OTHER_CHANNELS) :],
)


class Simulation(NamedTuple):
    """Messages as an archive holds them, the pumps behind them, who the channels are, and the pictures by file name."""

    messages: pl.DataFrame
    events: pl.DataFrame
    channels: pl.DataFrame
    reveals: dict[str, Reveal]


def simulate_channels(*, seed: int, end_at: datetime, days: int = 60, channel_count: int = 12) -> Simulation:
    """Histories of `channel_count` channels over the `days` before `end_at`.

    Args:
        seed: the same seed and `end_at` give the same simulation.
        end_at: no message and no pump is later than this; with a time zone.
        days: length of the histories.
        channel_count: how many of the `VOICES` take part.

    Returns:
        The simulation. Messages are sorted by channel, date and id; a message edited later holds its last text.

    Raises:
        ValueError: more channels than there are voices, a time without a zone, or no day at all.
    """
    if not 1 <= channel_count <= len(VOICES):
        raise ValueError(f"channel_count must lie between 1 and {len(VOICES)}, not {channel_count}")
    if end_at.tzinfo is None:
        raise ValueError("end_at needs a time zone")
    if days < 1:
        raise ValueError(f"days must be at least 1, not {days}")
    rng = Random(seed)
    end_at = end_at.astimezone(UTC)
    start_at = end_at - timedelta(days=days)
    voices = VOICES[:channel_count]
    channel_ids = [1_000_000_000 + number for number in rng.sample(range(900_000_000), channel_count)]
    pumps = plan_pumps(voices, start_at=start_at, end_at=end_at, rng=rng)
    drafts: list[Draft] = []
    for pump in pumps:
        reveal = _make_reveal(pump, rng) if pump.is_image_reveal else None
        posts = [draft for channel in pump.channels for draft in play(pump, channel, voices[channel], reveal, rng)]
        drafts += posts + _forward(posts, pump, voices, rng)
    for channel, voice in enumerate(voices):
        drafts += post_idly(channel, voice, VOICES, start_at=start_at, days=days, rng=rng)
    drafts = [draft for draft in drafts if start_at <= draft.posted_at <= end_at]
    for draft in drafts:
        if draft.edited_at is not None and draft.edited_at > end_at:
            draft.edited_at = None
    drafts.sort(key=lambda draft: (draft.channel, draft.posted_at))
    _number_messages(drafts, rng)
    messages = pl.DataFrame([_row(draft, voices, channel_ids, rng) for draft in drafts], schema=MESSAGE_SCHEMA, orient="row")
    reveals = {_image_file(draft, channel_ids): draft.reveal for draft in drafts if draft.reveal is not None}
    events = pl.DataFrame([_truth(pump, channel_ids) for pump in pumps], schema=TRUTH_SCHEMA, orient="row")
    channels = pl.DataFrame(
        {
            "channel_id": channel_ids,
            "title": [voice.title_letters(voice.title) for voice in voices],
            "username": [voice.username for voice in voices],
            "is_pumping": [voice.lead_weight > 0 for voice in voices],
        }
    )
    return Simulation(messages, events, channels, reveals)


def write_simulation(simulation: Simulation, folder: Path) -> None:
    """Writes `archive.parquet`, `truth.parquet` and `images/*.png` into `folder`, which is made if it is missing."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    simulation.messages.write_parquet(folder / "archive.parquet")
    simulation.events.write_parquet(folder / "truth.parquet")
    for name, reveal in simulation.reveals.items():
        draw(reveal).save(images / name)


def _make_reveal(pump: Pump, rng: Random) -> Reveal:
    first, second, third, fourth = rng.sample([coin for coin in REAL_COINS + INVENTED_COINS if coin != pump.symbol], 4)
    place = rng.randrange(4)
    tickers = [first, second, third, fourth]
    tickers[place] = pump.symbol
    return Reveal((tickers[0], tickers[1], tickers[2], tickers[3]), place, rng.randrange(1_000_000))


def _forward(posts: list[Draft], pump: Pump, voices: tuple[Voice, ...], rng: Random) -> list[Draft]:
    """Forwards of the leader's posts by channels that repeat what others say."""
    forwards: list[Draft] = []
    for channel, voice in enumerate(voices):
        if rng.random() >= voice.forwards_share:
            continue
        for post in posts:
            if post.channel == pump.channels[0] and post.action is None and rng.random() < 0.35:
                posted_at = post.posted_at + timedelta(seconds=rng.randrange(20, 900))
                forwards.append(
                    Draft(
                        channel=channel,
                        posted_at=posted_at,
                        text=post.text,
                        media_type=post.media_type,
                        reveal=post.reveal,
                        forward_of=post,
                        is_by_member=voice.members_per_day > 0 and rng.random() < 0.5,
                    )
                )
    return forwards


def _number_messages(drafts: list[Draft], rng: Random) -> None:
    """Ids rise with time within a channel; now and then one is missing, as after a deletion."""
    last_ids: dict[int, int] = {}
    for draft in drafts:
        draft.message_id = last_ids.get(draft.channel, 0) + (1 if rng.random() < 0.96 else rng.randrange(2, 5))
        last_ids[draft.channel] = draft.message_id


def _image_file(draft: Draft, channel_ids: list[int]) -> str:
    return f"{channel_ids[draft.channel]}_message_{draft.message_id}.png"


def _row(draft: Draft, voices: tuple[Voice, ...], channel_ids: list[int], rng: Random) -> dict[str, Any]:
    voice = voices[draft.channel]
    views = None if draft.action else int(draft.reach * rng.lognormvariate(7.5, 0.4))
    forwarded = (channel_ids[draft.forward_of.channel], draft.forward_of.message_id) if draft.forward_of else draft.forward_from_outside
    return {
        "channel_id": channel_ids[draft.channel],
        "channel_title": voice.title_letters(voice.title),
        "message_id": draft.message_id,
        "kind": "MessageService" if draft.action else "Message",
        "date": draft.posted_at,
        "edit_date": draft.edited_at,
        "text": draft.text,
        "views": views,
        "forwards": None if views is None else int(views * rng.uniform(0, 0.02)),
        "replies": rng.randrange(20) if voice.members_per_day and views else None,
        "reply_to_msg_id": draft.reply_to.message_id if draft.reply_to else None,
        "fwd_channel_id": forwarded[0] if forwarded else None,
        "fwd_channel_post": forwarded[1] if forwarded else None,
        "media_type": draft.media_type,
        "image_file": _image_file(draft, channel_ids) if draft.reveal else None,
        "pinned": draft.is_pinned if not draft.action else None,
        "posted_by_user": draft.is_by_member if not draft.action else None,
        "grouped_id": draft.grouped_id,
        "action": draft.action,
        "source": _SOURCE,
    }


def _truth(pump: Pump, channel_ids: list[int]) -> dict[str, Any]:
    return {
        "event_number": pump.number,
        "channel_ids": [channel_ids[channel] for channel in pump.channels],
        "exchange": pump.exchange,
        "symbol": pump.symbol,
        "quote": pump.quote,
        "announced_at": pump.announced_at,
        "first_scheduled_at": pump.first_scheduled_at,
        "scheduled_at": pump.scheduled_at,
        "released_at": pump.released_at,
        "outcome": pump.outcome,
        "is_image_reveal": pump.is_image_reveal,
    }
