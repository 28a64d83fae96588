"""Finds channels: TGStat's search where there is a token, and the links and forwards of the channels we hold."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import sqlalchemy as sa

from pnd_dagster.messages.classifier import Classifier, chosen_model_dir, load_classifier
from pnd_dagster.messages.labels import MessageLabel
from pnd_dagster.messages.normalise import normalise_many
from pnd_dagster.settings import Settings
from pnd_dagster.storage import Written, read_frame, upsert
from pnd_dagster.tables import DEAD_LETTERS, TELEGRAM_CHANNELS, TELEGRAM_MESSAGES
from pnd_dagster.telegram.discovery import resolve_known, snowball
from pnd_dagster.telegram.tgstat import TgstatClient, keyword_queries, search_channels

MAX_CANDIDATES = 5_000
SAMPLED_MESSAGES = 500  # links and forwards are looked for in these; the share of pump messages in the last ones


class Discovered(NamedTuple):
    """What a search found."""

    written: Written
    candidates: pl.DataFrame
    by_status: pl.DataFrame


def discover_channels(
    engine: sa.Engine,
    settings: Settings,
    *,
    threshold: float = 0.1,
    max_depth: int = 2,
    on_progress: Callable[[str], object] = lambda message: None,
) -> Discovered:
    """Stores candidates; what a human decided before stays.

    Args:
        engine: the platform's database.
        settings: TGStat's token, countries and address.
        threshold: a channel is followed only if this share of its messages are pump messages.
        max_depth: how many links away from a known channel to go.
        on_progress: called with a line for a person.

    Raises:
        SettingError: TGStat refuses the token.
    """
    now = datetime.now(UTC)
    known = read_frame(engine, sa.select(TELEGRAM_CHANNELS))
    seeds = known.filter(pl.col("status") != "rejected", pl.col("channel_id") > 0)["channel_id"].to_list()
    rolled = snowball(
        seeds,
        read_messages=lambda channel_id: _last_messages(engine, channel_id),
        classify=_pump_shares(load_classifier(chosen_model_dir(settings))),
        resolve=resolve_known(known),
        threshold=threshold,
        max_depth=max_depth,
        max_channels=MAX_CANDIDATES,
        discovered_at=now,
    )
    followed = len(rolled.followed_channel_ids)
    on_progress(f"links and forwards: {rolled.channels.height} channels from {followed} followed, {rolled.skipped_count} left out")
    upsert(engine, DEAD_LETTERS, rolled.dead_letters)
    written = upsert(engine, TELEGRAM_CHANNELS, rolled.channels)
    found = [rolled.channels]
    # Last, and after the rest is stored: a vendor that cannot be reached must not cost what we found ourselves.
    if settings.tgstat_token is None:
        on_progress("TGStat: left out, PND_TGSTAT_TOKEN is not set")
    else:
        client = TgstatClient(settings.tgstat_token, url=settings.tgstat_url)
        search = search_channels(client, keyword_queries(settings.tgstat_countries), discovered_at=now)
        on_progress(f"TGStat: {search.channels.height} channels in {search.request_count} requests; {search.stopped_by or 'complete'}")
        upsert(engine, DEAD_LETTERS, search.dead_letters)
        written += upsert(engine, TELEGRAM_CHANNELS, search.channels)
        found.append(search.channels)
    columns = ("channel_id", "title", "link", "found_via", "pump_share_ratio")
    status = TELEGRAM_CHANNELS.c.status
    by_status = read_frame(engine, sa.select(status, sa.func.count().label("channels")).group_by(status).order_by(status))
    return Discovered(
        written, pl.concat(found).select(columns).filter(~pl.col("channel_id").is_in(known["channel_id"].implode())), by_status
    )


def _last_messages(engine: sa.Engine, channel_id: int) -> pl.DataFrame:
    message = TELEGRAM_MESSAGES.c
    return read_frame(
        engine,
        sa.select(message.occurred_at, message.text, message.forwarded_from_channel_id)
        .where(message.channel_id == channel_id, ~message.is_deleted, message.kind == "message")
        .order_by(message.message_id.desc())  # ids rise with time, and the primary key serves this order
        .limit(SAMPLED_MESSAGES),
    )


def _pump_shares(classifier: Classifier) -> Callable[[list[str]], npt.NDArray[np.float64]]:
    def share(texts: list[str]) -> npt.NDArray[np.float64]:
        probabilities = classifier.predict_probabilities(normalise_many(texts))
        return 1.0 - probabilities[:, MessageLabel.NOISE].astype(np.float64)

    return share
