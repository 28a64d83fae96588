"""Alerts by e-mail: plain text, one message to all addresses."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, localtime
from smtplib import SMTP, SMTP_SSL, SMTPException, SMTPNotSupportedError, SMTPRecipientsRefused, SMTPResponseException
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from pnd_dagster.alerts.alert import as_text
from pnd_dagster.errors import SettingError, SourceError, TransientError
from pnd_dagster.settings import Settings
from pnd_dagster.storage.dead_letters import clean_text

TIMEOUT_SECONDS = 10.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Server(NamedTuple):
    """A mail server as PND_SMTP_URL names it; without a user nobody logs in."""

    host: str
    port: int
    is_tls: bool
    user: str | None
    password: str


def mail_sender(settings: Settings) -> Callable[[Mapping[str, Any]], str | None]:
    """What mails the body of an alert to all addresses of `settings`; it returns who was refused, while others were not.

    It raises TransientError when a later attempt may succeed, SourceError when none will.

    Raises:
        SettingError: the server's address or one of the addresses is wrong.
    """
    server = read_server(settings.smtp_url.get_secret_value() if settings.smtp_url else "")
    sender = _address("PND_ALERT_EMAIL_FROM", settings.alert_email_from)
    receivers = [_address("PND_ALERT_EMAIL_TO", text) for text in settings.alert_email_to]

    def send(body: Mapping[str, Any]) -> str | None:
        mail = message(body, sender, receivers)
        try:
            with _connected(server) as connection:
                refused = connection.send_message(mail)
        except SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            said = f"{server.host} refused all addresses (SMTP {', '.join(map(str, codes))})"
            raise (TransientError(said) if any(code < 500 for code in codes) else SourceError(said)) from None
        except SMTPResponseException as error:
            # What the server says may quote what we sent; its number tells enough.
            said = f"{server.host}: SMTP {error.smtp_code} ({type(error).__name__})"
            raise (TransientError(said) if error.smtp_code < 500 else SourceError(said)) from None
        except SMTPNotSupportedError as error:
            raise SourceError(f"{server.host}: {error}") from None
        except ssl.SSLCertVerificationError as error:
            raise SourceError(f"{server.host}: its certificate is not valid ({error.verify_message})") from None
        except (SMTPException, OSError) as error:
            raise TransientError(f"{server.host}:{server.port} cannot be used ({type(error).__name__})") from None
        return f"refused by the server: {len(refused)} of {len(receivers)} addresses" if refused else None

    return send


def message(body: Mapping[str, Any], sender: Address, receivers: list[Address]) -> EmailMessage:
    """An alert as an e-mail. Its Message-ID is made of the alert's id, so that mail programs know a repetition."""
    mail = EmailMessage()
    mail["Subject"] = body["title"]
    mail["From"] = sender
    mail["To"] = receivers
    mail["Date"] = format_datetime(localtime())
    mail["Message-ID"] = f"<{body['alert_id']}@{sender.domain}>"
    # Out-of-office replies help nobody (RFC 3834).
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Pnd-Stage"] = body["stage"]
    mail["Idempotency-Key"] = body["alert_id"]
    mail.set_content(clean_text(as_text(body)))
    return mail


def read_server(url: str) -> Server:
    """The server that an smtp:// or smtps:// address names.

    Raises:
        SettingError: it is none; the address itself is not said, as it may hold a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise SettingError("PND_SMTP_URL: expected smtp://user:password@host:port or smtps://user:password@host:port")
    is_tls = parts.scheme == "smtps"
    return Server(
        parts.hostname,
        port or (465 if is_tls else 587 if parts.username else 25),
        is_tls,
        unquote(parts.username) if parts.username else None,
        unquote(parts.password or ""),
    )


def _connected(server: Server) -> SMTP:
    context = ssl.create_default_context()
    if server.is_tls:
        connection: SMTP = SMTP_SSL(server.host, server.port, timeout=TIMEOUT_SECONDS, context=context)
    else:
        connection = SMTP(server.host, server.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.ehlo_or_helo_if_needed()
        is_protected = server.is_tls
        if not server.is_tls and connection.has_extn("starttls"):
            connection.starttls(context=context)
            is_protected = True
        if server.user is not None:
            if not is_protected and server.host not in _LOOPBACK:
                raise SourceError(f"{server.host} offers no TLS: the password of PND_SMTP_URL is not sent unprotected; use smtps://")
            connection.login(server.user, server.password)
    except BaseException:
        connection.close()
        raise
    return connection


def _address(setting: str, text: str) -> Address:
    try:
        address = Address(addr_spec=text.strip())
    except (ValueError, IndexError, Exception) as error:  # noqa: BLE001 - the parser raises its own HeaderParseError and others
        raise SettingError(f"{setting}: {text!r} is no address ({type(error).__name__})") from None
    if not address.username or not address.domain:
        raise SettingError(f"{setting}: {text!r} is no address; expected name@domain")
    return address
