"""The TGStat client, against a server on this machine that speaks its API."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from pydantic import SecretStr

from pnd_dagster import tables
from pnd_dagster.errors import PndError, QuotaExhaustedError, SettingError, SourceError, TransientError
from pnd_dagster.telegram.tgstat import KEYWORDS, PAGE_LIMIT, Query, TgstatClient, Usage, keyword_queries, search_channels

TOKEN = "s3cret0token0of0the0test"
NOW = datetime(2025, 3, 1, tzinfo=UTC)
QUERY = Query("pump", in_descriptions=False, country="in")

Answer = tuple[int, dict[str, str], Any]


def ok(response: Any) -> Answer:
    return 200, {}, {"status": "ok", "response": response}


def found(*items: Any) -> Answer:
    return ok({"count": len(items), "items": list(items)})


def error(code: str) -> Answer:
    return 200, {}, {"status": "error", "error": code}


def item(number: int, **changes: Any) -> dict[str, Any]:
    """A channel as TGStat describes it."""
    return {
        "id": number,
        "tg_id": 1_000_000_000 + number,
        "link": f"t.me/moon_calls_{number}",
        "peer_type": "channel",
        "username": f"@moon_calls_{number}",
        "title": f"Moon Calls {number}",
        "about": "We go up",
        "participants_count": 1_000 + number,
        **changes,
    }


class Server:
    """Answers each request by what `answer` says, and keeps what was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.answer: Callable[[str, dict[str, str]], Answer] = lambda path, parameters: found()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                address = urlsplit(self.path)
                parameters = dict(parse_qsl(address.query))
                server.requests.append((address.path, parameters))
                if parameters.get("token") != TOKEN:
                    status, headers, body = error("token_invalid")
                else:
                    status, headers, body = server.answer(address.path, parameters)
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def answers(self, *answers: Answer) -> None:
        """Give these answers in turn, the last one for ever."""
        left = list(answers)
        self.answer = lambda path, parameters: left.pop(0) if len(left) > 1 else left[0]

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = Server()
    yield running
    running.close()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def client(server: Server, waits: list[float]) -> TgstatClient:
    return TgstatClient(SecretStr(TOKEN), url=server.url, sleep=waits.append)


def test_a_search_gives_candidates_that_fit_the_table(server: Server, client: TgstatClient) -> None:
    server.answers(found(item(1), item(2, tg_id="-1001000000777", link="https://t.me/joinchat/AbCdEfGhIjKlMnOp", username=None)))
    search = search_channels(client, [QUERY], discovered_at=NOW)
    assert search.channels.equals(tables.conform(search.channels, tables.TELEGRAM_CHANNELS))
    assert search.channels.row(0, named=True) | {"participants": 1_001} == {
        "channel_id": 1_000_000_001,
        "title": "Moon Calls 1",
        "username": "moon_calls_1",
        "link": "https://t.me/moon_calls_1",
        "description": "We go up",
        "participants": 1_001,
        "found_via": "tgstat",
        "found_from_channel_id": None,
        "pump_share_ratio": None,
        "status": "candidate",
        "status_reason": None,
        "is_vanished": False,
        "discovered_at": NOW,
        "decided_at": None,
    }
    assert search.channels.select("channel_id", "link").row(1) == (1_000_000_777, "https://t.me/+AbCdEfGhIjKlMnOp")
    assert (search.request_count, search.stopped_by) == (1, None)


def test_the_query_is_sent_as_the_api_wants_it(server: Server, client: TgstatClient) -> None:
    search_channels(client, [Query("P&D signal", in_descriptions=True, country="in")], discovered_at=NOW)
    wanted = {"token": TOKEN, "q": "P&D signal", "search_by_description": "1", "country": "in", "limit": "100"}
    assert server.requests == [("/channels/search", wanted)]


def test_every_combination_of_the_papers_words_is_asked_once_in_titles_and_descriptions() -> None:
    queries = keyword_queries(["in", "ru"])
    assert len(queries) == len(set(queries)) == 31 * 2 * 2
    assert {query.words for query in queries} >= {*KEYWORDS, "pump P&D", "crypto pump dump P&D signal"}
    assert all(len(query.words) >= 3 for query in queries)


def test_all_pages_are_read(server: Server, client: TgstatClient) -> None:
    items = [item(number) for number in range(PAGE_LIMIT * 2 + 7)]

    def page(path: str, parameters: dict[str, str]) -> Answer:
        offset = int(parameters.get("offset", 0))
        return found(*items[offset : offset + int(parameters["limit"])])

    server.answer = page
    search = search_channels(client, [QUERY], discovered_at=NOW)
    assert search.channels.height == len(items)
    assert [parameters.get("offset") for _, parameters in server.requests] == [None, "100", "200"]


