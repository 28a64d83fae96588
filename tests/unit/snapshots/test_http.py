"""Asking vendors: what is retried and for how long, what is counted, and that keys stay secret."""

from __future__ import annotations

import gzip
import logging
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from pnd_dagster.errors import DatabaseError, PndError, QuotaExhaustedError, SettingError, SourceError, TransientError
from pnd_dagster.simulator.vendors import VENDOR_KEY, VendorServer, rename_field
from pnd_dagster.snapshots import http
from pnd_dagster.snapshots.coincodex import VENDOR as COINCODEX
from pnd_dagster.snapshots.coinmarketcap import ID_MAP, LISTINGS
from pnd_dagster.snapshots.coinmarketcap import VENDOR as COINMARKETCAP
from pnd_dagster.snapshots.http import VendorClient
from pnd_dagster.snapshots.lunarcrush import LIST
from pnd_dagster.snapshots.lunarcrush import VENDOR as LUNARCRUSH
from pnd_dagster.snapshots.quotas import Usage, used


@pytest.fixture
def client(engine: sa.Engine, vendors: VendorServer, sleeps: list[float]) -> VendorClient:
    return VendorClient(COINMARKETCAP, f"{vendors.url}/coinmarketcap", SecretStr(VENDOR_KEY), engine, sleep=sleeps.append)


def counted(engine: sa.Engine, vendor: str = "coinmarketcap") -> Usage:
    return used(engine, vendor, datetime.now(UTC).date())


@pytest.mark.parametrize(
    ("kind", "value", "at_least"),
    [
        ("429", "7", 7.0),
        ("429", "date:9", 7.5),
        ("503", "2.5", 2.5),
        ("429", "", http.RATE_WINDOW_SECONDS),
        ("500", "", 1.0),
        ("429", "soon", http.RATE_WINDOW_SECONDS),
        ("truncated", "", 1.0),
        ("cut", "", 1.0),
        ("garbage", "", 1.0),
    ],
)
def test_what_is_transient_is_asked_again_after_the_pause_the_vendor_wants(
    vendors: VendorServer, client: VendorClient, sleeps: list[float], kind: str, value: str, at_least: float
) -> None:
    vendors.faults.inject("coinmarketcap", kind, value)  # type: ignore[arg-type]
    assert client.get(LISTINGS, limit=3)["data"]
    assert len(vendors.requests) == 2
    assert len(sleeps) == 1
    assert at_least <= sleeps[0] <= at_least + 3


def test_pauses_grow_and_are_jittered_and_attempts_are_bounded(vendors: VendorServer, client: VendorClient, sleeps: list[float]) -> None:
    vendors.faults.inject("coinmarketcap", "500", times=50)
    with pytest.raises(TransientError, match=r"CoinMarketCap v1/cryptocurrency/map: HTTP 500 \(injected 500\)"):
        client.get(ID_MAP)
    assert len(vendors.requests) == http.MAX_ATTEMPTS
    assert all(0 <= slept - due < 1 for slept, due in zip(sleeps, (1, 2, 4, 8), strict=True))
    assert len({slept % 1 for slept in sleeps}) == 4


def test_a_pause_longer_than_we_wait_ends_the_run_and_says_how_long(
    vendors: VendorServer, client: VendorClient, sleeps: list[float]
) -> None:
    vendors.faults.inject("coinmarketcap", "429", "86400")
    with pytest.raises(TransientError) as caught:
        client.get(LISTINGS)
    assert (caught.value.retry_after_seconds, sleeps, len(vendors.requests)) == (86400.0, [], 1)


