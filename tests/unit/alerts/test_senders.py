"""Each channel against a real receiver on the loopback: what arrives, and how refusals are told from hiccups."""

from __future__ import annotations

import email
import email.policy
import importlib.util
import json
import logging
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pnd_dagster.alerts.alert import Alert, body_of
from pnd_dagster.alerts.local import file_sender, log_sender
from pnd_dagster.alerts.mail import mail_sender, read_server
from pnd_dagster.alerts.webhook import is_authentic, webhook_sender
from pnd_dagster.errors import PndError, SettingError, SourceError, TransientError
from pnd_dagster.settings import Settings, load_settings

SECRET = "made-up secret"
BODY = body_of(Alert("announced", "pump1", "0", "poloniex", None, "Suspected pump", ["<b>line</b> & more"], {"n": 1}))


@pytest.fixture(scope="module")
def receivers() -> ModuleType:
    """The module of the loopback receivers; tests are no package."""
    spec = importlib.util.spec_from_file_location("alert_receivers", Path(__file__).parent / "receivers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules["alert_receivers"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def hook(receivers: ModuleType) -> Iterator[Any]:
    with receivers.webhook() as server:
        yield server


@pytest.fixture
def mails(receivers: ModuleType) -> Iterator[Any]:
    with receivers.mail_server() as server:
        yield server


def hook_settings(hook: Any, **more: Any) -> Settings:
    return load_settings(**{"alert_webhook_url": hook.url, "alert_webhook_secret": SECRET, **more})


def mail_settings(mails: Any, **more: Any) -> Settings:
    to = ["one@example.org", "two@example.org"]
    return load_settings(**{"smtp_url": f"smtp://127.0.0.1:{mails.port}", "alert_email_to": to, **more})


def test_a_webhook_request_is_signed_and_a_receiver_can_tell(hook: Any) -> None:
    webhook_sender(hook_settings(hook))(BODY)
    ((headers, content),) = hook.received
    signed = (headers["X-Pnd-Timestamp"], headers["X-Pnd-Signature"])
    assert is_authentic(SECRET, *signed, content)
    assert not is_authentic("another secret", *signed, content)
    assert not is_authentic(SECRET, *signed, content + b" ")
    assert not is_authentic(SECRET, str(int(signed[0]) + 1), signed[1], content)
    assert not is_authentic(SECRET, *signed, content, now=time.time() + 301)
    assert not is_authentic(SECRET, "soon", "v1=", content)


def test_a_webhook_request_carries_the_alert_and_its_key_and_no_markup(hook: Any) -> None:
    send = webhook_sender(hook_settings(hook))
    send(BODY)
    send(BODY)
    keys = {headers["Idempotency-Key"] for headers, _ in hook.received}
    assert keys == {BODY["alert_id"]}
    headers, content = hook.received[0]
    assert headers["X-Pnd-Stage"] == "announced"
    assert json.loads(content) == BODY
    assert b"<" not in content


@pytest.mark.parametrize(
    ("status", "is_final"), [(400, True), (401, True), (404, True), (302, True), (429, False), (500, False), (503, False)]
)
def test_a_webhook_answer_is_final_or_worth_another_attempt(hook: Any, status: int, is_final: bool) -> None:
    hook.answers = [(status, {"Location": hook.url, "Retry-After": "17"})]
    with pytest.raises(PndError) as caught:
        webhook_sender(hook_settings(hook))(BODY)
    assert isinstance(caught.value, SourceError if is_final else TransientError)
    assert getattr(caught.value, "retry_after_seconds", 17.0) == 17.0
    assert "token" not in str(caught.value)
    # No redirection was followed.
    assert len(hook.received) == 1


def test_a_webhook_that_is_down_is_worth_another_attempt(hook: Any) -> None:
    settings = load_settings(alert_webhook_url="http://127.0.0.1:1/token", alert_webhook_secret=SECRET)
    with pytest.raises(TransientError, match=r"^127\.0\.0\.1 gave no answer"):
        webhook_sender(settings)(BODY)


@pytest.mark.parametrize(
    "wrong", [{"alert_webhook_secret": None}, {"alert_webhook_url": "http://example.org/x"}, {"alert_webhook_url": "x"}]
)
def test_a_webhook_that_is_set_up_wrongly_names_the_setting(hook: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match="PND_ALERT_WEBHOOK"):
        webhook_sender(hook_settings(hook, **wrong))


def test_a_mail_goes_to_all_addresses_and_is_plain_text(mails: Any) -> None:
    assert mail_sender(mail_settings(mails))(BODY) is None
    assert mails.recipients == [["one@example.org", "two@example.org"]]
    mail = email.message_from_bytes(mails.mails[0], policy=email.policy.default)
    assert mail["Subject"] == "Suspected pump"
    assert mail["Message-ID"] == f"<{BODY['alert_id']}@localhost>"
    assert mail.get_content_type() == "text/plain"
    assert "no recommendation to buy, sell or hold" in mail.get_content()


def test_a_title_cannot_add_headers_to_a_mail(mails: Any) -> None:
    evil = Alert("announced", "pump1", "0", None, None, "Pump\r\nBcc: all@example.org\r\n\r\nbody", ["a\r\n.\r\nQUIT"])
    mail_sender(mail_settings(mails))(body_of(evil))
    mail = email.message_from_bytes(mails.mails[0], policy=email.policy.default)
    assert mail["Bcc"] is None
    assert mail["Subject"] == "Pump Bcc: all@example.org body"
    assert mails.recipients == [["one@example.org", "two@example.org"]]


def test_one_refused_address_does_not_hold_up_the_other(mails: Any) -> None:
    mails.recipient_codes = {"one@example.org": 550}
    assert mail_sender(mail_settings(mails))(BODY) == "refused by the server: 1 of 2 addresses"
    assert mails.recipients == [["two@example.org"]]


@pytest.mark.parametrize(("code", "is_final"), [(550, True), (451, False)])
def test_a_mail_that_is_refused_is_final_or_worth_another_attempt(mails: Any, code: int, is_final: bool) -> None:
    expected = SourceError if is_final else TransientError
    mails.recipient_codes = {"one@example.org": code, "two@example.org": code}
    with pytest.raises(expected, match=str(code)):
        mail_sender(mail_settings(mails))(BODY)
    mails.recipient_codes, mails.data_code = {}, code
    with pytest.raises(expected, match=str(code)):
        mail_sender(mail_settings(mails))(BODY)


def test_a_mail_server_that_is_down_is_worth_another_attempt() -> None:
    settings = load_settings(smtp_url="smtp://user:hush@127.0.0.1:1", alert_email_to=["one@example.org"])
    with pytest.raises(TransientError) as caught:
        mail_sender(settings)(BODY)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [{"smtp_url": "mail.example.org"}, {"smtp_url": "smtp://h:port"}, {"alert_email_to": ["no address"]}, {"alert_email_from": "a\nb@c"}],
)
def test_mail_that_is_set_up_wrongly_names_the_setting(mails: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=r"PND_(SMTP_URL|ALERT_EMAIL)"):
        mail_sender(mail_settings(mails, **wrong))


