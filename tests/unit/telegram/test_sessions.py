"""The session file and the login."""

from __future__ import annotations

import asyncio
import os
import stat

import pytest
from telethon import errors

from pnd_dagster.errors import SettingError, TransientError
from pnd_dagster.settings import load_settings
from pnd_dagster.telegram.sessions import login, open_reader, secure_session_file, session_file


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_session_file_is_made_for_its_owner_alone(tmp_path):
    before = os.umask(0)
    try:
        path = secure_session_file(tmp_path / "config" / "telegram")
    finally:
        os.umask(before)
    assert path == tmp_path / "config" / "telegram.session"
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)


def test_a_session_file_that_others_could_read_is_closed_to_them_and_keeps_its_content(tmp_path):
    path = tmp_path / "telegram.session"
    path.write_bytes(b"key")
    path.chmod(0o644)
    assert mode(secure_session_file(path)) == 0o600
    assert path.read_bytes() == b"key"


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_session_file_inside_a_checkout_is_refused(tmp_path, kind):
    if kind == "folder":
        (tmp_path / ".git").mkdir()
    else:
        (tmp_path / ".git").write_text("gitdir: elsewhere")
    with pytest.raises(SettingError, match=r"PND_TELEGRAM_SESSION_FILE: .* lies in the repository"):
        secure_session_file(tmp_path / "deep" / "down" / "telegram.session")
    assert not (tmp_path / "deep").exists()


def test_a_link_in_place_of_the_session_file_is_refused(tmp_path):
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / "telegram.session").symlink_to(target)
    with pytest.raises(SettingError, match="cannot be used"):
        secure_session_file(tmp_path / "telegram.session")


def test_a_folder_in_place_of_the_session_file_is_refused(tmp_path):
    (tmp_path / "telegram.session").mkdir()
    with pytest.raises(SettingError, match="PND_TELEGRAM_SESSION_FILE"):
        secure_session_file(tmp_path / "telegram.session")


def test_missing_keys_are_named(tmp_path):
    with pytest.raises(SettingError, match="PND_TELEGRAM_API_ID and PND_TELEGRAM_API_HASH are needed"):
        open_reader(load_settings(telegram_session_file=tmp_path / "telegram.session"))


def test_history_runs_have_a_session_of_their_own(tmp_path):
    configured = load_settings(telegram_session_file=tmp_path / "telegram.session")
    assert session_file(configured, "listen") == tmp_path / "telegram.session"
    assert session_file(configured, "history") == tmp_path / "telegram-history.session"


def test_the_client_leaves_flood_waits_to_us(tmp_path):
    configured = load_settings(telegram_api_id=1, telegram_api_hash="h", telegram_session_file=tmp_path / "telegram.session")

    async def threshold() -> float:
        return open_reader(configured)._client.flood_sleep_threshold

    assert asyncio.run(threshold()) == 0
    assert mode(tmp_path / "telegram.session") == 0o600


class Gate:
    """A client at the gate: `codes` and `passwords` are what it answers to each attempt."""

    def __init__(self, codes=(), passwords=(), *, is_authorized=False, asked=None):
        self.codes, self.passwords, self.is_authorized, self.asked = list(codes), list(passwords), is_authorized, asked
        self.is_connected = False

    async def connect(self):
        self.is_connected = True

    async def disconnect(self):
        self.is_connected = False

    async def is_user_authorized(self):
        return self.is_authorized

    async def send_code_request(self, phone):
        if self.asked:
            raise self.asked

    async def sign_in(self, phone=None, code=None, *, password=None):
        answer = (self.passwords if password is not None else self.codes).pop(0)
        if answer:
            raise answer


def enter(gate, **questions):
    asked = {"ask_phone": lambda: "+100", "ask_code": lambda: "11111", "ask_password": lambda: "secret", **questions}
    try:
        return asyncio.run(login(load_settings(), make_client=lambda settings, purpose: gate, **asked))
    finally:
        assert not gate.is_connected


def test_a_code_logs_in_and_a_wrong_one_may_be_corrected():
    assert enter(Gate(codes=[errors.PhoneCodeInvalidError(None), None]))


def test_a_password_is_asked_for_where_one_is_set():
    assert enter(Gate(codes=[errors.SessionPasswordNeededError(None)], passwords=[errors.PasswordHashInvalidError(None), None]))


def test_a_session_that_is_logged_in_asks_nothing():
    def never() -> str:
        raise AssertionError("asked")

    assert not enter(Gate(is_authorized=True), ask_phone=never)


@pytest.mark.parametrize(
    ("gate", "kind", "told"),
    [
        (Gate(codes=[errors.PhoneCodeInvalidError(None)] * 3), SettingError, "refused the code"),
        (
            Gate(codes=[errors.SessionPasswordNeededError(None)], passwords=[errors.PasswordHashInvalidError(None)] * 3),
            SettingError,
            "password",
        ),
        (Gate(asked=errors.PhoneNumberInvalidError(None)), SettingError, "refused the login: PhoneNumberInvalid"),
        (Gate(asked=errors.FloodWaitError(None, 90)), TransientError, "wait 90 s"),
        (Gate(asked=ConnectionError("no route")), TransientError, "cannot be reached"),
    ],
)
def test_a_refused_login_is_a_clear_error_that_tells_no_secret(gate, kind, told):
    with pytest.raises(kind, match=told) as caught:
        enter(gate)
    assert "+100" not in str(caught.value)
    assert "secret" not in str(caught.value)