def test_pauses_are_bounded_in_total_too(
    vendors: VendorServer, client: VendorClient, sleeps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MAX_TOTAL_SECONDS", 100.0)
    vendors.faults.inject("coinmarketcap", "429", "150", times=9)
    with pytest.raises(TransientError):
        client.get(LISTINGS)
    assert (sleeps, len(vendors.requests)) == ([], 1)


@pytest.mark.parametrize(
    ("kind", "value", "error", "message"),
    [
        ("402", "", QuotaExhaustedError, "quota or the subscription is used up"),
        ("exhausted", "1009", QuotaExhaustedError, "today's credits"),
        ("exhausted", "1010", QuotaExhaustedError, "this month's credits"),
        ("401", "", SettingError, "^PND_COINMARKETCAP_KEY"),
        ("403", "", SettingError, "^PND_COINMARKETCAP_KEY"),
        ("404", "", SourceError, "HTTP 404"),
        ("redirect", "", SourceError, "PND_COINMARKETCAP_URL"),
    ],
)
def test_what_is_final_is_not_asked_again(
    vendors: VendorServer, client: VendorClient, sleeps: list[float], kind: str, value: str, error: type[PndError], message: str
) -> None:
    vendors.faults.inject("coinmarketcap", kind, value)  # type: ignore[arg-type]
    with pytest.raises(error, match=message):
        client.get(LISTINGS)
    assert (len(vendors.requests), sleeps) == (1, [])


def test_a_minute_limit_is_waited_out_where_a_months_limit_is_not(vendors: VendorServer, client: VendorClient, sleeps: list[float]) -> None:
    vendors.faults.inject("coinmarketcap", "exhausted", "1008")
    assert client.get(LISTINGS)["data"]
    assert sleeps[0] >= 60


def test_requests_credits_and_refusals_are_counted_as_they_happen(engine: sa.Engine, vendors: VendorServer, client: VendorClient) -> None:
    total = len(client.get(LISTINGS, limit=5000)["data"])
    credit_count = -(-total // 200)
    assert counted(engine) == client.usage == Usage(1, credit_count, 0)
    vendors.faults.inject("coinmarketcap", "429", "1")
    vendors.faults.inject("coinmarketcap", "500")
    client.get(ID_MAP)
    vendors.faults.inject("coinmarketcap", "402")
    with pytest.raises(QuotaExhaustedError):
        client.get(ID_MAP)
    assert counted(engine) == client.usage == Usage(5, credit_count + 1, 2) == Usage(len(vendors.requests), credit_count + 1, 2)


def test_several_clients_count_together_without_losing_any(engine: sa.Engine, vendors: VendorServer) -> None:
    def ask() -> None:
        one = VendorClient(COINMARKETCAP, f"{vendors.url}/coinmarketcap", SecretStr(VENDOR_KEY), engine)
        for _ in range(5):
            one.get(ID_MAP)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted(engine) == Usage(20, 20, 0)


def test_a_request_that_cannot_be_counted_is_not_sent(engine: sa.Engine, vendors: VendorServer, client: VendorClient) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE raw.vendor_quotas RENAME TO vendor_quotas_away")
    try:
        with pytest.raises(DatabaseError):
            client.get(LISTINGS)
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE raw.vendor_quotas_away RENAME TO vendor_quotas")
    assert vendors.requests == []


@pytest.mark.parametrize("vendor", [COINMARKETCAP, LUNARCRUSH])
@pytest.mark.parametrize("key", [None, SecretStr(""), SecretStr("  "), SecretStr("abc\ndef"), SecretStr("schlüssel")])
def test_a_missing_or_impossible_key_is_named_by_its_setting(engine: sa.Engine, vendor: http.Vendor, key: SecretStr | None) -> None:
    with pytest.raises(SettingError, match=f"^PND_{vendor.name.upper()}_KEY: ") as caught:
        VendorClient(vendor, "https://example.invalid", key, engine)
    assert not key or not key.get_secret_value().strip() or key.get_secret_value() not in str(caught.value)


@pytest.mark.parametrize("url", ["http://example.invalid", "ftp://127.0.0.1", "example.invalid", "", "http://127.0.0.1.example.invalid"])
def test_an_address_that_would_send_the_key_unprotected_is_refused(engine: sa.Engine, url: str) -> None:
    with pytest.raises(SettingError, match=r"^PND_LUNARCRUSH_URL: "):
        VendorClient(LUNARCRUSH, url, SecretStr("k"), engine)


def test_a_wrong_key_is_told_as_a_setting(engine: sa.Engine, vendors: VendorServer) -> None:
    for vendor, path in ((COINMARKETCAP, LISTINGS), (LUNARCRUSH, LIST)):
        with pytest.raises(SettingError, match=f"^PND_{vendor.name.upper()}_KEY: "):
            VendorClient(vendor, f"{vendors.url}/{vendor.name}", SecretStr("wrong-key-0123"), engine).get(path)


def test_the_key_stands_in_a_header_only_and_in_no_log_error_or_repr(
    engine: sa.Engine, vendors: VendorServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "s3cret-k3y-of-the-test"
    shown: list[str] = []
    for vendor, path in ((COINMARKETCAP, LISTINGS), (LUNARCRUSH, LIST)):
        client = VendorClient(vendor, f"{vendors.url}/{vendor.name}", SecretStr(secret), engine)
        try:
            client.get(path)
        except PndError as error:
            shown += ["".join(traceback.format_exception(error)), repr(client), str(vars(client))]
    assert len(shown) == 6
    assert secret not in "".join(shown) + caplog.text + "".join(vendors.requests)


def test_a_vendor_that_repeats_the_key_in_its_message_does_not_leak_it(engine: sa.Engine) -> None:
    secret = "s3cret-k3y-of-the-test"
    body = b'{"error": "key %s is unknown"}' % secret.encode()
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n" % len(body)
    with raw_server(head + body) as url, pytest.raises(SourceError, match=r"key \*\*\* is unknown") as caught:
        VendorClient(LUNARCRUSH, url, SecretStr(secret), engine).get(LIST)
    assert secret not in str(caught.value)


def test_a_netrc_of_the_machine_does_not_replace_the_key(
    engine: sa.Engine, vendors: VendorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password something\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert VendorClient(LUNARCRUSH, f"{vendors.url}/lunarcrush", SecretStr(VENDOR_KEY), engine).get(LIST)["data"]


def test_an_answer_that_is_too_large_is_not_read_to_its_end(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_ANSWER_BYTES", 1_000_000)
    bomb = gzip.compress(b" " * 300_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    with raw_server(head + bomb) as url, pytest.raises(SourceError, match="larger than 1,000,000 bytes"):
        VendorClient(COINCODEX, url, None, engine).get("x")


def test_an_answer_that_only_drips_is_given_up(engine: sa.Engine, sleeps: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(http, "MAX_ATTEMPTS", 2)

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(40):
            connection.sendall(b" ")
            time.sleep(0.05)

    started = time.monotonic()
    with raw_server(drip) as url, pytest.raises(TransientError, match="did not end"):
        VendorClient(COINCODEX, url, None, engine, sleep=sleeps.append).get("x")
    assert time.monotonic() - started < 1.5


def test_a_gzipped_and_chunked_answer_is_read(engine: sa.Engine) -> None:
    packed = gzip.compress(b'{"a": [1, 2]}')
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in packed)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    with raw_server(head + pieces + b"0\r\n\r\n") as url:
        assert VendorClient(COINCODEX, url, None, engine).get("x") == {"a": [1, 2]}


def test_a_chunked_answer_that_breaks_off_is_asked_again(engine: sa.Engine, sleeps: list[float]) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with raw_server(head + b'5\r\n{"a":\r\n9\r\n [1') as url, pytest.raises(TransientError):
        VendorClient(COINCODEX, url, None, engine, sleep=sleeps.append).get("x")
    assert len(sleeps) == http.MAX_ATTEMPTS - 1


def test_a_server_that_is_not_there_is_transient(engine: sa.Engine, sleeps: list[float]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(TransientError, match="no whole answer"):
        VendorClient(COINCODEX, url, None, engine, sleep=sleeps.append).get("x")


def test_a_slow_answer_is_waited_for_only_so_long(
    vendors: VendorServer, client: VendorClient, sleeps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "TIMEOUT_SECONDS", (1.0, 0.1))
    vendors.faults.inject("coinmarketcap", "slow", "0.5")
    assert client.get(LISTINGS)["data"]
    assert len(sleeps) == 1


def test_vendors_that_ask_for_no_key_are_paced_and_those_on_this_machine_are_not(
    engine: sa.Engine, vendors: VendorServer, sleeps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = VendorClient(COINCODEX, f"{vendors.url}/coincodex", None, engine, sleep=sleeps.append)
    client.get("apps/coincodex/cache/all_coins.json")
    client.get("apps/coincodex/cache/all_coins.json")
    assert sleeps == []
    monkeypatch.setattr(client, "_interval_seconds", COINCODEX.interval_seconds)
    client.get("apps/coincodex/cache/all_coins.json")
    assert 0 < sleeps[0] <= COINCODEX.interval_seconds


def test_a_change_of_the_answer_is_seen_by_the_client(vendors: VendorServer, client: VendorClient) -> None:
    vendors.faults.change("coinmarketcap", rename_field("credit_count", "credits_used"))
    client.get(LISTINGS)
    assert client.usage == Usage(1, 0, 0)


@contextmanager
def raw_server(answer: bytes | Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that sends the same bytes to everybody, or does with the connection as it is told."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.recv(65_536)
                    if callable(answer):
                        answer(connection)
                    else:
                        connection.sendall(answer)
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
