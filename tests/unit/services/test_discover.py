"""Discovery stores candidates from what we hold and from TGStat; a vendor's failure does not cost the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import ClassVar

import polars as pl
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from pnd_dagster.errors import SettingError
from pnd_dagster.services.discover import discover_channels
from pnd_dagster.settings import Settings
from pnd_dagster.storage import read_frame, upsert
from pnd_dagster.tables import TELEGRAM_CHANNELS, TELEGRAM_MESSAGES

START = datetime(2026, 3, 1, tzinfo=UTC)


class Tgstat(BaseHTTPRequestHandler):
    """TGStat as far as a search needs it: one channel for every query, or a refused token."""

    answer: ClassVar[dict[str, object]] = {}

    def do_GET(self) -> None:
        body = json.dumps(self.answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        return


@pytest.fixture
def with_tgstat(settings: Settings) -> Iterator[Settings]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Tgstat)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    yield settings.model_copy(update={"tgstat_token": SecretStr("0f1e2d3c"), "tgstat_url": url, "tgstat_countries": ["us"]})
    server.shutdown()
    server.server_close()


@pytest.fixture
def held(engine: sa.Engine) -> None:
    """A pump channel that forwards from channel 77 and links to another; a channel of small talk that forwards from 88."""
    texts = [
        (9, "The next pump is today at 17:00 GMT on Hotbit, be ready!", 77),
        (9, "5 minutes left until the pump on Hotbit! Next post is the coin. https://t.me/moonclub_pumps", None),
        (10, "Good morning everybody, have a nice day", 88),
    ]
    rows = [
        {
            "channel_id": channel_id,
            "message_id": number,
            "revision_id": 1,
            "occurred_at": START + timedelta(hours=number),
            "ingested_at": START,
            "is_deleted": False,
            "kind": "message",
            "text": text,
            "forwarded_from_channel_id": source,
            "source": "archive",
        }
        for number, (channel_id, text, source) in enumerate(texts, 1)
    ]
    upsert(engine, TELEGRAM_MESSAGES, pl.DataFrame(rows, schema_overrides={"forwarded_from_channel_id": pl.Int64}))
    known = [
        {"channel_id": channel_id, "found_via": "archive", "status": status, "is_vanished": False, "discovered_at": START}
        for channel_id, status in ((9, "validated"), (10, "candidate"))
    ]
    upsert(engine, TELEGRAM_CHANNELS, pl.DataFrame(known))


def channels(engine: sa.Engine) -> dict[int, tuple[str, str]]:
    channel = TELEGRAM_CHANNELS.c
    frame = read_frame(engine, sa.select(channel.channel_id, channel.found_via, channel.status))
    return {row[0]: (row[1], row[2]) for row in frame.rows()}


@pytest.mark.usefixtures("held")
def test_links_and_forwards_of_pump_channels_become_candidates_and_decisions_stay(engine: sa.Engine, settings: Settings) -> None:
    found = discover_channels(engine, settings)
    known = channels(engine)
    assert known[77] == ("snowball", "candidate")
    assert known[9] == ("archive", "validated")
    assert found.written.inserted == len(known) - 2
    linked = read_frame(engine, sa.select(TELEGRAM_CHANNELS.c.link).where(TELEGRAM_CHANNELS.c.channel_id < 0))["link"].to_list()
    assert [link for link in linked if link and "moonclub_pumps" in link]


@pytest.mark.usefixtures("held")
def test_a_second_search_changes_nothing(engine: sa.Engine, settings: Settings) -> None:
    discover_channels(engine, settings)
    again = discover_channels(engine, settings)
    assert (again.written.inserted, again.written.updated) == (0, 0)
    assert again.candidates.is_empty()


@pytest.mark.usefixtures("held")
def test_what_tgstat_finds_is_added(engine: sa.Engine, with_tgstat: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    item = {"id": 1, "tg_id": 123456789, "link": "t.me/pump_kings", "username": "@pump_kings", "title": "Pump Kings", "about": "moon"}
    monkeypatch.setattr(Tgstat, "answer", {"status": "ok", "response": {"count": 1, "items": [item]}})
    discover_channels(engine, with_tgstat)
    assert channels(engine)[123456789] == ("tgstat", "candidate")


@pytest.mark.usefixtures("held")
def test_a_refused_token_is_said_and_what_was_found_without_it_is_kept(
    engine: sa.Engine, with_tgstat: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tgstat, "answer", {"status": "error", "error": "token_invalid"})
    with pytest.raises(SettingError, match="PND_TGSTAT_TOKEN"):
        discover_channels(engine, with_tgstat)
    assert channels(engine)[77] == ("snowball", "candidate")
