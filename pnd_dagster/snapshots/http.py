"""Asking vendors over HTTP: patient with what is transient, exact about what it costs, silent about keys.

A key travels in a header of its own request only; redirections are not followed, for they would take it elsewhere.
"""

from __future__ import annotations

import email.utils
import ipaddress
import json
import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
import sqlalchemy as sa
import tenacity
import urllib3
from pydantic import SecretStr

from pnd_dagster.errors import PndError, QuotaExhaustedError, SettingError, SourceError, TransientError
from pnd_dagster.snapshots.quotas import Usage, add_usage
from pnd_dagster.storage.dead_letters import clean_text

MAX_ATTEMPTS = 5
# A vendor that asks for a longer pause is left alone: the run ends and can be started again.
MAX_WAIT_SECONDS = 300.0
MAX_TOTAL_SECONDS = 900.0
# Vendors count requests per minute; a 429 that names no pause is waited out for one.
RATE_WINDOW_SECONDS = 60.0
TIMEOUT_SECONDS = (10.0, 60.0)
# An answer may come in pieces, but must end.
MAX_ANSWER_SECONDS = 180.0
MAX_ANSWER_BYTES = 128_000_000
_PIECE_BYTES = 65_536
_BACKOFF = tenacity.wait_exponential(multiplier=1, max=60)
_JITTER = tenacity.wait_random(0, 1)


def _explains_nothing(status: int, body: Any, headers: Mapping[str, str]) -> PndError | None:
    return None


def _costs_nothing(body: Any) -> int:
    return 0


class Vendor(NamedTuple):
    """How a vendor is asked.

    Attributes:
        name: lower case, as in raw.vendor_quotas; its settings are PND_NAME_KEY and PND_NAME_URL.
        title: its name as people write it.
        key_header: header that carries the key; None for a vendor that needs none.
        key_format: how the key stands in it.
        interval_seconds: pause from one request to the next.
        explain: the error that an answer stands for (status, body or None, headers), None where the status says all.
        cost: credits that the body of a good answer says it cost.
    """

    name: str
    title: str
    key_header: str | None = None
    key_format: str = "{}"
    interval_seconds: float = 0.0
    explain: Callable[[int, Any, Mapping[str, str]], PndError | None] = _explains_nothing
    cost: Callable[[Any], int] = _costs_nothing

    @property
    def key_setting(self) -> str:
        """Name of the setting that holds the key."""
        return f"PND_{self.name.upper()}_KEY"

    @property
    def url_setting(self) -> str:
        """Name of the setting that holds the base address."""
        return f"PND_{self.name.upper()}_URL"


