"""The Telegram session: its file, which is as good as the account itself, and how it is made."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pnd_dagster.errors import SettingError, TransientError
from pnd_dagster.settings import Settings
from pnd_dagster.telegram.client import TelethonReader

LOGIN_ATTEMPTS = 3
_SETTING = "PND_TELEGRAM_SESSION_FILE"


def secure_session_file(path: Path) -> Path:
    """Creates the session file with mode 0600 if it is missing, and takes rights from others if they have any.

    Returns:
        The file's path, which ends in `.session` as Telethon wants it.

    Raises:
        SettingError: it lies in a git checkout, where it would sooner or later be committed; is a link; or cannot be made.
    """
    path = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - resolve() would follow the link that is refused below
    if path.suffix != ".session":
        path = path.with_name(path.name + ".session")
    for folder in (path, path.resolve()):
        if checkout := next((parent for parent in folder.parents if (parent / ".git").exists()), None):
            raise SettingError(f"{_SETTING}: {path} lies in the repository {checkout}; choose a place outside")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # The mode counts from the first moment, and a link laid by another user is not followed.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise SettingError(f"{_SETTING}: {path} is not a file")
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise SettingError(f"{_SETTING}: {path} cannot be used: {error.strerror}") from error
    return path


# Two programs cannot use one session at a time, and a history run may go on for hours beside the listener.
Purpose = Literal["listen", "history"]


def session_file(settings: Settings, purpose: Purpose) -> Path:
    """The session file of a purpose: that of the settings for listening, one beside it for history runs."""
    path = settings.telegram_session_file
    return path if purpose == "listen" else path.with_name(f"{path.stem}-history.session")


def open_reader(settings: Settings, purpose: Purpose = "listen") -> TelethonReader:
    """A reader on a session of `settings`, not yet connected. Called within the running event loop, as Telethon wants it.

    Raises:
        SettingError: the API id or hash is missing, or the session file is not safe.
    """
    return TelethonReader(_client(settings, purpose), renew=lambda: _client(settings, purpose))


async def login(
    settings: Settings,
    *,
    purpose: Purpose = "listen",
    ask_phone: Callable[[], str],
    ask_code: Callable[[], str],
    ask_password: Callable[[], str],
    make_client: Callable[[Settings, Purpose], Any] | None = None,
) -> bool:
    """Makes the session: phone number, the code Telegram sends, and the password where one is set. None of them is kept.

    Args:
        settings: API id and hash, session file.
        purpose: which session to make.
        ask_phone: asks for the phone number.
        ask_code: asks for the code.
        ask_password: asks for the password of two-step verification.
        make_client: makes the Telethon client; the real one if not given.

    Returns:
        True if a login was made, False if the session was logged in already.

    Raises:
        SettingError: settings are missing, or phone, code or password were refused.
        TransientError: Telegram cannot be reached or asks to wait.
    """
    from telethon import errors

    client = (make_client or _client)(settings, purpose)
    try:
        await client.connect()
        if await client.is_user_authorized():
            return False
        phone = ask_phone()
        await client.send_code_request(phone)
        for attempt in range(1, LOGIN_ATTEMPTS + 1):
            try:
                await client.sign_in(phone, ask_code())
                return True
            except errors.PhoneCodeInvalidError:
                if attempt == LOGIN_ATTEMPTS:
                    raise SettingError("Telegram refused the code; run `pnd login` again for a new one") from None
            except errors.SessionPasswordNeededError:
                break
        for attempt in range(1, LOGIN_ATTEMPTS + 1):
            try:
                await client.sign_in(password=ask_password())
                return True
            except errors.PasswordHashInvalidError:
                if attempt == LOGIN_ATTEMPTS:
                    raise SettingError("Telegram refused the password") from None
        return False
    except errors.FloodError as error:
        seconds = float(getattr(error, "seconds", 0) or 60)
        raise TransientError(f"Telegram asks to wait {seconds:.0f} s before the next login", retry_after_seconds=seconds) from None
    except (errors.ServerError, errors.TimedOutError, OSError) as error:
        raise TransientError(f"Telegram cannot be reached: {type(error).__name__}") from error
    except errors.RPCError as error:
        # The request, which holds the phone number, is left out.
        raise SettingError(f"Telegram refused the login: {type(error).__name__.removesuffix('Error')}") from None
    finally:
        await client.disconnect()


def _client(settings: Settings, purpose: Purpose) -> Any:
    if settings.telegram_api_id is None or settings.telegram_api_hash is None:
        raise SettingError("PND_TELEGRAM_API_ID and PND_TELEGRAM_API_HASH are needed: get them from https://my.telegram.org")
    session = secure_session_file(session_file(settings, purpose))

    return _client_class()(
        str(session),
        settings.telegram_api_id,
        settings.telegram_api_hash.get_secret_value(),
        # A flood wait is ours to honour: Telethon's sleep would hold up every other channel in silence.
        flood_sleep_threshold=0,
        request_retries=2,
        connection_retries=5,
        # Telethon connects again in silence and does not ask what it missed; the listener, told of the loss, does.
        auto_reconnect=purpose == "history",
        sequential_updates=True,
        device_model="pnd-dagster",
        app_version="1",
    )


def _client_class() -> type[Any]:
    """Telethon's client, but for what it leaves out of a channel's difference that it fetched by itself to fill a gap.

    Telethon 1.45 moves the channel's count first and then takes the edits and deletions of that difference for old ones. Updates
    without a count are handed over in any case.
    """
    from telethon import TelegramClient
    from telethon.tl.types.updates import ChannelDifference

    class Client(TelegramClient):
        async def __call__(self, request: Any, ordered: bool = False, flood_sleep_threshold: int | None = None) -> Any:
            answer: Any = await super().__call__(request, ordered, flood_sleep_threshold)
            if isinstance(answer, ChannelDifference):
                updates: list[Any] = answer.other_updates
                for update in updates:
                    update.pts = 0
            return answer

    return Client
