"""Alerts by webhook: JSON that is posted, signed and timestamped.

Headers of each request:

- `X-Pnd-Timestamp`: when it was sent, seconds since 1970.
- `X-Pnd-Signature`: `v1=` and the hexadecimal HMAC-SHA256, under the shared secret, of the timestamp, a full stop and the body's bytes.
- `Idempotency-Key`: the alert's id, the same at each repetition: delivery is at least once.
- `X-Pnd-Stage`: the stage, e.g. `target suspected`.

A receiver calls `is_authentic` (or does the same), drops keys it has seen, and answers 2xx. 408, 425, 429 and 5xx are tried again, after
`Retry-After` if it names that; every other answer is final. Redirections are not followed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from pnd_dagster import __version__
from pnd_dagster.errors import SettingError, SourceError, TransientError
from pnd_dagster.settings import Settings
from pnd_dagster.snapshots.http import checked_url, retry_after_seconds

TIMESTAMP, SIGNATURE, KEY, STAGE = "X-Pnd-Timestamp", "X-Pnd-Signature", "Idempotency-Key", "X-Pnd-Stage"
TOLERANCE_SECONDS = 300
TIMEOUT_SECONDS = (5.0, 10.0)
# JSON may be embedded into a page as it is.
_HTML = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def webhook_sender(settings: Settings) -> Callable[[Mapping[str, Any]], str | None]:
    """What posts the body of an alert to the webhook of `settings`.

    It raises TransientError when a later attempt may succeed, SourceError when none will.

    Raises:
        SettingError: the address is none, would send unprotected, or there is no secret.
    """
    url, _ = checked_url("PND_ALERT_WEBHOOK_URL", settings.alert_webhook_url or "")
    secret = settings.alert_webhook_secret.get_secret_value() if settings.alert_webhook_secret else ""
    if not secret:
        raise SettingError("PND_ALERT_WEBHOOK_SECRET: set the key that webhook alerts are signed with; the receiver needs the same")
    # The path may hold a token of the receiver's: only the host is ever said.
    host = urlsplit(url).hostname
    session = requests.Session()
    session.headers["User-Agent"] = f"pnd-dagster/{__version__}"

    def send(body: Mapping[str, Any]) -> None:
        content = encoded(body)
        headers = {"Content-Type": "application/json", **signed_headers(secret, content, body["alert_id"], body["stage"])}
        try:
            with session.post(
                url, data=content, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=True, auth=_no_netrc
            ) as answer:
                _judge(answer, host)
        except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
            raise TransientError(f"{host} gave no answer ({type(error).__name__})") from None
        except requests.RequestException as error:
            raise SourceError(f"{host}: {type(error).__name__}; is PND_ALERT_WEBHOOK_URL right?") from None

    return send


def encoded(body: Mapping[str, Any]) -> bytes:
    """The body's bytes: ASCII, and without what HTML could take for markup."""
    return json.dumps(body, separators=(",", ":"), default=str).translate(_HTML).encode()


def signed_headers(secret: str, content: bytes, alert_id: str, stage: str, *, now: float | None = None) -> dict[str, str]:
    """The headers by which a receiver knows that an alert is ours, fresh, and whether it had it before."""
    timestamp = str(int(time.time() if now is None else now))
    return {TIMESTAMP: timestamp, SIGNATURE: f"v1={_signature(secret, timestamp, content)}", KEY: alert_id, STAGE: stage}


def is_authentic(
    secret: str, timestamp: str, signature: str, content: bytes, *, now: float | None = None, tolerance_seconds: float = TOLERANCE_SECONDS
) -> bool:
    """For receivers: whether a request was signed under the secret, not long ago. Compares in constant time.

    Args:
        secret: as in PND_ALERT_WEBHOOK_SECRET.
        timestamp: of the header `X-Pnd-Timestamp`.
        signature: of the header `X-Pnd-Signature`.
        content: the request's body, byte by byte as it came.
        now: seconds since 1970; the receiver's clock if None.
        tolerance_seconds: requests that are older, or as much ahead, are not accepted.
    """
    expected = f"v1={_signature(secret, timestamp, content)}"
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        return False
    # Signed by us, so it is a number.
    return abs((time.time() if now is None else now) - int(timestamp)) <= tolerance_seconds


def _signature(secret: str, timestamp: str, content: bytes) -> str:
    return hmac.new(secret.encode(), timestamp.encode() + b"." + content, hashlib.sha256).hexdigest()


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _judge(answer: requests.Response, host: str | None) -> None:
    status = answer.status_code
    if 200 <= status < 300:
        return
    said = f"{host} answered HTTP {status}"
    if status in (408, 425, 429) or status >= 500:
        raise TransientError(said, retry_after_seconds=retry_after_seconds(answer.headers.get("Retry-After")))
    if 300 <= status < 400:
        raise SourceError(f"{said}: it redirects elsewhere, which is not followed; is PND_ALERT_WEBHOOK_URL right?")
    raise SourceError(said)
