"""Snowball search: from pump channels we know, over their links and forwards, to channels we do not know yet.

It only produces candidates; a human validates or rejects them. It knows no model and no source: reading, classifying and
resolving are passed in.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from pnd_dagster.errors import PndError
from pnd_dagster.storage.dead_letters import Refusal, dead_letters
from pnd_dagster.telegram.links import ChannelLink, candidates, find_channel_links, link_id

SOURCE = "snowball"
SAMPLE_SIZE = 200

ReadMessages = Callable[[int], pl.DataFrame]
Classify = Callable[[list[str]], "Sequence[float] | np.ndarray[Any, Any]"]


class ResolvedChannel(NamedTuple):
    """A channel behind a link."""

    channel_id: int
    title: str | None = None
    username: str | None = None


Resolve = Callable[[ChannelLink], ResolvedChannel | None]


class Snowball(NamedTuple):
    """What a snowball search found.

    Attributes:
        channels: candidates, rows of raw.telegram_channels, in the order of finding.
        dead_letters: channels that could not be read and links that could not be resolved.
        followed_channel_ids: channels whose links were followed, seeds included.
        skipped_count: channels that were seen but left out because `max_channels` was reached.
    """

    channels: pl.DataFrame
    dead_letters: pl.DataFrame
    followed_channel_ids: list[int]
    skipped_count: int


class _Reference(NamedTuple):
    channel_id: int
    link: str | None
    title: str | None
    username: str | None


def snowball(
    seed_channel_ids: Iterable[int],
    *,
    read_messages: ReadMessages,
    classify: Classify,
    resolve: Resolve | None = None,
    threshold: float = 0.1,
    max_depth: int = 2,
    max_channels: int = 200,
    discovered_at: datetime,
    progress: Callable[[int, int], None] | None = None,
) -> Snowball:
    """Channels that pump channels link to, mention or forward from, breadth first.

    A channel is followed only if the share of pump messages among its last texts is above `threshold`; all found channels are
    candidates, with their share where they could be read. Every channel is read at most once, so cycles end.

    Args:
        seed_channel_ids: channels to start from; they are no candidates.
        read_messages: gives a channel's messages with `text` and, where known, `occurred_at` and `forwarded_from_channel_id`;
            an empty frame for a channel we have nothing of.
        classify: gives for each text the probability (or 0 and 1) that it is a pump message.
        resolve: gives the channel behind a link, None if it is unknown. Without it, or for None, a link is a candidate under a
            negative id and not followed, and a bare @mention is left out, for it may be a person.
        threshold: share above which a channel is followed.
        max_depth: steps from the seeds.
        max_channels: candidates at most; those most referred to come first.
        discovered_at: when we knew of these channels.
        progress: called for every channel read, with the numbers of channels read and found.

    Raises:
        ValueError: a bound makes no sense.
    """
    if not 0 <= threshold < 1 or max_depth < 1 or max_channels < 1:
        raise ValueError("threshold must lie in [0, 1), max_depth and max_channels be at least 1")
    seeds = list(dict.fromkeys(seed_channel_ids))
    known = set(seeds)
    rows: dict[int, dict[str, Any]] = {}
    refusals: list[Refusal] = []
    followed: list[int] = []
    skipped: set[int] = set()
    read_count = 0
    waiting = deque((channel_id, 0) for channel_id in seeds)

    def resolve_or_refuse(link: ChannelLink) -> ResolvedChannel | None:
        try:
            return resolve(link) if resolve is not None else None
        except PndError as error:
            refusals.append(Refusal(link.link, f"cannot be resolved: {error}", None))
            return None

    while waiting:
        channel_id, depth = waiting.popleft()
        try:
            messages = read_messages(channel_id)
        except PndError as error:
            refusals.append(Refusal(f"channel {channel_id}", f"cannot be read: {error}", None))
            continue
        read_count += 1
        share = pump_share(messages, classify)
        if channel_id in rows:
            rows[channel_id]["pump_share_ratio"] = share
        if progress is not None:
            progress(read_count, len(rows))
        if share is None or share <= threshold or depth == max_depth:
            continue
        followed.append(channel_id)
        for reference in _references(messages, resolve_or_refuse):
            if reference.channel_id in known:
                continue
            if len(rows) >= max_channels:
                skipped.add(reference.channel_id)
                continue
            known.add(reference.channel_id)
            rows[reference.channel_id] = {**reference._asdict(), "found_via": SOURCE, "found_from_channel_id": channel_id}
            if reference.channel_id > 0:
                waiting.append((reference.channel_id, depth + 1))
    return Snowball(
        channels=candidates(rows.values(), discovered_at=discovered_at),
        dead_letters=dead_letters(SOURCE, refusals, refused_at=discovered_at),
        followed_channel_ids=followed,
        skipped_count=len(skipped),
    )


def pump_share(messages: pl.DataFrame, classify: Classify) -> float | None:
    """Mean pump probability of a channel's last `SAMPLE_SIZE` texts; None if it has no text."""
    if messages.is_empty():
        return None
    ordered = messages.sort("occurred_at") if "occurred_at" in messages.columns else messages
    written = ordered["text"].drop_nulls()
    texts = written.filter(written.str.strip_chars() != "").tail(SAMPLE_SIZE).to_list()
    if not texts:
        return None
    shares = np.asarray(classify(texts), dtype=np.float64)
    if shares.shape != (len(texts),) or not np.isfinite(shares).all():
        raise ValueError(f"classify must give one finite number for each of {len(texts)} texts, not {shares.shape}")
    return float(shares.mean())


