"""Simulated histories behind the simulated Telegram, read by history runs as real ones are."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import sqlalchemy as sa

from pnd_dagster import tables
from pnd_dagster.settings import Settings
from pnd_dagster.simulator.telegram.channels import ChannelInfo
from pnd_dagster.simulator.telegram.history import load_folder
from pnd_dagster.simulator.telegram.server import SimulatedTelegram
from pnd_dagster.simulator.telegram.sessions import make_sessions
from pnd_dagster.simulator.telegram_channels import simulate_channels, write_simulation
from pnd_dagster.storage import read_frame
from pnd_dagster.telegram.channel_store import PostgresChannelStore
from pnd_dagster.telegram.history import read_histories, start_reading
from pnd_dagster.telegram.media import MediaFolder
from pnd_dagster.telegram.sessions import open_reader

END = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_history_run_reads_every_message_of_every_channel_as_it_was_written(
    engine: sa.Engine, settings: Settings, tmp_path: Path
) -> None:
    simulation = simulate_channels(seed=3, end_at=END, days=20, channel_count=6)
    write_simulation(simulation, tmp_path / "simulated")
    rows = simulation.channels.select("channel_id", "title", "username").rows()
    configured = settings.model_copy(update={"telegram_api_id": 1, "telegram_api_hash": _secret()})
    with engine.begin() as connection:
        for channel_id, title, username in rows:
            known = {"channel_id": channel_id, "title": title, "username": username, "found_via": "tgstat", "status": "validated"}
            connection.execute(sa.insert(tables.TELEGRAM_CHANNELS).values(**known, is_vanished=False, discovered_at=END))

    async def main() -> SimulatedTelegram:
        async with SimulatedTelegram([ChannelInfo(*row) for row in rows]) as telegram:
            assert load_folder(telegram, tmp_path / "simulated") == simulation.messages.height
            make_sessions(configured.telegram_session_file, telegram.port)
            reader, store = open_reader(configured, "history"), PostgresChannelStore(engine)
            media = MediaFolder(tmp_path / "media", 10_000_000)
            reading = start_reading(reader, store, source="history", media=media, clock=lambda: END)
            await reader.connect()
            try:
                outcomes = await read_histories(reading, store.references())
            finally:
                await reader.disconnect()
            assert [outcome.error for outcome in outcomes] == [None] * len(rows)
            return telegram

    telegram = asyncio.run(main())
    assert telegram.unknown == []
    table = tables.TELEGRAM_MESSAGES
    read = read_frame(engine, sa.select(table).where(~table.c.is_deleted)).unique(["channel_id", "message_id"])
    names = {"edit_date": "edited_at", "reply_to_msg_id": "reply_to_message_id", "fwd_channel_id": "forwarded_from_channel_id"}
    names |= {"fwd_channel_post": "forwarded_from_message_id", "pinned": "is_pinned", "posted_by_user": "is_from_member"}
    names |= {"action": "service_action", "date": "occurred_at"}
    written = simulation.messages.rename(names).with_columns(
        pl.col("kind").replace({"Message": "message", "MessageService": "service"}),
        pl.col("text").fill_null(""),
        pl.col("is_pinned", "is_from_member").fill_null(value=False),
        pl.col("occurred_at", "edited_at").dt.truncate("1s"),
    )
    kept = ["channel_id", "message_id", *names.values(), "kind", "text", "media_type", "grouped_id"]
    order = ["channel_id", "message_id"]
    assert read.select(kept).sort(order).rows() == written.select(kept).sort(order).rows()
    photos = written.filter(pl.col("image_file").is_not_null())
    assert photos.height > 0
    assert len(list((tmp_path / "media").rglob("*.jpg"))) == photos.height


def _secret() -> object:
    from pydantic import SecretStr

    return SecretStr("any text")