def test_an_api_that_ignores_the_offset_is_noticed_once(server: Server, client: TgstatClient) -> None:
    server.answer = lambda path, parameters: found(*(item(number) for number in range(PAGE_LIMIT)))
    search = search_channels(client, [QUERY, QUERY._replace(country="ru"), QUERY._replace(country="ir")], discovered_at=NOW)
    assert search.channels.height == PAGE_LIMIT
    assert len(server.requests) == 4


def test_a_channel_found_twice_is_one_candidate_and_its_real_id_wins(server: Server, client: TgstatClient) -> None:
    server.answers(found(item(1, tg_id=None)), found(item(1), item(1, link="https://t.me/MOON_CALLS_1")))
    search = search_channels(client, [QUERY, QUERY._replace(country="ru")], discovered_at=NOW)
    assert search.channels["channel_id"].to_list() == [1_000_000_001]


def test_without_telegrams_id_the_link_gives_a_negative_one(server: Server, client: TgstatClient) -> None:
    server.answers(found(item(1, tg_id=None), item(2, tg_id="unknown"), item(3, tg_id=True)))
    ids = search_channels(client, [QUERY], discovered_at=NOW).channels["channel_id"]
    assert (ids < 0).all()
    assert ids.n_unique() == 3


def test_429_is_waited_for_as_long_as_the_server_says(server: Server, client: TgstatClient, waits: list[float]) -> None:
    server.answers((429, {"Retry-After": "7"}, b""), found(item(1)))
    assert search_channels(client, [QUERY], discovered_at=NOW).channels.height == 1
    assert len(waits) == 1
    assert waits[0] >= 7


def test_a_retry_after_in_the_form_of_a_date_is_understood(server: Server, client: TgstatClient, waits: list[float]) -> None:
    server.answers((503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, b""), (503, {"Retry-After": "soon"}, b""), found())
    client.search_page(QUERY)
    assert len(waits) == 2


def test_a_pause_of_hours_is_not_waited_for(server: Server, client: TgstatClient, waits: list[float]) -> None:
    server.answers((429, {"Retry-After": "7200"}, b""))
    with pytest.raises(TransientError) as caught:
        client.search_page(QUERY)
    assert caught.value.retry_after_seconds == 7_200
    assert waits == []


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_transient_answers_are_tried_again(server: Server, client: TgstatClient, waits: list[float], status: int) -> None:
    server.answers((status, {}, b"oops"), (status, {}, b"oops"), found(item(1)))
    assert len(client.search_page(QUERY)) == 1
    assert len(waits) == 2


def test_attempts_are_bounded(server: Server, client: TgstatClient) -> None:
    server.answers((500, {}, b""))
    with pytest.raises(TransientError, match="HTTP 500"):
        client.search_page(QUERY)
    assert len(server.requests) == client.request_count == 5


def test_flood_control_is_waited_for(server: Server, client: TgstatClient, waits: list[float]) -> None:
    server.answers(error("flood_control_10"), found(item(1)))
    assert len(client.search_page(QUERY)) == 1
    assert waits[0] >= 10


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (error("param country required"), SourceError, "param country required"),
        (error("token_invalid"), SettingError, "PND_TGSTAT_TOKEN"),
        (error("no_active_subscription"), SettingError, "no_active_subscription"),
        ((401, {}, b""), SettingError, "HTTP 401"),
        ((400, {}, {"status": "error", "error": "wrong_method"}), SourceError, "wrong_method"),
        ((404, {}, b"<html>"), SourceError, "HTTP 404"),
        ((302, {"Location": "http://127.0.0.1:9/steal"}, b""), SourceError, "HTTP 302"),
        (error("quota_requests_reached"), QuotaExhaustedError, "quota_requests_reached"),
        (error("quota_keywords_reached"), QuotaExhaustedError, "quota"),
        ((200, {}, b'{"status": "ok", "response": {"items": [{"id"'), SourceError, "no JSON"),
        ((200, {}, b"\xff\xfe\x00"), SourceError, "no JSON"),
        ((200, {}, []), SourceError, "has the API changed"),
        ((200, {}, {"status": "ok"}), SourceError, "has the API changed"),
        (ok({"count": 1, "channels": []}), SourceError, "response.items"),
        (ok([]), SourceError, "response.items"),
    ],
)
def test_other_errors_are_clear_and_not_tried_again(
    server: Server, client: TgstatClient, waits: list[float], answer: Answer, kind: type[PndError], words: str
) -> None:
    server.answers(answer)
    with pytest.raises(kind, match=words) as caught:
        client.search_page(QUERY)
    assert len(server.requests) == 1
    assert waits == []
    assert "\n" not in str(caught.value)