def test_the_address_of_a_mail_server_is_read_with_its_usual_ports() -> None:
    assert read_server("smtps://u%40x:p%2Fw@mail.example.org")[:5] == ("mail.example.org", 465, True, "u@x", "p/w")
    assert read_server("smtp://mail.example.org").port == 25
    assert read_server("smtp://u:p@mail.example.org").port == 587


def _append(path: Path, count: int) -> None:
    send = file_sender(load_settings(alert_file=path))
    for _ in range(count):
        send({**BODY, "lines": ["x" * 5000]})


def test_those_who_write_the_file_at_once_do_not_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "alerts.jsonl"
    with ThreadPoolExecutor(3) as writers:
        list(writers.map(lambda _: _append(path, 30), range(3)))
    lines = path.read_text().splitlines()
    assert len(lines) == 90
    assert all(json.loads(line)["alert_id"] == BODY["alert_id"] for line in lines)


def test_a_line_that_was_cut_by_a_crash_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    path.write_text('{"half": ')
    file_sender(load_settings(alert_file=path))(BODY)
    assert json.loads(path.read_text().splitlines()[1]) == BODY


def test_a_file_that_cannot_be_written_is_worth_another_attempt(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TransientError, match="cannot be written"):
        file_sender(load_settings(alert_file=tmp_path / "file" / "alerts.jsonl"))(BODY)


def test_the_log_gets_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        log_sender(BODY)
    (line,) = caplog.messages
    assert line.startswith("Suspected pump | ")
    assert "\n" not in line