def resolve_known(channels: pl.DataFrame) -> Resolve:
    """A resolver that knows the channels of a frame with channel_id, title, username and link, such as raw.telegram_channels."""
    by_name: dict[str, ResolvedChannel] = {}
    by_link: dict[str, ResolvedChannel] = {}
    for row in channels.filter(pl.col("channel_id") > 0).iter_rows(named=True):
        channel = ResolvedChannel(row["channel_id"], row["title"], row["username"])
        if row["username"]:
            by_name[row["username"].lower()] = channel
        if row["link"]:
            by_link[row["link"]] = channel

    def resolve(link: ChannelLink) -> ResolvedChannel | None:
        return by_name.get((link.username or "").lower()) or by_link.get(link.link)

    return resolve


def _references(messages: pl.DataFrame, resolve: Resolve) -> list[_Reference]:
    """Channels that `messages` point to, the most frequent first, those of equal frequency in order of their ids."""
    counts: Counter[int] = Counter()
    found: dict[int, _Reference] = {}
    if "forwarded_from_channel_id" in messages.columns:
        for channel_id in messages["forwarded_from_channel_id"].drop_nulls().to_list():
            counts[channel_id] += 1
            found.setdefault(channel_id, _Reference(channel_id, None, None, None))
    for link, count in _count_links(messages["text"].drop_nulls().to_list()):
        reference = _resolved(link, resolve)
        if reference is not None:
            counts[reference.channel_id] += count
            earlier = found.get(reference.channel_id)
            if earlier is None or earlier.link is None:
                found[reference.channel_id] = reference
    return [found[channel_id] for channel_id, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def _count_links(texts: list[str]) -> list[tuple[ChannelLink, int]]:
    counts: Counter[str] = Counter()
    links: dict[str, ChannelLink] = {}
    for text in texts:
        for link in find_channel_links(text):
            counts[link.key] += 1
            if link.key not in links or links[link.key].is_mention:
                links[link.key] = link
    return [(links[key], count) for key, count in counts.items()]


def _resolved(link: ChannelLink, resolve: Resolve) -> _Reference | None:
    channel = resolve(link)
    if channel is not None:
        return _Reference(channel.channel_id, link.link, channel.title, channel.username or link.username)
    if link.is_mention:
        return None
    return _Reference(link_id(link), link.link, None, link.username)