def test_a_broken_connection_is_tried_again(server: Server, client: TgstatClient, waits: list[float]) -> None:
    server.answers((200, {"Content-Length": "9999"}, b'{"status"'), found(item(1)))
    assert len(client.search_page(QUERY)) == 1
    assert len(waits) == 1


def test_items_that_changed_become_dead_letters_and_the_others_stay(server: Server, client: TgstatClient) -> None:
    nameless = {"id": 5, "title": "No name"}
    server.answers(
        found(
            item(1), nameless, "text", None, item(2, link="https://example.org/x"), item(3, participants_count="many", title=7, about=None)
        )
    )
    search = search_channels(client, [QUERY], discovered_at=NOW)
    assert search.channels["username"].to_list() == ["moon_calls_1", "moon_calls_3"]
    assert search.channels.select("title", "participants").row(1) == (None, None)
    assert search.dead_letters.height == 3
    assert any("neither link nor username" in reason for reason in search.dead_letters["reason"])


def test_what_was_found_before_the_quota_ended_is_kept(server: Server, client: TgstatClient) -> None:
    server.answers(found(item(1)), error("quota_requests_reached"))
    search = search_channels(client, keyword_queries(["in"]), discovered_at=NOW)
    assert search.channels.height == 1
    assert search.stopped_by is not None
    assert "quota" in search.stopped_by
    assert search.request_count == 2


def test_a_quota_that_was_used_up_before_is_an_error(server: Server, client: TgstatClient) -> None:
    server.answers(error("quota_requests_reached"))
    with pytest.raises(QuotaExhaustedError):
        search_channels(client, keyword_queries(["in"]), discovered_at=NOW)


def test_our_own_limit_of_requests_holds(server: Server) -> None:
    client = TgstatClient(SecretStr(TOKEN), url=server.url, request_limit=3)
    search = search_channels(client, keyword_queries(["in"]), discovered_at=NOW)
    assert len(server.requests) == search.request_count == 3
    assert search.stopped_by is not None
    assert "limit of 3" in search.stopped_by


def test_progress_is_told_after_each_query(server: Server, client: TgstatClient) -> None:
    server.answers(found(item(1)), found(item(1), item(2)))
    told: list[tuple[str, int]] = []
    search_channels(
        client, [QUERY, QUERY._replace(words="dump")], discovered_at=NOW, progress=lambda query, count: told.append((query.words, count))
    )
    assert told == [("pump", 1), ("dump", 2)]


def test_usage_and_countries_are_read(server: Server, client: TgstatClient) -> None:
    server.answers(ok([{"serviceKey": "api_stat_s", "spentRequests": "891/10000", "expiredAt": 1}, {"serviceKey": "x"}]))
    assert client.usage() == [Usage("api_stat_s", 891, 10_000), Usage("x", None, None)]
    server.answers(ok([{"code": "ru", "name": "Russia"}, {"code": "in", "name": "India"}]))
    assert client.countries() == ["ru", "in"]
    server.answers(ok({}))
    with pytest.raises(SourceError, match="country"):
        client.countries()


def test_a_wrong_token_is_named_as_the_setting(server: Server) -> None:
    with pytest.raises(SettingError, match="PND_TGSTAT_TOKEN"):
        TgstatClient(SecretStr("wrong"), url=server.url).search_page(QUERY)
    with pytest.raises(SettingError, match="PND_TGSTAT_TOKEN"):
        TgstatClient(SecretStr(" "), url=server.url)


@pytest.mark.parametrize("url", ["http://api.tgstat.ru", "http://10.0.0.1", "ftp://api.tgstat.ru", "api.tgstat.ru", ""])
def test_an_address_that_would_show_the_token_is_refused(url: str) -> None:
    with pytest.raises(SettingError, match="PND_TGSTAT_URL"):
        TgstatClient(SecretStr(TOKEN), url=url)


def test_the_token_is_in_no_log_error_or_repr(server: Server, client: TgstatClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers(error(f"bad token {TOKEN}"))
    messages = [repr(client), str(vars(client))]
    with pytest.raises(SourceError) as caught:
        client.search_page(QUERY)
    messages.append(str(caught.value))
    server.close()
    with pytest.raises(TransientError) as unreachable:
        client.search_page(QUERY)
    cause = unreachable.value.__cause__
    messages += [str(unreachable.value), repr(cause), caplog.text]
    assert "channels/search" in caplog.text
    assert all(TOKEN not in message for message in messages)