class VendorClient:
    """A session with a vendor. Every request is counted before it is sent, in raw.vendor_quotas and in `usage`.

    Args:
        vendor: whom to ask, and how.
        url: base address; https, or http on this machine.
        key: the API key, if the vendor needs one.
        engine: database in which requests are counted.
        sleep: waits between attempts and requests.

    Raises:
        SettingError: the key is missing, or the address would send it unprotected.
    """

    def __init__(
        self, vendor: Vendor, url: str, key: SecretStr | None, engine: sa.Engine, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        secret = key.get_secret_value().strip() if key else ""
        if vendor.key_header and not (secret and secret.isascii() and secret.isprintable()):
            raise SettingError(f"{vendor.key_setting}: set your {vendor.title} API key (it is missing, empty or no ASCII text)")
        self.vendor = vendor
        self.usage = Usage()
        self._url, is_loopback = checked_url(vendor.url_setting, url)
        # Pacing is politeness towards others; a server on this machine needs none.
        self._interval_seconds = 0.0 if is_loopback else vendor.interval_seconds
        self._secret = SecretStr(secret)
        self._engine = engine
        self._sleep = sleep
        self._last_request = -math.inf
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "pnd-dagster"

    def __repr__(self) -> str:
        return f"VendorClient({self.vendor.title}, {self._url!r}, {self.usage})"

    def get(self, path: str, **parameters: str | int) -> Any:
        """The JSON of the vendor's answer.

        Args:
            path: from the base address on, quoted where it needs to be.
            parameters: the query.

        Raises:
            QuotaExhaustedError: the vendor's quota or subscription is used up.
            SettingError: the vendor refuses the key.
            SourceError: the vendor refuses the request, or its answer is none that can be read.
            TransientError: it was not to be had, after several attempts, or is not for longer than we wait.
            DatabaseError: the request could not be counted; it was not sent.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_worth_waiting),
            stop=tenacity.stop_any(tenacity.stop_after_attempt(MAX_ATTEMPTS), tenacity.stop_before_delay(MAX_TOTAL_SECONDS)),
            wait=wait_seconds,
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(self._ask, path, parameters)

    def _ask(self, path: str, parameters: Mapping[str, str | int]) -> Any:
        self._pace()
        self._count(Usage(requests=1))
        what = f"{self.vendor.title} {path.partition('?')[0]}"
        try:
            with self._session.get(
                f"{self._url}/{path}",
                params=parameters,
                auth=self._sign,
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
                stream=True,
            ) as answer:
                content = _content(what, answer)
        except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
            raise TransientError(f"{what}: no whole answer from {self._url} ({type(error).__name__})") from None
        except requests.RequestException as error:
            raise SourceError(f"{what}: {type(error).__name__}; is {self.vendor.url_setting} right?") from None
        return self._read(what, answer, content)

    def _read(self, what: str, answer: requests.Response, content: bytes) -> Any:
        status = answer.status_code
        if status in (402, 429):
            self._count(Usage(refusals=1))
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            body = None
        if explained := self.vendor.explain(status, body, answer.headers):
            raise explained
        if status == 200 and body is not None:
            self._count(Usage(credits=self.vendor.cost(body)))
            return body
        reason = f"{what}: HTTP {status}{self._said(body)}"
        if status == 200:
            raise TransientError(f"{what}: the answer is no whole JSON ({len(content)} bytes)")
        if status in (408, 425, 429) or status >= 500:
            pause = retry_after_seconds(answer.headers.get("Retry-After"))
            raise TransientError(reason, retry_after_seconds=RATE_WINDOW_SECONDS if pause is None and status == 429 else pause)
        if status == 402:
            raise QuotaExhaustedError(f"{reason}; the quota or the subscription is used up")
        if status in (401, 403) and self.vendor.key_header:
            raise SettingError(f"{self.vendor.key_setting}: {reason}; is the key valid, and does its plan include this?")
        if 300 <= status < 400:
            raise SourceError(f"{reason}: it redirects elsewhere; is {self.vendor.url_setting} right?")
        raise SourceError(reason)

    def _pace(self) -> None:
        pause = self._last_request + self._interval_seconds - time.monotonic()
        if pause > 0:
            self._sleep(pause)
        self._last_request = time.monotonic()

    def _count(self, usage: Usage) -> None:
        if any(usage):
            add_usage(self._engine, self.vendor.name, usage, datetime.now(UTC))
            self.usage = self.usage.plus(usage)

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # As `auth`, so that requests does not put what a .netrc holds in its place.
        if self.vendor.key_header:
            request.headers[self.vendor.key_header] = self.vendor.key_format.format(self._secret.get_secret_value())
        return request

    def _said(self, body: Any) -> str:
        """What the vendor says of an error, as one short line without the key."""
        part = body.get("status", body) if isinstance(body, dict) else None
        part = part if isinstance(part, dict) else body if isinstance(body, dict) else {}
        said = part.get("error_message") or part.get("error") or part.get("message")
        if not isinstance(said, str):
            return ""
        secret = self._secret.get_secret_value()
        line = " ".join(clean_text(said).split())
        return f" ({(line.replace(secret, '***') if secret else line)[:200]})"


def _content(what: str, answer: requests.Response) -> bytes:
    deadline = time.monotonic() + MAX_ANSWER_SECONDS
    content = bytearray()
    # read1 returns what has come; read would wait for a whole piece, however slowly it drips.
    while piece := answer.raw.read1(_PIECE_BYTES, decode_content=True):
        content += piece
        if len(content) > MAX_ANSWER_BYTES:
            raise SourceError(f"{what}: the answer is larger than {MAX_ANSWER_BYTES:,} bytes")
        if time.monotonic() > deadline:
            raise TransientError(f"{what}: the answer did not end within {MAX_ANSWER_SECONDS:.0f} s")
    return bytes(content)


def checked_url(setting: str, url: str) -> tuple[str, bool]:
    """The base address, and whether it is on this machine.

    Raises:
        SettingError: a key would travel unprotected; names `setting`.
    """
    address = urlsplit(url)
    host = address.hostname or ""
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    if not host or not (address.scheme == "https" or (address.scheme == "http" and is_loopback)):
        raise SettingError(f"{setting}: must be an https address, or http on this machine")
    return url.rstrip("/"), is_loopback


def is_worth_waiting(error: BaseException) -> bool:
    """Whether a later attempt may succeed, within the time we wait."""
    return isinstance(error, TransientError) and (error.retry_after_seconds or 0) <= MAX_WAIT_SECONDS


def wait_seconds(state: tenacity.RetryCallState) -> float:
    """What the vendor asked for, at least; otherwise one second and doubling; with some jitter."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_seconds if isinstance(error, TransientError) else None
    return max(asked or 0.0, _BACKOFF(state)) + _JITTER(state)


def retry_after_seconds(header: str | None) -> float | None:
    """Seconds of a Retry-After header, which is a number or a date; None for neither."""
    if header is None:
        return None
    try:
        seconds = float(header)
        return seconds if seconds >= 0 else None
    except ValueError:
        pass
    try:
        until = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
