"""Replays of channels that are kept in memory, so that a new message costs what it holds and not what its channel holds.

A kept replay goes on only when nothing but later messages has come since; whatever else changed (an edit in the past, a human's label, a
picture that was read, another version), the channel is replayed from its beginning.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.events.channels import ChannelPumps, ChannelReplay, build_channel
from pnd_dagster.events.labelled import labelled_messages, without_members
from pnd_dagster.messages.classifier import Classifier

CHANNELS_PER_STEP = 20


class _Build(NamedTuple):
    """A row of core.channel_builds: what a replay has read."""

    channel_id: int
    labels_through_at: datetime
    label_count: int
    extractor_version: str


class _Kept(NamedTuple):
    replay: ChannelReplay
    build: _Build
    last: tuple[datetime, int]
    has_own_posts: bool


class Replays:
    """The replays of one process. Only one thread may use them at a time: `rebuild_events` holds its lock meanwhile."""

    def __init__(self) -> None:
        self._kept: dict[int, _Kept] = {}

    def __contains__(self, channel_id: int) -> bool:
        return channel_id in self._kept

    def found(
        self,
        engine: sa.Engine,
        classifier: Classifier,
        affected: pl.DataFrame,
        as_of: datetime,
        on_progress: Callable[[int, int], None] = lambda done, all_: None,
    ) -> ChannelPumps:
        """What channels tell of pumps, as of now; the same as `build_channel` of all their messages.

        Args:
            engine: the platform's database.
            classifier: whose labels count.
            affected: rows of core.channel_builds, see `affected_channels`.
            as_of: see `build_channel`.
            on_progress: called with channels done and channels to do.
        """
        builds = [_Build(**row) for row in affected.iter_rows(named=True)]
        anew = [build for build in builds if not self._continue(engine, classifier, build)]
        done = len(builds) - len(anew)
        for start in range(0, len(anew), CHANNELS_PER_STEP):
            step = anew[start : start + CHANNELS_PER_STEP]
            self._begin(engine, classifier, step)
            done += len(step)
            on_progress(done, len(builds))
        kept = [self._kept[build.channel_id] for build in builds if build.channel_id in self._kept]
        found = [build_channel(_nothing()), *(one.replay.found(as_of) for one in kept)]
        return ChannelPumps(*(pl.concat(frames) for frames in zip(*found, strict=True)))

    def _begin(self, engine: sa.Engine, classifier: Classifier, builds: list[_Build]) -> None:
        by_channel = {build.channel_id: build for build in builds}
        messages = without_members(labelled_messages(engine, classifier, list(by_channel)))
        for channel_id in by_channel:
            self._kept.pop(channel_id, None)
        for channel in messages.sort("channel_id", "date", "message_id").partition_by("channel_id", maintain_order=True):
            replay, build = ChannelReplay(), by_channel[channel["channel_id"][0]]
            replay.read(channel)
            self._kept[build.channel_id] = _Kept(replay, build, _last(channel), not channel["is_from_member"].all())

    def _continue(self, engine: sa.Engine, classifier: Classifier, build: _Build) -> bool:
        """Reads on where a replay stopped; False if it has to begin anew."""
        kept = self._kept.get(build.channel_id)
        if kept is None or kept.build.extractor_version != build.extractor_version:
            return False
        if kept.build == build:
            return True
        messages = labelled_messages(engine, classifier, [build.channel_id], since=kept.build.labels_through_at)
        at, message_id = kept.last
        is_fresh = pl.col("labelled_at") > kept.build.labels_through_at
        is_later = (pl.col("date") > at) | ((pl.col("date") == at) & (pl.col("message_id") > message_id))
        fresh = messages.filter(is_fresh)
        is_continuation = (
            fresh.height == build.label_count - kept.build.label_count
            and messages.filter(is_fresh != is_later).is_empty()
            # The first post of the channel itself silences its members, also in the past.
            and (kept.has_own_posts or fresh["is_from_member"].all())
        )
        if not is_continuation:
            return False
        own = fresh.filter(~(pl.col("is_from_member") & kept.has_own_posts))
        last = kept.last
        if not own.is_empty():
            # What was read in part cannot go on.
            del self._kept[build.channel_id]
            kept.replay.read(own)
            last = _last(own)
        self._kept[build.channel_id] = _Kept(kept.replay, build, last, kept.has_own_posts)
        return True


def _last(channel: pl.DataFrame) -> tuple[datetime, int]:
    last = channel.sort("date", "message_id").row(-1, named=True)
    return last["date"], last["message_id"]


def _nothing() -> pl.DataFrame:
    return pl.DataFrame(
        schema={
            "channel_id": pl.Int64,
            "message_id": pl.Int64,
            "date": pl.Datetime("us", "UTC"),
            "text": pl.String,
            "label": pl.Int16,
            "confidence": pl.Float64,
        }
    )
